"""The real window on a real library: opening, typing, undoing, closing; what a person would lose if it were wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRect, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QLabel, QMenu, QScrollArea

from core.library import queries
from core.library.library import Library
from core.library.runs import create_run, set_current_run, update_run
from core.starter.scenes_library import write_sample_library
from core.starter.scenes_words import DEMO
from gui import theme as theming
from gui.app import crash_hook
from gui.dialogs import CrashDialog
from gui.services import sample_folder
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, close, draw_photos, settle, suggest_captions, type_caption

CTRL = Qt.KeyboardModifier.ControlModifier


def test_an_empty_window_says_what_to_do(qtbot, open_window):
    window = open_window()
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        assert window.place == place
    assert window.view("library").pages.currentIndex() == 1
    assert not window.actions_table["add_folder"].isEnabled()


def test_a_folder_being_opened_is_told_at_once(qtbot, open_window, photos):
    window = open_window()
    library = window.view("library")
    window.open_folder(photos)
    assert library.pages.currentIndex() == 3 and "photos" in library.waiting.title.text()
    settle(qtbot, window)
    assert window.session.opening is None and library.pages.currentIndex() == 0


def test_a_folder_that_cannot_be_opened_leaves_the_window_as_it_was(qtbot, open_window, tmp_path):
    window = open_window()
    window.open_folder(tmp_path / "gone")
    qtbot.waitUntil(lambda: bool(window.messages.message), timeout=WAIT)
    assert window.session.opening is None
    assert window.view("library").pages.currentIndex() == 1


def test_news_covers_nothing_that_is_to_be_read_or_pressed(qtbot, open_window, photos):
    window = open_window(photos)
    window.messages.show_message("200 photos are here.", "Write captions for a handful.")
    window.toast.say("Something small")
    qtbot.waitUntil(lambda: not window.toast.geometry().intersects(window.messages.geometry()), timeout=WAIT)
    central = window.centralWidget()
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        window.toast.say("Something rather long that has been done just now " * 2)
        qtbot.wait(20)
        covered = [
            button.text() or button.accessibleName()
            for button in window.findChildren(QAbstractButton)
            if button.isVisible()
            and not button.visibleRegion().isEmpty()
            and QRect(button.mapTo(central, QPoint()), button.size()).intersects(window.toast.geometry())
        ]
        assert covered == [], place


def test_news_is_as_wide_as_its_words(qtbot, open_window):
    window = open_window()
    window.toast.say("Accepted")
    narrow = window.toast.width()
    window.toast.say("Three photos were removed from the library; no file was touched, and they can be had back.")
    assert window.toast.width() > narrow
    window.toast.say("Accepted")
    assert window.toast.width() == narrow


def test_opening_a_folder_shows_its_photos(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    assert library.grid.photos.rowCount() == 8
    assert window.windowTitle().startswith("photos")
    assert window.rail.buttons["library"].badge == "8"
    assert "8 photos" in library.subtitle.full_text()
    qtbot.waitUntil(lambda: library.grid.photos.photo(0) is not None, timeout=WAIT)
    assert library.grid.photos.photo(0).image.path.name == "photo0.png"


def test_files_that_cannot_be_read_are_listed_with_reasons(qtbot, open_window, photos):
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("not a photo")
    (photos / "folder.jpg").mkdir()
    window = open_window(photos)
    library = window.view("library")
    assert library.grid.photos.rowCount() == 8
    assert library.trouble.failed.isVisible()
    library.show_failed(True)
    qtbot.waitUntil(lambda: library.failed.list.count() >= 2, timeout=WAIT)
    texts = [library.failed.list.item(row).text() for row in range(library.failed.list.count())]
    assert any(text.startswith("empty.jpg\n") for text in texts)
    assert all(len(text.split("\n")[1]) > 10 for text in texts), "each has a reason in words"


def test_missing_photos_are_not_told_as_unreadable(qtbot, open_window, photos):
    (photos / "empty.jpg").write_bytes(b"")
    window = open_window(photos)
    library = window.view("library")
    for at in range(3):
        (photos / f"photo{at}.png").unlink()
    library.scan()
    settle(qtbot, window)
    assert library.trouble.failed.text().strip() == "1 file could not be read"
    assert library.trouble.missing.text().strip() == "3 photos are missing"
    QTest.mouseClick(library.trouble.failed, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: library.failed.list.count() == 1, timeout=WAIT)
    QTest.mouseClick(library.trouble.missing, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: library.grid.photos.rowCount() == 3, timeout=WAIT)
    settle(qtbot, window)
    draw_photos(photos)
    library.scan()
    settle(qtbot, window)
    assert not library.trouble.missing.isVisible()


def test_dropping_a_folder_opens_it(qtbot, open_window, photos):
    window = open_window()
    library = window.view("library")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(photos))])
    drop = QDropEvent(
        QPointF(50, 50), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dropEvent(drop)
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 8


def test_first_photos_are_offered_captions(qtbot, open_window, photos):
    window = open_window(photos)
    assert "8 photos are here" in window.messages.message
    window.view("library").first_photos.emit(1)
    assert window.messages.message.startswith("1 photo is here.")
    close(qtbot, window)
    assert open_window(photos).messages.message == "", "nothing is new the second time"


def test_another_library_waits_for_running_work(qtbot, open_window, photos, tmp_path):
    window = open_window(photos)
    before = window.session.service.path
    job = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Training")
    window.open_folder(draw_photos(tmp_path / "more", 2))
    assert "still running in this library" in window.messages.message
    with qtbot.waitSignal(job.cancelled, timeout=WAIT):
        job.cancel()
    settle(qtbot, window)
    assert window.session.service.path == before


def test_a_second_folder_is_added_to_the_same_library(qtbot, open_window, photos, tmp_path):
    window = open_window(photos)
    window.take_folders([draw_photos(tmp_path / "more", 3)])
    settle(qtbot, window)
    assert len(window.session.overview.folders) == 2
    assert window.view("library").grid.photos.rowCount() >= 9  # the same pixels at another place are other photos


def test_filter_and_its_mistakes(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    type_caption(qtbot, window, "a red square with a white moon")
    window.go("library")
    library = window.view("library")
    for text, count in (
        ("state:seed", 1),
        ('"white moon"', 1),
        ('"moon white"', 0),
        ("photo3", 1),
        ("state:none", 7),
        ("", 8),
    ):
        library.filter_box.setText(text)
        library._apply_filter()
        settle(qtbot, window)
        assert library.grid.photos.rowCount() == count, text
    library.filter_box.setText("state:wrong")
    library._apply_filter()
    assert library._filter_problem.isVisible() and "accepted" in library._filter_problem.text()


def test_a_job_is_shown_and_its_failure_told(qtbot, open_window, photos):
    window = open_window(photos)
    job = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Captioning", kind="caption")
    qtbot.waitUntil(lambda: window.job_bar.isVisible(), timeout=WAIT)
    assert window.job_bar.title.text() == "Captioning"
    window.go("deliver")
    assert not window.job_bar.isVisible(), "the place shows it at length itself"
    window.go("library")
    second = window.session.start(window.session.heavy, toy_jobs.count, 1, title="Other")
    assert second is None and "still running" in window.messages.message
    with qtbot.waitSignal(job.cancelled, timeout=WAIT):
        window.actions_table["cancel_job"].trigger()
    settle(qtbot, window)
    assert not window.job_bar.isVisible()
    window.session.start(window.session.heavy, toy_jobs.refuse, "/p", title="Training")
    qtbot.waitUntil(lambda: "Choose another folder" in window.messages.message, timeout=WAIT)
    assert not window.messages._copy.isVisible(), "nothing to copy for what a person can mend"
    window.session.start(window.session.heavy, toy_jobs.break_down, None, title="Training")
    qtbot.waitUntil(lambda: "KeyError" in window.messages.message, timeout=WAIT)
    assert window.messages._copy.isVisible()


def test_the_bar_shows_the_newest_job_and_then_the_one_before_it(qtbot, open_window, photos):
    window = open_window(photos)
    session, bar = window.session, window.job_bar
    training = session.start(session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    qtbot.waitUntil(lambda: bar.detail.full_text() == "waiting", timeout=WAIT)
    reading = session.start(session.light, toy_jobs.silent, None, title="Reading photos", kind="scan")
    with qtbot.waitSignal(training.progress, timeout=WAIT):
        pass
    assert bar.title.text() == "Reading photos" and bar.detail.full_text() == "Starting…", "not what the other one says"
    bar.stop.click()
    qtbot.waitUntil(lambda: session.light.current is None, timeout=WAIT)
    assert reading.cancelling and not training.cancelling
    assert bar.isVisible() and bar.title.text() == "Training" and bar.stop.isEnabled()
    assert bar.detail.full_text() == "waiting"
    bar.stop.click()
    qtbot.waitUntil(lambda: not bar.isVisible(), timeout=WAIT)


def test_a_folder_that_is_not_there_is_said_in_words(qtbot, open_window, tmp_path):
    window = open_window()
    window.open_folder(tmp_path / "nothing")
    qtbot.waitUntil(lambda: "no folder" in window.messages.message, timeout=WAIT)


def test_theme_is_remembered(qtbot, open_window):
    window = open_window()
    window.set_theme("dark")
    assert theming.theme().dark
    assert window.rail._theme_label.text() == "Dark"
    assert window.actions_table["theme_dark"].isChecked()
    close(qtbot, window)
    assert str(open_window()._settings.value("theme")) == "dark"


def test_a_bug_opens_one_report_that_can_be_copied(qtbot, qapp, open_window):
    window = open_window()
    hook = crash_hook(window)
    for number in range(3):
        try:
            raise ZeroDivisionError(f"bug {number}")
        except ZeroDivisionError as error:
            hook(type(error), error, error.__traceback__)
    dialogs = window.findChildren(CrashDialog)
    assert len(dialogs) == 1 and not dialogs[0].isModal()
    dialogs[0].copy.click()
    assert "ZeroDivisionError: bug 0" in qapp.clipboard().text()
    assert "Seedcap" in qapp.clipboard().text()
    dialogs[0].close()


@pytest.mark.parametrize("size", [(1024, 700), (1600, 1000)])
def test_no_place_needs_more_room_than_the_window_has(qtbot, open_window, photos, size):
    window = open_window(photos)
    window.resize(*size)
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        settle(qtbot, window)
        assert (window.width(), window.height()) == size, f"{place} pushes the window wider"
        view = window.view(place)
        right = view.mapTo(window, QPoint(view.width(), 0)).x()
        assert right <= window.width()
        for area in view.findChildren(QScrollArea):
            assert area.widget().width() <= area.viewport().width(), f"{place} is cut off at the right"


@pytest.mark.qt_log_ignore("does not support (raise|grabbing)", extend=True)  # a window without a screen
def test_the_menus_of_the_library_wait_for_nobody(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    library.grid.setCurrentIndex(library.grid.photos.index(0))
    for open_menu in (library.filter_menu.click, lambda: library.grid.customContextMenuRequested.emit(QPoint(9, 9))):
        open_menu()  # comes back although nobody has chosen anything
        shown = [menu for menu in library.findChildren(QMenu) if menu.isVisible()]
        assert len(shown) == 1
        QTest.keyClick(shown[0], Qt.Key.Key_Escape)
        qtbot.waitUntil(lambda: not library.findChildren(QMenu), timeout=WAIT)


def test_every_title_stands_at_the_same_height(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("review")
    window.view("review").blind_button.show()
    tops = {}
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        qtbot.wait(20)
        titles = [one for one in window.view(place).findChildren(QLabel) if one.property("role") == "title"]
        ground = titles[0].mapTo(window, QPoint(0, titles[0].height() // 2)).y()
        tops[place] = ground
    assert max(tops.values()) - min(tops.values()) <= 1, tops


def test_every_button_has_a_name(qtbot, open_window, photos):
    window = open_window(photos)
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
    nameless = [
        button
        for button in window.findChildren(QAbstractButton)
        if not (button.text() or button.accessibleName()) and not button.objectName().startswith("qt_")
    ]
    assert [type(button.parent()).__name__ for button in nameless] == []


def test_no_model_library_is_imported_by_the_window(tmp_path):
    """In a process of its own: everything the window shows, with a library open, and none of them is there."""
    photos = draw_photos(tmp_path / "photos", 3)
    code = f"""
import sys
import threading
from pathlib import Path
from gui.app import make_application, make_window, open_settings
app = make_application()
window = make_window(open_settings())
window.show()
early = sorted(sys.modules)
window.open_folder(Path({str(photos)!r}))
import time
end = time.time() + 100
while time.time() < end:
    app.processEvents()
    if window.session.overview and window.session.overview.counts.photos == 3 and not window.session.busy:
        break
assert window.session.overview.counts.photos == 3
for place in ("seed", "train", "review", "deliver"):
    window.go(place)
    for _ in range(20):
        app.processEvents()
heavy = {{"torch", "transformers", "open_clip", "timm", "onnxruntime", "onnx", "peft"}}
found = heavy & set(sys.modules)
assert not found, found
start = heavy | {{"sqlalchemy", "alembic", "pyqtgraph", "PIL"}}
assert not start & set(early), start & set(early)
window.close()
end = time.time() + 30
while window.session.service is not None and time.time() < end:
    app.processEvents()
print("clean")
"""
    environment = {**os.environ, "SEEDCAP_HOME": str(tmp_path / "home"), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "clean", done.stderr


def test_selected_suggestions_are_accepted_and_rejected_as_one_step(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    ids = [int(one) for one in library.grid.photos.ids]
    suggest_captions(window.session.service.path, {one: [f"{one} a", f"{one} b"] for one in ids[:4]}, {})
    window.session.refresh()
    settle(qtbot, window)
    library.grid.setFocus()
    library.grid.selectAll()
    QTest.keyClick(library.grid, Qt.Key.Key_Return, CTRL)
    settle(qtbot, window)
    counts = window.session.overview.counts
    assert (counts.accepted, counts.seeds) == (4, 0)
    window.undo()
    settle(qtbot, window)
    assert window.session.overview.counts.accepted == 0
    QTest.keyClick(library.grid, Qt.Key.Key_Delete, CTRL)
    settle(qtbot, window)
    counts = window.session.overview.counts
    assert (counts.rejected, counts.candidates) == (4, 0)


@pytest.fixture
def samples(seedcap_home):
    """A small sample library where the app would paint its own."""
    write_sample_library(sample_folder(), 12, DEMO, size=64)


def test_the_sample_library_offers_captions_that_one_undo_takes_back(qtbot, open_window, samples):
    window = open_window()
    window.open_sample()
    qtbot.waitUntil(lambda: "painted scenes" in window.messages.message, timeout=WAIT)
    settle(qtbot, window)
    assert window.view("library").grid.photos.rowCount() == 12
    window.messages._action.click()
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 12
    assert window.messages.message == "" and window.place == "seed"
    window.undo()
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 0


def test_the_demo_is_one_press_away_from_training(qtbot, open_window, samples):
    window = open_window()
    window.open_sample(write_seeds=6)
    qtbot.waitUntil(lambda: window.place == "train", timeout=WAIT)
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 6
    assert window.view("train").start.isEnabled()


def test_suggestions_of_an_older_model_are_offered_to_the_new_one(qtbot, open_window, photos):
    window = open_window(photos)
    ids = window.view("library").grid.photos.ids.tolist()
    path = window.session.service.path
    suggest_captions(path, {image_id: [f"thing {image_id}"] for image_id in ids}, {})
    window.go("deliver")
    window.session.refresh()
    settle(qtbot, window)
    deliver = window.view("deliver")
    assert deliver.left_to_do.text() == "Every photo has a caption or a suggestion" and not deliver.caption.isVisible()
    with Library.open(path) as library:
        run = create_run(library, "recommended", {})
        update_run(library, run.id, status="done")
        set_current_run(library, run.id)
        accepted = queries.captions_of(library, ids[:1])[ids[0]][0]
    window.session.commands.accept([accepted.id])
    settle(qtbot, window)
    assert "Suggest again for 7 photos" in deliver.caption.text()
    assert window.session.overview.outdated == 7
    for file in sorted(draw_photos(photos.parent / "more", 10).iterdir())[:8]:
        file.unlink()  # two are left that are no copies of the others
    window.take_folders([photos.parent / "more"])
    settle(qtbot, window)
    assert deliver.left_to_do.text() == "9 photos without a suggestion of this model"
    assert "Caption 9 photos" in deliver.caption.text()
