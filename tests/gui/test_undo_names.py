"""What undo and redo say of which photo, and that the place shows it."""

from __future__ import annotations

from PySide6.QtCore import Qt

from core.library.library import Library
from core.library.runs import create_run, set_current_run
from tests.gui.conftest import WAIT, settle, suggest_captions


def ids_of(window) -> list[int]:
    return [int(one) for one in window.view("library").grid.photos.ids]


def step(qtbot, window, call) -> str:
    call()
    settle(qtbot, window)
    return window.toast.message


def test_undo_names_its_photo_and_leads_to_it_in_seed_and_library(qtbot, open_window, photos):
    window = open_window(photos)
    ids = ids_of(window)
    window.session.commands.write(ids[1], "a red card")
    settle(qtbot, window)
    window.go("seed")
    seed = window.view("seed")
    seed.show_id(ids[5])
    settle(qtbot, window)
    assert step(qtbot, window, window.undo) == "Undone: Write a caption (photo1.png)"
    assert seed.current_id == ids[1]
    seed.show_id(ids[5])
    assert step(qtbot, window, window.redo) == "Done again: Write a caption (photo1.png)"
    assert seed.current_id == ids[1] and seed.editor.text == "a red card"
    window.go("library")
    grid = window.view("library").grid
    grid.select_id(ids[7])
    window.session.commands.remove_photos([ids[2]])
    settle(qtbot, window)
    grid.select_id(ids[7])
    assert step(qtbot, window, window.undo) == "Undone: Remove a photo from the library (photo2.png)"
    assert grid.current_id() == ids[2]
    window.session.commands.remove_photos(ids[2:5])
    settle(qtbot, window)
    assert step(qtbot, window, window.undo) == "Undone: Remove 3 photos from the library"


def test_undo_leads_back_to_the_photo_in_review_and_counts_where_it_is_about_several(qtbot, open_window, photos):
    window = open_window(photos)
    ids = ids_of(window)
    suggest_captions(window.session.service.path, {one: [f"{one} a", f"{one} b"] for one in ids}, {})
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    qtbot.waitUntil(lambda: review.model.rowCount() == 2, timeout=WAIT)
    first = review.current_id
    review.reject()
    settle(qtbot, window)
    review.step(2)
    settle(qtbot, window)
    assert review.current_id != first
    said = step(qtbot, window, window.undo)
    assert said.startswith("Undone: Reject 2 captions (photo") and review.current_id == first
    review.step(1)
    settle(qtbot, window)
    here = review.current_id
    step(qtbot, window, window.redo)
    assert review.current_id == here, "what is rejected again does not wait here"
    window.go("library")
    grid = window.view("library").grid
    grid.setFocus(Qt.FocusReason.OtherFocusReason)
    grid.selectAll()
    window.view("library").selected.accept()
    settle(qtbot, window)
    assert step(qtbot, window, window.undo) == "Undone: Accept 7 captions"


def test_a_choice_that_something_else_has_changed_since_is_not_said_to_be_undone(qtbot, open_window, photos):
    window = open_window(photos)
    with Library.open(window.session.service.path) as library:
        first, newest = (create_run(library, "recommended", {}).id for _ in range(2))
    window.session.write(lambda service: service.use_run(first), lambda _: None)
    settle(qtbot, window)
    with Library.open(window.session.service.path) as library:
        set_current_run(library, newest)
    assert "Nothing changes by it: it has been changed since" in step(qtbot, window, window.undo)
