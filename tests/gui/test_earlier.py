"""What a photo's captions said before: shown in words, and used again without losing anything."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from core.library import edits, queries
from core.library.history import Version
from core.library.library import Library
from core.library.records import Author, State
from gui.versions import earlier_texts
from tests.gui.conftest import WAIT, settle, suggest_captions

CTRL = Qt.KeyboardModifier.ControlModifier


def version(
    number: int, text: str, *, by: Author = "human", state: State = "accepted", live=False, after: int | None = None
) -> Version:
    return Version(number, 1, text, by, None, state, live, after, datetime(2026, 1, 1, 12, number, tzinfo=UTC))


def test_each_text_once_and_what_became_of_it():
    history = [
        version(7, "now", live=True, after=5),
        version(6, "now and gone"),
        version(5, "before", after=2),
        version(4, "no", by="run", state="rejected", live=True),
        version(3, "said once", by="run"),
        version(2, "before"),
        version(1, "now"),
    ]
    assert [(one.id, one.fate, one.mine) for one in earlier_texts(history)] == [
        (6, "removed", True), (5, "replaced", True), (4, "rejected", False), (3, "removed", False),
    ]  # fmt: skip


def test_what_was_only_half_typed_is_no_earlier_text():
    history = [version(3, "a dog on a pier", live=True, after=2), version(2, "a dog on", after=1), version(1, "a d")]
    assert earlier_texts(history) == ()
    by_the_model = version(1, "a dog", by="run", state="candidate")
    (kept,) = earlier_texts([version(2, "a dog on a pier", live=True, after=1), by_the_model])
    assert earlier_texts([version(9, "a dog on a pier", live=True, after=1), version(1, "a dog")]) != (), "much later"
    assert (kept.text, kept.fate) == ("a dog", "replaced"), "words of the model, continued by a person"


@pytest.fixture
def window(qtbot, open_window, photos):
    """The first photo said "a cat", then "a dog"; the model's "a cow" for it was rejected, its "a fox" waits."""
    made = open_window(photos)
    first = int(made.view("library").grid.photos.ids[0])
    with Library.open(made.session.service.path) as library:
        edits.edit_caption(library, edits.add_seed(library, first, "a cat"), "a dog")
    suggest_captions(made.session.service.path, {first: ["a cow"]}, {})
    with Library.open(made.session.service.path) as library:
        cow = next(one for one in queries.captions_of(library, [first])[first] if one.text == "a cow")
        edits.reject(library, [cow.id])
    made.session.refresh()
    settle(qtbot, made)
    return made


def captions(window, image_id) -> set[tuple[str, str, bool]]:
    with Library.open(window.session.service.path) as library:
        found = queries.captions_of(library, [image_id])[image_id]
    return {(caption.text, caption.state, caption.is_seed) for caption in found}


def test_in_seed_an_earlier_caption_stands_again_beside_the_present_one(qtbot, window):
    window.write_for(int(window.view("library").grid.photos.ids[0]))
    settle(qtbot, window)
    seed = window.view("seed")
    assert "2 earlier captions" in seed.earlier.toggle.text() and not seed.earlier.isVisible()
    QTest.keyClick(seed.editor, Qt.Key.Key_R, CTRL)
    told = [line.text() for line in seed.earlier.findChildren(QLabel)]
    assert "a cat" in told and "a cow" in told
    assert any(line.startswith("You, ") and line.endswith("replaced by a later caption") for line in told)
    assert any(line.startswith("The model, ") and line.endswith("rejected") for line in told)
    assert window.focusWidget().accessibleName() == "Use this again: a cow", "the newest, at hand for the keyboard"
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Tab)
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Space)
    settle(qtbot, window)
    first = seed.current_id
    assert {("a dog", "accepted", True), ("a cat", "accepted", True)} <= captions(window, first)
    assert seed.editor.text == "a dog"
    assert "1 earlier caption" in seed.earlier.toggle.text()
    window.undo()
    settle(qtbot, window)
    assert captions(window, first) == {("a dog", "accepted", True), ("a cow", "rejected", False)}


def test_typing_is_kept_before_an_earlier_caption_is_used_again(qtbot, window):
    window.write_for(int(window.view("library").grid.photos.ids[0]))
    settle(qtbot, window)
    seed = window.view("seed")
    QTest.keyClicks(seed.editor, "s and a horse")
    QTest.keyClick(seed.editor, Qt.Key.Key_R, CTRL)
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Space)
    settle(qtbot, window)
    assert {("a dogs and a horse", "accepted", True), ("a cow", "accepted", True)} <= captions(window, seed.current_id)


def test_a_photo_without_a_past_says_nothing_of_it(qtbot, window):
    window.write_for(int(window.view("library").grid.photos.ids[0]))
    settle(qtbot, window)
    seed = window.view("seed")
    QTest.keyClick(seed.editor, Qt.Key.Key_R, CTRL)
    assert seed.earlier.isVisible()
    seed.step(1)
    settle(qtbot, window)
    assert not seed.earlier.isVisible() and not seed.earlier.toggle.isVisible()
    assert not window.actions_table["seed_earlier"].isEnabled()


def test_in_review_what_was_rejected_can_be_accepted_after_all(qtbot, window):
    second = int(window.view("library").grid.photos.ids[1])
    suggest_captions(window.session.service.path, {second: ["a hen", "a hat"]}, {})
    with Library.open(window.session.service.path) as library:
        hen = next(one for one in queries.captions_of(library, [second])[second] if one.text == "a hen")
        edits.reject(library, [hen.id])
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    qtbot.waitUntil(lambda: review.current_id == second and review.earlier.toggle.isVisible(), timeout=WAIT)
    QTest.keyClick(review.list, Qt.Key.Key_R, CTRL)
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Space)
    settle(qtbot, window)
    assert captions(window, second) == {("a hen", "accepted", False), ("a hat", "candidate", False)}
    assert review.current_id is None, "it was the last"
    window.undo()
    settle(qtbot, window)
    assert ("a hen", "rejected", False) in captions(window, second) and review.current_id == second
