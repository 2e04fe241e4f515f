"""What the window says to who knows nothing of models: where nothing can be done yet, of checks, figures and dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PySide6.QtCore import QLocale, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from core.training.messages import GateRow, StageResult
from gui import verdict, words
from gui.icons import app_icon
from gui.tasks import Suggestion
from gui.theme import LIGHT
from gui.widgets.training import Checks
from gui.widgets.verdict_card import VerdictCard
from tests.gui import toy_jobs
from tests.gui.conftest import close, settle, suggest_captions
from tests.gui.test_train import BOTH, REPORT


def test_train_says_what_comes_first_where_no_folder_is_open(qtbot, open_window, photos):
    window = open_window()
    window.go("train")
    train = window.view("train")
    assert train.headline.text() == "Open a folder of photos first" and train.to_open.isVisible()
    assert not train.to_seed.isVisible() and not train.options.isVisible()
    window.open_folder(photos)
    settle(qtbot, window)
    window.go("train")
    settle(qtbot, window)
    assert train.to_seed.isVisible() and not train.to_open.isVisible() and train.options.isVisible()


@pytest.mark.parametrize(("steps", "learned"), [(1, False), (19, False), (20, True), (0, True)])
def test_a_training_without_time_is_not_said_to_have_learned(steps, learned):
    results = {name: StageResult({}, steps=steps) for name in ("before", "stage1", "stage2")}
    for kept in ("stage1", "stage2"):
        told = verdict.summary(replace(REPORT, kept=kept, results=results), in_use=True)
        assert ("has learned your wording" in told) == learned and "Practi" in told
        assert learned or (f"{steps} step" in told and "too few" in told)


def test_checks_that_are_not_green_say_that_nothing_need_be_done(qtbot):
    checks = Checks()
    qtbot.addWidget(checks)
    checks.set_gate(GateRow("ending", "green", "No caption ends in the middle."))
    assert checks.advice.isHidden()
    checks.set_gate(GateRow("repetition", "amber", "1.2% of word pairs repeat within a caption."))
    assert not checks.advice.isHidden() and "Nothing need be done" in checks.advice.text()
    checks.clear()
    assert checks.advice.isHidden()


def test_a_verdict_says_what_is_better_and_worse_and_on_what_it_rests(qtbot):
    card = VerdictCard()
    qtbot.addWidget(card)
    results = {"before": StageResult({"r1": 61.0, "clip_s": 0.9}), "stage2": StageResult({"r1": 42.0, "clip_s": 1.1})}
    gate = GateRow("fluency", "amber", "2.85 nats a word piece")
    report = replace(REPORT, kept="stage2", results=results, gates=(gate,), held_out=240)
    card.show_report(report)
    told = [text.text() for text in card.findChildren(QLabel)]
    assert "worse" in told and "better" in told
    _, (finds, fits) = verdict.evidence(replace(report, held_out=24))
    assert finds.change == 0 and fits.change > 0, "a fifth of 24 photos may be chance"
    assert "Judged on 240 photos that it did not learn from" in card.judged.text()
    assert "Its wording is becoming less natural." in card.judged.text() and "nats" not in card.judged.text()
    assert "too few" not in card.judged.text()
    assert "Those are 4, too few to say much." in verdict.judged(replace(report, held_seeds=4))
    assert "too few" not in verdict.judged(replace(report, held_seeds=verdict.FEW))
    few = verdict.judged(replace(report, held_out=0))
    assert few.startswith("Judged on photos that it learned from") and "not learn" not in few
    _, lines = verdict.evidence(replace(REPORT, kept="before", results=BOTH))
    assert {line.change for line in lines} == {0.0}, "nothing changes, so nothing is better or worse"


def test_the_button_of_seed_says_that_an_empty_box_is_skipped(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    seed = window.view("seed")
    assert "Skip this one" in seed.save.text()
    QTest.keyClicks(seed.editor, "a")
    assert "Save and next" in seed.save.text()


def test_coming_back_to_seed_by_a_button_the_box_takes_what_is_typed(qtbot, open_window, photos):
    window = open_window(photos)
    for image_id in window.view("library").grid.photos.ids[:5].tolist():
        window.session.commands.write(image_id, f"words {image_id}")
    window.go("seed")
    settle(qtbot, window)
    seed = window.view("seed")
    seed.train.setFocus()
    seed.train.click()
    window.go("seed")
    assert seed.editor.hasFocus()


def test_library_counts_what_a_filter_finds_and_says_where_nothing_waits(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    ids = [int(one) for one in library.grid.photos.ids]
    suggest_captions(window.session.service.path, {ids[0]: ["a red card"]}, {})
    window.session.refresh()
    settle(qtbot, window)
    library.filter_box.setText("state:candidate")
    library._apply_filter()
    settle(qtbot, window)
    assert library.subtitle.full_text().startswith("1 found of 8 photos in ")
    library.show_all()
    settle(qtbot, window)
    assert library.subtitle.full_text().startswith("8 photos in ")
    library._found((ids[3], ids[1]))
    settle(qtbot, window)
    assert library.subtitle.full_text().startswith("The 2 best matches of 8 photos")
    library.back()
    settle(qtbot, window)
    library.grid.select_id(ids[4])
    library.grid.setFocus()
    QTest.keyClick(library.grid, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, window)
    assert window.toast.message == "No suggestion waits for what is selected."


def test_photos_that_were_chosen_are_there_again_after_a_restart_while_some_wait(qtbot, open_window, photos):
    window = open_window(photos)
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    window.go("seed")
    window.view("seed").show_suggested(Suggestion((ids[4], ids[2])))
    settle(qtbot, window)
    close(qtbot, window)
    again = open_window(photos)
    again.go("seed")
    settle(qtbot, again)
    assert again.view("seed").strip.photos.ids.tolist() == [ids[4], ids[2]]
    for image_id in (ids[4], ids[2]):
        again.session.commands.write(image_id, "words")
    settle(qtbot, again)
    close(qtbot, again)
    last = open_window(photos)
    last.go("seed")
    settle(qtbot, last)
    assert len(last.view("seed").strip.photos.ids) == 0, "all of them have captions"


def test_the_icon_of_the_window_is_seen_on_light_and_on_dark(qapp):
    picture = app_icon().pixmap(32, 32).toImage()
    ground, corner = picture.pixelColor(16, 2), picture.pixelColor(0, 0)
    assert ground.alpha() == 255 and corner.alpha() == 0, "it brings its ground"
    colours = {picture.pixelColor(x, y).name() for x in range(32) for y in range(32)}
    assert LIGHT.accent in colours and LIGHT.on_accent in colours


def test_who_is_elsewhere_when_a_training_ends_is_told(qtbot, open_window, photos):
    window = open_window(photos)

    def end(kind: str) -> None:
        assert window.session.start(window.session.heavy, toy_jobs.count, 1, title="A job", kind=kind) is not None
        settle(qtbot, window)

    end("doctor")
    assert "training" not in window.messages.message
    end("train")
    assert window.messages.message.startswith("The training has ended.")
    window.go("train")
    assert window.messages.message == ""
    end("train")
    assert window.messages.message == "", "Train itself shows the verdict"


def test_captioning_the_library_from_its_verdict_begins_at_once_and_only_where_photos_wait(
    qtbot, open_window, photos, monkeypatch
):
    window = open_window(photos)
    window.go("train")
    deliver, begun = window.view("deliver"), []
    monkeypatch.setattr(deliver, "begin", lambda: begun.append(True))
    window.view("train").deliver.click()
    settle(qtbot, window)
    assert window.place == "deliver" and begun == [True]
    for image_id in window.view("library").grid.photos.ids.tolist():
        window.session.commands.write(image_id, "words")
    settle(qtbot, window)
    window.caption_library()
    settle(qtbot, window)
    assert begun == [True]


def test_a_date_has_its_marks_where_no_country_is_set():
    then = datetime(2026, 11, 22, 9, 34, tzinfo=UTC)
    before = QLocale()
    try:
        QLocale.setDefault(QLocale.c())
        assert words.moment(then).startswith("2026-11-22 ")
        QLocale.setDefault(QLocale("de_DE"))
        assert words.moment(then).startswith("22.11.26 ")
    finally:
        QLocale.setDefault(before)
