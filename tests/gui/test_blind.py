"""A blind round by keyboard: nothing tells whose a caption is, answers stay, and the end says who won."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from core.library.blind_rounds import SaidByBoth, begin_round, open_round, results
from core.library.library import Library
from core.library.runs import create_run, set_current_run, update_run
from core.training.runfolder import REPORT
from gui.comparing import BlindMade
from gui.views import blind_view
from tests.gui.conftest import close, nameless, settle, suggest_captions

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def reviewing(qtbot, open_window, photos):
    """A window on Review, one photo to review, and a model beside the starter."""
    window = open_window(photos)
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    path = window.session.service.path
    suggest_captions(path, {ids[0]: ["1 a", "1 b"]}, {"1 a": (0.5, 1.0), "1 b": (0.4, 2.0)})
    with Library.open(path) as library:
        run = create_run(library, "recommended", {})
        update_run(library, run.id, status="done")
        (run.folder / REPORT).write_text(json.dumps({"kept": "stage2", "start": "starter"}))
        set_current_run(library, run.id)
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    return window, window.view("review"), ids, run


@pytest.fixture
def said(reviewing, monkeypatch):
    """What the captioning of both models would say; filled by the test."""
    _, _, ids, run = reviewing
    texts: list[SaidByBoth] = [SaidByBoth(one, f"old words {at}", f"new words {at}") for at, one in enumerate(ids[:4])]

    def begin(ctx, order):
        with Library.open(order.library) as library:
            begin_round(library, "starter", run.id, texts, seed=3)
        equal = sum(one.old == one.new for one in texts)
        return BlindMade(len(texts) - equal, equal)

    monkeypatch.setattr(blind_view, "begin_blind_round", begin)
    return texts


def press(qtbot, window, key, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(window.focusWidget(), key, modifiers)
    settle(qtbot, window)


def started(qtbot, reviewing):
    window, review, *_ = reviewing
    press(qtbot, window, Qt.Key.Key_B, CTRL)
    assert review.whole.currentWidget() is review.blind and review.blind.pages.currentIndex() == 0
    review.blind.begin_button.setFocus()
    press(qtbot, window, Qt.Key.Key_Space)
    assert review.blind.pages.currentIndex() == 2 and review.blind.hasFocus()
    return window, review.blind


def shown(blind) -> list[str]:
    return [one.text() for kind in (QLabel, QPushButton) for one in blind.findChildren(kind) if one.isVisible()]


def test_a_round_by_keys_and_its_verdict(qtbot, reviewing, said):
    window, blind = started(qtbot, reviewing)
    run = reviewing[3]
    assert blind.counter.text() == "1 of 4"
    assert nameless(window) == set()
    assert not any("tarter" in text or "model" in text or run.id in text for text in shown(blind)), shown(blind)
    for at in range(4):
        assert {blind.left.text(), blind.right.text()} == {f"old words {at}", f"new words {at}"}
        assert blind.left.text() in blind.accessibleDescription()
        new_left = blind.left.text().startswith("new")
        press(qtbot, window, Qt.Key.Key_Space if at == 3 else Qt.Key.Key_1 if new_left else Qt.Key.Key_2)
    assert blind.pages.currentIndex() == 3
    assert blind.end.title.text() == (
        "You preferred the new model 3 of 3 times (between 44% and 100%): too close to say."
    )
    told = blind.end.text.text()
    assert "New: your model of" in told and "Old: the starter model" in told and "No difference: 1" in told
    with Library.open(window.session.service.path) as library:
        (result,) = results(library)
    assert (result.new, result.old, result.same) == (3, 0, 1)


def test_an_answer_can_be_taken_back(qtbot, reviewing, said):
    window, blind = started(qtbot, reviewing)
    assert not window.actions_table["blind_back"].isEnabled()
    press(qtbot, window, Qt.Key.Key_1)
    press(qtbot, window, Qt.Key.Key_0)
    press(qtbot, window, Qt.Key.Key_Backspace)
    press(qtbot, window, Qt.Key.Key_Backspace)
    assert blind.counter.text() == "1 of 4"
    press(qtbot, window, Qt.Key.Key_Right)
    with Library.open(window.session.service.path) as library:
        going_on = open_round(library)
        assert going_on is not None
        assert [pair.answer for pair in going_on.pairs] == ["right", None, None, None]


def test_it_goes_on_where_it_stopped_after_closing(qtbot, reviewing, said, open_window):
    window, _ = started(qtbot, reviewing)
    path = window.session.service.path
    press(qtbot, window, Qt.Key.Key_2)
    close(qtbot, window)
    again = open_window(path, scan=False)
    again.go("review")
    settle(qtbot, again)
    review = again.view("review")
    assert "Go on comparing (1 of 4)" in review.blind_button.text()
    assert "Weakest fit first" in review.head.subtitle.full_text()
    review.blind_button.click()
    assert "Which caption is better?" in review.head.subtitle.full_text()
    settle(qtbot, again)
    assert review.blind.counter.text() == "2 of 4" and review.blind.pages.currentIndex() == 2


def test_escape_ends_it_with_what_was_answered(qtbot, reviewing, said):
    window, blind = started(qtbot, reviewing)
    press(qtbot, window, Qt.Key.Key_1)
    press(qtbot, window, Qt.Key.Key_Escape)
    assert blind.pages.currentIndex() == 3 and "Not answered: 3." in blind.end.text.text()
    press(qtbot, window, Qt.Key.Key_Escape)
    review = reviewing[1]
    assert review.whole.currentWidget() is review.pages and review.list.hasFocus()
    assert "Compare two models" in review.blind_button.text()
    press(qtbot, window, Qt.Key.Key_2)
    assert review.list.currentIndex().row() == 1, "the keys choose suggestions again"


def test_models_that_say_the_same_leave_nothing_to_choose(qtbot, reviewing, said):
    window, review, ids, _ = reviewing
    said[:] = [SaidByBoth(ids[0], "alike", "alike")]
    review.compare()
    review.blind.begin()
    settle(qtbot, window)
    assert review.blind.end.title.text() == "There is nothing to choose between"
    assert "1 photo, word for word" in review.blind.end.text.text()


def test_without_a_second_model_nothing_is_offered(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    assert not review.blind_button.isVisible() and not window.actions_table["blind"].isEnabled()
