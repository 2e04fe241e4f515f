"""Near-duplicates are reviewed as one; and a photo that changed after its caption says so."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.encoders.store import VectorStore
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.library import Library
from core.library.near_duplicates import update_groups
from tests.gui.conftest import WAIT, settle, suggest_captions

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
ENCODER, DIM = "e" * 64, 8


@pytest.fixture
def reviewing(qtbot, open_window, photos):
    """Photos 0 to 3 are near-duplicates and 4 is like none; all have a suggestion, 3 also a caption of the person's."""
    window = open_window(photos)
    path = window.session.service.path
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    with Library.open(path) as library:
        hashes = [row.content_hash for row in queries.image_rows(library, ids)]
        vectors = np.eye(DIM, dtype=np.float32)
        vectors[1:4] = vectors[0]
        VectorStore(library, ENCODER, DIM).append(hashes, vectors)
        update_groups(library, ENCODER, DIM, QuietContext())
        edits.add_seed(library, ids[3], "mine")
    texts = {one: [f"thing {at}"] for at, one in enumerate(ids[:5])}
    suggest_captions(path, texts, {f"thing {at}": (0.3 + at / 10, 1.0) for at in range(5)})
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    qtbot.waitUntil(lambda: review.current_id == ids[0] and bool(review.alike.photos), timeout=WAIT)
    return window, review, ids


def captions(window, image_id) -> set[tuple[str, str, bool]]:
    with Library.open(window.session.service.path) as library:
        found = queries.captions_of(library, [image_id])[image_id]
    return {(caption.text, caption.state, caption.is_seed) for caption in found}


def press(qtbot, window, key, modifiers) -> None:
    QTest.keyClick(window.focusWidget(), key, modifiers)
    settle(qtbot, window)


def test_the_queue_has_one_of_them_and_says_how_many_more(reviewing):
    window, review, _ = reviewing
    assert review.left.text() == "2 photos left"
    assert window.rail.buttons["review"].badge == "2", "the same number everywhere"
    assert review.alike.isVisible()
    assert review.alike.text.full_text() == "and 3 near-duplicates, 1 with a caption already"
    assert "Accept for all 3" in review.accept_all_button.text()


def test_accepting_for_all_is_one_step_and_leaves_captions_of_the_person_alone(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert captions(window, ids[0]) == {("thing 0", "candidate", False)}, "first it is asked"
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert captions(window, ids[0]) == {("thing 0", "accepted", False)}
    for at in (1, 2):
        assert captions(window, ids[at]) == {("thing 0", "accepted", False), (f"thing {at}", "candidate", False)}
    assert captions(window, ids[3]) == {("mine", "accepted", True), ("thing 3", "candidate", False)}
    assert review.current_id == ids[4] and review.left.text() == "1 photo left"
    assert not review.alike.isVisible() and not review.accept_all_button.isVisible()
    window.undo()
    settle(qtbot, window)
    assert captions(window, ids[1]) == {("thing 1", "candidate", False)}
    assert captions(window, ids[0]) == {("thing 0", "candidate", False)}


def test_the_photos_are_shown_before_it_is_done(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    preview = review.preview
    assert preview.isVisible() and not review.accept_all_button.isVisible() and not review.buttons.isVisible()
    assert [photo.id for photo in preview.strip.photos] == ids[:3], "the captioned one is none of them"
    assert "“thing 0” will be accepted for these 3 photos" in preview.text.text()
    assert preview.left_alone.isVisible() and preview.left_alone.text().endswith(" 1.")
    assert "photo1.png" in preview.strip.accessibleDescription()
    assert preview.yes.hasFocus()
    press(qtbot, window, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    assert not preview.isVisible() and review.accept_all_button.isVisible() and review.list.hasFocus()
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    review.step(1)
    settle(qtbot, window)
    assert not preview.isVisible(), "another photo: what was asked is forgotten"
    assert captions(window, ids[0]) == {("thing 0", "candidate", False)}


def test_typing_on_asks_again(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier)
    QTest.keyClicks(review.editor, " here")
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert review.preview.isVisible()
    review.editor.setFocus()
    QTest.keyClicks(review.editor, " and there")
    assert not review.preview.isVisible()
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert "“thing 0 here and there”" in review.preview.text.text()
    assert captions(window, ids[0]) == {("thing 0", "candidate", False)}


def test_an_edit_is_given_to_all_in_one_step_too(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier)
    QTest.keyClicks(review.editor, " in the sun")
    press(qtbot, window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert "“thing 0 in the sun”" in review.preview.text.text()
    press(qtbot, window, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier)  # Enter says yes
    assert captions(window, ids[0]) == {("thing 0 in the sun", "accepted", True)}
    assert ("thing 0 in the sun", "accepted", False) in captions(window, ids[2])
    window.undo()
    settle(qtbot, window)
    assert captions(window, ids[0]) == {("thing 0", "candidate", False)}


def test_accepting_is_for_this_photo_and_the_next_of_the_group_follows(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    assert captions(window, ids[1]) == {("thing 1", "candidate", False)}
    assert review.left.text() == "2 photos left"
    review.show_id(ids[2])
    settle(qtbot, window)
    window.session.refresh()
    settle(qtbot, window)
    assert review.current_id == ids[2], "another of the group stays when it was asked for"
    assert review.left.text() == "2 photos left"


def test_a_photo_that_changed_after_its_caption_says_so(qtbot, reviewing, photos):
    window, review, ids = reviewing
    assert not review.changed.isVisible()
    Image.new("RGB", (90, 120), "black").save(photos / "photo0.png")
    os.utime(photos / "photo0.png", (2_000_000_000, 2_000_000_000))
    window.view("library").scan()
    settle(qtbot, window)
    review.show_id(ids[0])
    qtbot.waitUntil(lambda: review.current_id == ids[0] and review.changed.isVisible(), timeout=WAIT)
    seed = window.view("seed")
    window.write_for(ids[0])
    settle(qtbot, window)
    assert seed.changed.isVisible() and "suggestion" in seed.changed.text()
    QTest.keyClicks(seed.editor, "a black photo")
    seed.keep()
    settle(qtbot, window)
    assert not seed.changed.isVisible(), "these words are of the photo as it is"
    seed.show_id(ids[1])
    settle(qtbot, window)
    assert not seed.changed.isVisible()
