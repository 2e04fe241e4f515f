"""Taking captions along in the real window: what is told before, what is written, and undoing it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog

from core.encoders.encoder import TooLong
from core.library import queries
from core.library.in_vain import InVain, add_in_vain, asked
from core.library.library import Library
from core.library.runs import set_current_run
from gui import export_preview
from gui.tasks import CaptionResult
from gui.views.export_panel import ExportPanel
from gui.widgets.bundle_choice import SMALLER
from tests.core.photos import needs_exiftool
from tests.gui.conftest import WAIT, close, settle
from tests.gui.test_train_more import write_run

CTRL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def deliver(qtbot, open_window, photos):
    """Opens Deliver on the photos, with captions for the first ``captions`` of them."""

    def open_one(captions: int = 0):
        window = open_window(photos)
        ids = [int(one) for one in window.view("library").grid.photos.ids[:captions]]
        window.session.write(lambda service: [service.write_seed(one, None, f"words {one}") for one in ids], len)
        settle(qtbot, window)
        window.go("deliver")
        settle(qtbot, window)
        return window, window.view("deliver").exporting

    return open_one


def choose(qtbot, window, panel: ExportPanel, format: str) -> None:
    panel.format.setCurrentIndex(panel.format.findData(format))
    settle(qtbot, window)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


def table(panel: ExportPanel) -> list[tuple[str, str]]:
    cells = panel.preview
    return [(cells.item(at, 0).text(), cells.item(at, 1).text()) for at in range(cells.rowCount())]


def test_captions_are_written_by_a_key_and_from_the_list_of_actions(qtbot, deliver, photos):
    window, _ = deliver(2)
    QTest.keyClick(window.view("deliver"), Qt.Key.Key_S, CTRL)
    settle(qtbot, window)
    assert len(list(photos.glob("*.txt"))) == 2
    QTest.keyClick(window.view("deliver"), Qt.Key.Key_S, CTRL)
    assert "nothing to do" in window.toast.message
    for path in photos.glob("*.txt"):
        path.unlink()
    window.go("library")
    window.palette_of_actions.open("library")
    QTest.keyClicks(window.palette_of_actions.box, "captions to files")
    assert window.palette_of_actions.names == ["export"]
    QTest.keyClick(window.palette_of_actions.box, Qt.Key.Key_Return)
    settle(qtbot, window)
    assert window.place == "deliver"


def test_captions_that_the_encoder_does_not_read_to_their_end_are_told(deliver):
    view = deliver()[0].view("deliver")
    view.show_result(CaptionResult(9, (), 3.0, remark=TooLong(2, 77).sentence()))
    assert view.result.text().endswith("2 captions are longer than the encoder reads (77 word pieces); "
                                       "what comes after counts in no score.")  # fmt: skip
    view.show_result(CaptionResult(9, (), 3.0))
    assert "longer" not in view.result.text()


def test_the_folder_that_was_chosen_stays_for_other_formats(qtbot, deliver, tmp_path):
    window, panel = deliver(2)
    there = tmp_path / "captions"
    panel.set_target(there)
    targets = {}
    for kind in ("csv", "metadata", "jsonl", "txt"):
        choose(qtbot, window, panel, kind)
        targets[kind] = panel._order().target
    assert targets == {"csv": there / "captions.csv", "metadata": None, "jsonl": there / "metadata.jsonl", "txt": there}
    choose(qtbot, window, panel, "csv")
    panel.set_target(tmp_path / "mine.csv")
    choose(qtbot, window, panel, "txt")
    assert panel._order().target == tmp_path


def test_a_named_file_gets_the_ending_of_its_format_and_dialogs_begin_where_one_was(qtbot, deliver, tmp_path):
    window, panel = deliver(2)
    choose(qtbot, window, panel, "csv")
    panel.choose_target()
    [dialog] = panel.findChildren(QFileDialog)
    assert dialog.selectedFiles()[0].endswith("captions.csv")
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile("mine")
    dialog.accept()
    assert panel._order().target == tmp_path / "mine.csv"
    qtbot.waitUntil(lambda: not panel.findChildren(QFileDialog), timeout=WAIT)
    panel.choose_target()
    [dialog] = panel.findChildren(QFileDialog)
    assert Path(dialog.directory().absolutePath()) == tmp_path
    dialog.close()


def test_what_an_export_would_replace_is_asked_in_the_window(qtbot, open_window, photos):
    window = open_window(photos)
    first = int(window.view("library").grid.photos.ids[0])
    window.session.write(lambda service: service.write_seed(first, None, "my words"), lambda _: None)
    settle(qtbot, window)
    (photos / "photo0.txt").write_text("somebody else's words", encoding="utf-8")
    window.go("deliver")
    settle(qtbot, window)
    deliver = window.view("deliver")
    qtbot.waitUntil(lambda: deliver.exporting.preview.rowCount() == 1, timeout=WAIT)
    assert deliver.exporting.overwrite.isVisible() and deliver.exporting.overwrite.window() is window
    assert not deliver.exporting.export.isEnabled()
    deliver.exporting.overwrite.click()
    qtbot.waitUntil(lambda: deliver.exporting.export.isEnabled(), timeout=WAIT)


def test_an_export_of_nothing_says_what_to_do(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("deliver")
    settle(qtbot, window)
    assert window.view("deliver").exporting.files.currentIndex() == 1


def test_the_last_export_is_undone_by_keyboard_after_a_restart_but_for_what_changed_since(qtbot, deliver, photos):
    (photos / "photo0.txt").write_text("somebody else's words", encoding="utf-8")
    window, panel = deliver(3)
    assert not panel.undo_line.isVisible() and not window.actions_table["undo_export"].isEnabled()
    panel.overwrite.click()
    settle(qtbot, window)
    panel.export.click()
    settle(qtbot, window)
    assert (photos / "photo0.txt").read_text(encoding="utf-8").startswith("words")
    close(qtbot, window)
    (photos / "photo1.txt").write_text("better words", encoding="utf-8")
    window, panel = deliver()
    assert panel.undo.isVisible() and panel.undo.isEnabled()
    assert "puts 1 file back as it was and removes 2 new files" in panel.last.text()
    QTest.keyClick(
        window.view("deliver"), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    )
    settle(qtbot, window)
    said = {path.name: path.read_text(encoding="utf-8") for path in photos.glob("*.txt")}
    assert said == {"photo0.txt": "somebody else's words", "photo1.txt": "better words"}
    assert "1 file put back, 1 file removed. 1 file left alone: photo1.txt: It has changed" in window.messages.message
    assert not panel.undo_line.isVisible() and not window.actions_table["undo_export"].isEnabled()


@needs_exiftool
def test_captions_go_into_the_photos_and_back_out_and_no_photo_counts_as_changed(qtbot, deliver, photos):
    window, panel = deliver(3)
    before, pictures = contents(photos), pixels(photos)
    choose(qtbot, window, panel, "metadata")
    assert "3 photos" in panel.export.text() and not panel.choose.isVisible()
    assert table(panel) == [(f"photo{at}.png", "Added; all else in it stays") for at in range(3)]

    def nothing_has_changed() -> bool:
        window.view("library").scan()
        settle(qtbot, window)
        same = all(np.array_equal(found, pictures[name]) for name, found in pixels(photos).items())
        with Library.open(window.session.service.path) as library:
            changed = queries.image_ids(library, filter="state:changed")
        return same and not len(changed) and "Nothing has changed" in window.toast.text()

    panel.export.click()
    settle(qtbot, window)
    now = contents(photos)
    assert sorted(name for name in now if now[name] != before[name]) == ["photo0.png", "photo1.png", "photo2.png"]
    assert b"words 1" in now["photo0.png"] and nothing_has_changed()
    assert not panel.export.isEnabled()
    panel.undo.click()
    settle(qtbot, window)
    assert contents(photos) == before and nothing_has_changed()


@needs_exiftool
def test_looking_into_photos_stops_after_some_and_writing_does_not(qtbot, deliver, photos, monkeypatch):
    monkeypatch.setattr(export_preview, "LOOKED_INTO", 2)
    (photos / "photo0.png").rename(photos.parent / "elsewhere.png")
    (photos / "photo0.png").symlink_to(photos.parent / "elsewhere.png")
    window, panel = deliver(4)
    choose(qtbot, window, panel, "metadata")
    assert table(panel) == [("photo0.png", "Cannot be written"), ("photo1.png", "Added; all else in it stays")]
    assert "first 2" in panel.summary.text() and "photos" in panel.export.text()
    panel.export.click()
    settle(qtbot, window)
    assert all(b"words" in (photos / f"photo{at}.png").read_bytes() for at in (1, 2, 3))
    assert "3 photos" in window.messages.message and "link" in window.messages.message


def test_without_exiftool_the_preview_says_what_is_missing(qtbot, deliver, monkeypatch, tmp_path):
    window, panel = deliver(1)
    monkeypatch.setenv("PATH", str(tmp_path))
    choose(qtbot, window, panel, "metadata")
    assert panel.files.currentIndex() == 1 and "Writing captions into photos needs" in panel.nothing.text.text()
    assert not panel.export.isEnabled() and window.messages.kind != "bad"
    choose(qtbot, window, panel, "txt")
    assert panel.export.isEnabled() and panel.files.currentIndex() == 0


def test_wording_or_telling_apart_is_chosen_by_keyboard_and_a_stopped_job_goes_on_as_begun(qtbot, deliver, monkeypatch):
    window, _ = deliver()
    view, orders = window.view("deliver"), []
    monkeypatch.setattr(window.session, "start", lambda lane, job, order, **_: orders.append(order))
    view.begin()
    view.more.toggle.click()
    view.wording.chosen.setFocus()
    QTest.keyClick(view.wording.chosen, Qt.Key.Key_Space)
    assert view.wording.details.isVisible() and not view.bundles.numbers.isEnabled()
    view.begin()
    QTest.keyClick(view.wording.scale.slider, Qt.Key.Key_Right)
    view.begin()
    view.begin(resume=True)
    assert [order.distinctive for order in orders] == [None, 0.5, 0.75, None]


@pytest.mark.parametrize(("low", "offered"), [(-0.01, True), (-0.05, False)])
def test_the_faster_copy_says_what_it_loses_and_is_a_choice_only_where_that_is_little(
    qtbot, deliver, tiny_bundle, low, offered
):
    window, _ = deliver()
    choice = window.view("deliver").bundles
    assert choice.numbers.isEnabled() and not choice.faster and "the first time" in choice.told.text()
    choice.numbers.setCurrentIndex(SMALLER)
    assert choice.faster
    clip_s = {"exact": 0.7, "value": -0.002, "low": low, "high": 0.0}
    loss = {"photos": 100, "identical": 94, "on": "photos of the library", "cosine": 1.0, "clip_s": clip_s}
    folder = Path(shutil.copytree(tiny_bundle, window.session.service.path / "bundles" / "starter-int8"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["precision_loss"] = {**loss, "r1": clip_s, "cider": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    window.session.refresh()
    settle(qtbot, window)
    assert "94 of 100 captions are the same; CLIP-S 0.2% lower." in choice.told.text()
    assert choice.numbers.isEnabled() is choice.faster is offered


def test_a_run_the_starter_or_a_bundle_of_ones_own_captions_and_says_whether_it_says_the_same(
    qtbot, deliver, tiny_bundle, tmp_path, monkeypatch
):
    window, _ = deliver()
    view, service, orders = window.view("deliver"), window.session.service, []
    choice = view.bundles
    assert [choice.models.itemText(at) for at in range(choice.models.count())] == ["The one in use: the starter model"]
    bundles = service.path / "bundles"
    with Library.open(service.path) as library:
        run_id = write_run(library, "stage2")
        set_current_run(library, run_id)
    shutil.copytree(tiny_bundle, bundles / run_id)
    of_ones_own = Path(shutil.copytree(tiny_bundle, tmp_path / "sent to me"))
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    for folder, same in ((bundles / run_id, 63), (of_ones_own, 8)):
        manifest["parity"] = {**manifest["parity"], "photos": 64, "identical": same}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    window.session.refresh()
    settle(qtbot, window)
    assert "Your model of" in view.model.text() and "on 63 of 64 photos" in view.model.text()

    monkeypatch.setattr(window.session, "start", lambda lane, job, order, **_: orders.append(order))
    view.begin()
    view.more.toggle.click()
    choice.models.setFocus()
    QTest.keyClick(choice.models, Qt.Key.Key_Down)
    settle(qtbot, window)
    assert "by the starter model" in view.model.text() and "63 of 64" not in view.model.text()
    view.begin()
    choice.take(of_ones_own)
    settle(qtbot, window)
    assert "“sent to me”" in view.model.text() and "on 8 of 64 photos" in view.model.text()
    assert not choice.numbers.isEnabled()
    view.begin()
    view.begin(resume=True)
    assert [(order.model, order.bundle) for order in orders] == [
        (None, None), ("starter", None), (None, of_ones_own), (None, None)
    ]  # fmt: skip
    assert len({order.paced for order in orders}) == 4

    choice.take(tmp_path)
    settle(qtbot, window)
    assert "is not a bundle" in window.messages.message and choice.bundle == of_ones_own
    window.session.refresh()
    settle(qtbot, window)
    assert choice.bundle == of_ones_own, "it stays chosen while captions come in"


def test_photos_that_nothing_new_came_for_are_told_and_not_offered_again_until_something_else_is_asked(qtbot, deliver):
    window, _ = deliver(7)
    window.session.refresh()
    settle(qtbot, window)
    view = window.view("deliver")
    assert "Caption 1 photo" in view.caption.text()
    here = asked("starter", view.candidates.currentData(), None, False)
    with Library.open(window.session.service.path) as library:
        add_in_vain(library, here, queries.image_ids(library, has_caption=False))
    view.show_result(CaptionResult(1, (), 4.0, nothing_new=1))
    assert view.result.text() == "Nothing new came for 1 photo." and not view.review.isVisible()
    window.session.refresh()
    settle(qtbot, window)
    assert view.left_to_do.text() == "1 photo without a caption or suggestion"
    assert (
        not view.caption.isVisible()
        and "For 1 photo the model has nothing new: all it says is there already, or was rejected."
        in view.in_vain.text()
    )
    view.candidates.setCurrentIndex(view.candidates.currentIndex() + 1)
    assert view.caption.isVisible() and view.in_vain.isHidden()


@pytest.mark.parametrize(("uncaptioned", "outdated", "in_vain", "said", "renews"), [
    (3, 2, 2, "Caption 3 photos", False),
    (3, 2, 1, "Caption 4 photos", True),
    (0, 2, 0, "Suggest again for 2 photos", True),
])  # fmt: skip
def test_what_the_button_says_is_what_it_does_where_some_was_asked_in_vain(
    qtbot, deliver, monkeypatch, uncaptioned, outdated, in_vain, said, renews
):
    window, _ = deliver()
    view, session, orders = window.view("deliver"), window.session, []
    monkeypatch.setattr(session, "start", lambda lane, job, order, **_: orders.append(order))
    here = asked(view.bundles.paced, view.candidates.currentData(), None, False)
    overview = replace(session.overview, uncaptioned=uncaptioned, outdated=outdated, in_vain=InVain(here, 0, in_vain))
    session._set_overview(overview)
    assert said in view.caption.text()
    view.begin()
    assert [(order.renew, order.existing) for order in orders] == [(renews, "replace-model" if renews else "skip")]


def test_what_would_be_replaced_is_counted_and_listed_first_and_undoing_keeps_the_focus(qtbot, deliver, photos):
    window, panel = deliver(4)
    (photos / "photo3.txt").write_text("somebody else's words", encoding="utf-8")
    panel._preview()
    settle(qtbot, window)
    assert table(panel)[0] == ("photo3.txt", "Kept: it says something else") and len(table(panel)) == 4
    assert panel.overwrite.text() == "Replace files that say something else (1)"
    assert "left alone: 1 file with other words" in panel.summary.text()
    panel.overwrite.click()
    settle(qtbot, window)
    assert table(panel)[0] == ("photo3.txt", "Its words are replaced")
    assert "replaced: 1 file with other words" in panel.summary.text()
    panel.run_export()
    settle(qtbot, window)
    panel.undo.setFocus()
    panel.undo.click()
    settle(qtbot, window)
    assert panel.isAncestorOf(window.focusWidget())
