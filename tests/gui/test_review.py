"""Review by keyboard: what is picked, accepted, edited and rejected, and what it leaves in the library."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library import queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scores import gallery_version, write_scores
from gui import words
from tests.gui.conftest import WAIT, close, draw_photos, seed_texts, settle, suggest_captions

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def reviewing(qtbot, open_window, photos):
    """A window on Review: photo n has suggestions "n a" (better) and "n b"; photo 2 fits worst, photo 0 best."""
    window = open_window(photos)
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    fits = {ids[0]: 0.9, ids[1]: 0.5, ids[2]: 0.2}
    texts = {image_id: [f"{n} b", f"{n} a"] for n, image_id in enumerate(fits)}
    scores = {}
    for n, fit in enumerate(fits.values()):
        scores[f"{n} a"], scores[f"{n} b"] = (fit, 1.0), (fit - 0.1, 4.0)
    suggest_captions(window.session.service.path, texts, scores)
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    qtbot.waitUntil(lambda: review.model.rowCount() == 2, timeout=WAIT)
    return window, review, ids


def captions(window, image_id) -> list[tuple[str, str, bool]]:
    with Library.open(window.session.service.path) as library:
        found = queries.captions_of(library, [image_id])[image_id]
    return [(caption.text, caption.state, caption.is_seed) for caption in found]


def press(qtbot, window, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(window.focusWidget(), key, modifier)
    settle(qtbot, window)


def shown(review) -> list[str]:
    return [review.model.caption(row).text for row in range(review.model.rowCount())]


def test_the_weakest_comes_first_and_its_best_suggestion_is_chosen(qtbot, reviewing):
    _, review, ids = reviewing
    assert review.current_id == ids[2]
    assert shown(review) == ["2 a", "2 b"]
    assert review.list.currentIndex().row() == 0
    assert review.left.text() == "3 photos left"
    assert words.rank_sentence(review.model.caption(0).score) == (
        "Finds this photo first of 3; the starter's plain caption finds it 4th."
    )


def test_what_was_captioned_meanwhile_begins_with_the_weakest(qtbot, open_window, photos):
    """Suggestions come in one by one and are scored when all are there: nobody looks at Review until then."""
    window = open_window(photos)
    review = window.view("review")
    first, second, third = (int(one) for one in window.view("library").grid.photos.ids[:3])
    texts = {first: ["strong"], second: ["weak"], third: ["middling"]}
    suggest_captions(window.session.service.path, texts, {})
    window.session.refresh()
    settle(qtbot, window)
    assert review.current_id == first
    scores = {"strong": 0.9, "weak": 0.2, "middling": 0.5}
    with Library.open(window.session.service.path) as library:
        found = [one for captions in queries.captions_of(library, texts).values() for one in captions]
        rows = {one.id: ScoreRow(scores[one.text], 1, 3, 2.0, 0.1) for one in found}
        write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library))
    window.session.refresh()
    settle(qtbot, window)
    window.go("review")
    assert review.current_id == second
    press(qtbot, window, Qt.Key.Key_Right)
    window.go("library")
    window.session.refresh()
    settle(qtbot, window)
    window.go("review")
    assert review.current_id == third, "where the person went"


def test_from_a_new_captioning_one_comes_to_the_weakest_wherever_one_was(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Right)
    assert review.current_id != ids[2]
    window.go("deliver")
    settle(qtbot, window)
    window.view("deliver").go_review.emit()
    settle(qtbot, window)
    assert window.place == "review" and review.current_id == ids[2]


def test_pick_accept_and_go_on(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_2)
    assert review.list.currentIndex().row() == 1
    press(qtbot, window, Qt.Key.Key_9)
    assert review.list.currentIndex().row() == 1, "there is no ninth"
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    assert captions(window, ids[2])[0] == ("2 b", "accepted", False), "accepted model text is not a seed"
    assert review.current_id == ids[1]
    assert review.left.text() == "2 photos left"


def test_an_edit_is_accepted_and_becomes_a_seed(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return)
    assert review.editor.isVisible() and review.editor.hasFocus() and review.editor.text == "2 a"
    review.editor.selectAll()
    QTest.keyClicks(review.editor, "my own 2 words")
    press(qtbot, window, Qt.Key.Key_Return)
    assert captions(window, ids[2])[0] == ("my own 2 words", "accepted", True)
    assert review.current_id == ids[1] and not review.editor.isVisible()


def test_control_return_ends_an_edit_too_and_escape_leaves_it(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_F2)
    QTest.keyClicks(review.editor, " more")
    press(qtbot, window, Qt.Key.Key_Escape)
    assert not review.editor.isVisible() and review.current_id == ids[2]
    assert {state for _, state, _ in captions(window, ids[2])} == {"candidate"}
    press(qtbot, window, Qt.Key.Key_Return)
    QTest.keyClicks(review.editor, " more")
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    assert captions(window, ids[2])[0] == ("2 a more", "accepted", True)


def to_another_photo(qtbot, window, review):
    review.step(1)


def to_another_place(qtbot, window, review):
    window.go("library")


def to_another_suggestion(qtbot, window, review):
    review.pick(2)


def to_another_library(qtbot, window, review):
    window.session.open(draw_photos(window.session.service.path.parent / "other", 2))


def to_the_end(qtbot, window, review):
    close(qtbot, window)


@pytest.mark.parametrize(
    "leave", [to_another_photo, to_another_place, to_another_suggestion, to_another_library, to_the_end]
)
def test_what_was_typed_is_kept_wherever_one_goes_from_it(qtbot, reviewing, leave):
    window, review, ids = reviewing
    path = window.session.service.path
    review.edit()
    review.edit()  # again: what is typed next is not undone by it
    QTest.keyClicks(review.editor, " and more")
    review.edit()
    leave(qtbot, window, review)
    if window.isVisible():
        settle(qtbot, window)
    assert seed_texts(path) == {ids[2]: ("2 a and more",)}


def test_what_was_typed_is_kept_when_a_job_has_replaced_the_caption(qtbot, reviewing):
    window, review, ids = reviewing
    path = window.session.service.path
    review.edit()
    QTest.keyClicks(review.editor, " and more")
    with Library.open(path) as library:
        add_candidates(library, None, {ids[2]: ["new"]}, "replace-model")
    review.accept()
    settle(qtbot, window)
    assert seed_texts(path) == {ids[2]: ("2 a and more",)}


def test_a_poem_that_is_not_changed_is_accepted_as_the_models_own(qtbot, reviewing):
    window, review, ids = reviewing
    poem = "two lines\nof  a model"
    with Library.open(window.session.service.path) as library:
        add_candidates(library, None, {ids[2]: [poem]}, "replace-model")
    window.session.refresh()
    settle(qtbot, window)
    review.edit()
    review.accept()
    settle(qtbot, window)
    assert captions(window, ids[2])[0] == (poem, "accepted", False)


def test_digits_are_text_while_editing(qtbot, reviewing):
    window, review, _ = reviewing
    press(qtbot, window, Qt.Key.Key_Return)
    QTest.keyClicks(review.editor, " 2")
    assert review.editor.text == "2 a 2"
    assert review.list.currentIndex().row() == 0


def test_an_edit_that_changes_nothing_is_an_acceptance(qtbot, reviewing):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return)
    press(qtbot, window, Qt.Key.Key_Return)
    assert captions(window, ids[2])[0] == ("2 a", "accepted", False)


def test_reject_and_undo(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Delete)
    assert {state for _, state, _ in captions(window, ids[2])} == {"rejected"}
    assert review.current_id == ids[1]
    window.undo()
    settle(qtbot, window)
    assert {state for _, state, _ in captions(window, ids[2])} == {"candidate"}
    assert review.left.text() == "3 photos left"


def test_what_was_accepted_of_the_models_can_still_be_rejected(qtbot, reviewing):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    window.review(ids[2])
    settle(qtbot, window)
    press(qtbot, window, Qt.Key.Key_Delete)  # what is left to decide goes first
    assert ("2 a", "accepted", False) in captions(window, ids[2])
    window.review(ids[2])
    settle(qtbot, window)
    press(qtbot, window, Qt.Key.Key_Delete)
    assert {state for _, state, _ in captions(window, ids[2])} == {"rejected"}
    window.undo()
    settle(qtbot, window)
    assert ("2 a", "accepted", False) in captions(window, ids[2])


def test_an_accepted_caption_is_corrected_in_seed_not_joined_by_another(qtbot, reviewing):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    window.write_for(ids[2])
    settle(qtbot, window)
    seed = window.view("seed")
    assert seed.editor.text == "2 a"
    QTest.keyClicks(seed.editor, " corrected")
    seed.keep()
    settle(qtbot, window)
    kept = [one for one in captions(window, ids[2]) if one[1] == "accepted"]
    assert kept == [("2 a corrected", "accepted", True)]


def test_undo_in_an_edit_takes_back_nothing_of_another_photo(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    at = review.current_id
    press(qtbot, window, Qt.Key.Key_Return)
    QTest.keyClicks(review.editor, "x")
    for _ in range(3):
        press(qtbot, window, Qt.Key.Key_Z, CTRL)
    assert review.current_id == at and review.editor.isVisible() and review.editor.hasFocus()
    assert ("2 a", "accepted", False) in captions(window, ids[2])


def test_looking_for_words_leads_to_library_and_escape_empties_the_box(qtbot, reviewing):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_F, CTRL)
    library = window.view("library")
    assert window.place == "library" and library.filter_box.hasFocus()
    library.filter_box.setText("2 a")  # typed letters would open the list of offers
    settle(qtbot, window)
    qtbot.waitUntil(lambda: library.grid.photos.ids.tolist() == [ids[2]], timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: library.grid.photos.ids.tolist() == ids, timeout=WAIT)
    assert library.filter_box.text() == ""


def test_other_photos_by_arrow(qtbot, reviewing):
    window, review, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Right)
    assert review.current_id == ids[1]
    press(qtbot, window, Qt.Key.Key_Left)
    assert review.current_id == ids[2]


def test_when_all_is_reviewed_it_says_so_and_where_to_go(qtbot, reviewing):
    window, review, _ = reviewing
    for _ in range(3):
        press(qtbot, window, Qt.Key.Key_Return, CTRL)
        qtbot.waitUntil(lambda: review.current_id is None or review.model.rowCount() > 0, timeout=WAIT)
    assert review.pages.currentIndex() == 1
    assert review.nothing.title.text() == "Nothing left to review"
    assert review.deliver.isVisible()
    assert window.rail.buttons["review"].badge == ""


def test_a_decision_survives_a_restart(qtbot, reviewing, open_window, photos):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    close(qtbot, window)
    again = open_window(photos)
    again.go("review")
    settle(qtbot, again)
    assert again.view("review").left.text() == "2 photos left"
    assert captions(again, ids[2])[0][1] == "accepted"
    again.undo()
    settle(qtbot, again)
    assert again.view("review").left.text() == "3 photos left"


def test_library_sorts_and_filters_by_what_was_decided(qtbot, reviewing):
    window, _, ids = reviewing
    press(qtbot, window, Qt.Key.Key_Return, CTRL)
    window.go("library")
    library = window.view("library")
    library.sort.setCurrentIndex(library.sort.findData("score"))
    settle(qtbot, window)
    assert library.grid.photos.ids[:3].tolist() == [ids[0], ids[1], ids[2]]
    library.sort.setCurrentIndex(library.sort.findData("weakest"))
    settle(qtbot, window)
    assert library.grid.photos.ids[:3].tolist() == [ids[2], ids[1], ids[0]]
    assert len(library.grid.photos.ids) == 8, "those without a score come last"
    library.filter_box.setText("state:accepted")
    library._apply_filter()
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == [ids[2]]
