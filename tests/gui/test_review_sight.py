"""What Review lets a person see: the photos a suggestion fits, what an edit changes, what was done today."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.errors import UserError
from gui.comparing import FitsFound
from gui.widgets import fits_panel
from tests.gui.conftest import WAIT, settle, suggest_captions
from tests.gui.test_review import captions

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def reviewing(qtbot, open_window, photos):
    """Three photos to review; photo n has the suggestions "n a" and "n b", the first of them photo 0."""
    window = open_window(photos)
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    texts = {one: [f"{n} a", f"{n} b"] for n, one in enumerate(ids[:3])}
    scores = {f"{n} {letter}": (0.3 + n / 10 - at / 100, 1.0) for n in range(3) for at, letter in enumerate("ab")}
    suggest_captions(window.session.service.path, texts, scores)
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    qtbot.waitUntil(lambda: review.current_id == ids[0], timeout=WAIT)
    return window, review, ids


def press(qtbot, window, key, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(window.focusWidget(), key, modifiers)
    settle(qtbot, window)


PLAIN = (
    "a photo of a thing that lies on another thing, beside more things of the same kind, in the light of the morning"
)


@pytest.fixture
def asked(reviewing, monkeypatch):
    """The texts that were asked about; every text fits photos 1, 0 and 2, the plain one photo 3 beside this one."""
    _, _, ids = reviewing
    texts: list[str] = []

    def find(ctx, order):
        texts.append(order.text)
        if order.text == "0 b":
            raise UserError("This photo has not been compared yet.")
        return FitsFound(order.text, (ids[1], ids[0], ids[2]), PLAIN, (order.image_id, ids[3]))

    monkeypatch.setattr(fits_panel, "find_fitting", find)
    monkeypatch.setattr(fits_panel, "PAUSE_MS", 0)
    return texts


def test_the_photos_a_suggestion_fits_are_shown_when_asked_and_follow_the_choice(qtbot, reviewing, asked):
    window, review, ids = reviewing
    assert not review.fits.isVisible() and asked == []
    press(qtbot, window, Qt.Key.Key_I, CTRL)
    qtbot.waitUntil(lambda: review.fits.strip.isVisible(), timeout=WAIT)
    assert [photo.id for photo in review.fits.strip.photos] == [ids[1], ids[0], ids[2]]
    assert "photo1.png" in review.fits.strip.accessibleDescription()
    assert review.fits.plain_said.text() == f"The starter's plain caption “{PLAIN}” also fits this one:"
    lines = review.fits.plain_said.height() / review.fits.plain_said.fontMetrics().height()
    assert lines > 1.9, "a long caption takes another line rather than being cut"
    assert [photo.id for photo in review.fits.plain_strip.photos] == [ids[3]]
    review.fits.take.click()
    settle(qtbot, window)
    assert captions(window, ids[0])[0] == (PLAIN, "accepted", True) and review.current_id == ids[1]
    qtbot.waitUntil(lambda: asked[-1] == "1 a" and review.fits.strip.isVisible(), timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_I, CTRL)
    review.step(1)
    settle(qtbot, window)
    qtbot.wait(300)
    assert not review.fits.isVisible() and asked == ["0 a", "1 a"], "nobody is asked while it is closed"


def test_going_on_is_not_undone_by_news_that_were_on_their_way(qtbot, reviewing):
    window, review, ids = reviewing
    window.session.data_changed.emit()
    review.step(1)
    settle(qtbot, window)
    assert review.current_id == ids[1]


def test_what_cannot_be_compared_says_so_and_stays_quiet(qtbot, reviewing, asked):
    window, review, _ = reviewing
    press(qtbot, window, Qt.Key.Key_I, CTRL)
    review.pick(2)
    qtbot.waitUntil(lambda: "not been compared" in window.messages.message, timeout=WAIT)
    assert not review.fits.waiting.isVisible() and not review.fits.strip.isVisible()


def test_what_an_edit_changes_is_shown_while_typing(qtbot, reviewing):
    window, review, _ = reviewing
    press(qtbot, window, Qt.Key.Key_Return)
    assert not review.change.isVisible(), "nothing is changed yet"
    QTest.keyClicks(review.editor, " dog")
    assert review.change.isVisible() and review.change.accessibleName() == "Added: dog"
    press(qtbot, window, Qt.Key.Key_Escape)
    assert not review.change.isVisible()


def test_an_earlier_caption_shows_what_was_made_of_it(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return)
    QTest.keyClicks(review.editor, " dog")
    press(qtbot, window, Qt.Key.Key_Return)
    review.show_id(ids[0])
    settle(qtbot, window)
    press(qtbot, window, Qt.Key.Key_R, CTRL)
    changes = review.earlier.findChildren(type(review.change))
    assert [one.accessibleName() for one in changes if one.isVisible()] == ["Added: dog"]


def test_what_was_decided_today_is_counted(qtbot, reviewing):
    window, review, _ = reviewing
    assert review.today.text() == ""
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    assert review.today.text() == "1 accepted today"
    press(qtbot, window, Qt.Key.Key_Delete)
    assert review.today.text() == "1 accepted today · 1 rejected today"
    window.undo()
    settle(qtbot, window)
    assert review.today.text() == "1 accepted today"
