"""Delete in Library takes photos out of it, and they come back: by undo, after a restart, and from their list."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library import queries
from core.library.library import Library
from tests.gui.conftest import close, draw_photos, settle


def select(grid, *rows):
    grid.clearSelection()
    grid.select_id(grid.photos.id_at(rows[0]))
    for row in rows[1:]:
        grid.selectionModel().select(grid.photos.index(row), grid.selectionModel().SelectionFlag.Select)


def names(library):
    with Library.open(library) as opened:
        return [row.relative_path for row in queries.images_of(opened)]


def test_delete_takes_the_selected_photos_out_and_goes_on_with_the_next(qtbot, open_window, photos):
    window = open_window(photos)
    grid, path = window.view("library").grid, window.session.service.path
    before = grid.photos.ids.tolist()
    select(grid, 2, 3)
    QTest.keyClick(grid, Qt.Key.Key_Delete)
    settle(qtbot, window)
    assert grid.photos.ids.tolist() == before[:2] + before[4:]
    assert grid.current_id() == before[4] and grid.selected_ids() == [before[4]]
    assert "no file was touched" in window.toast.message and len(list(photos.glob("*.png"))) == 8
    assert window.view("library").selected.link.text() == "2 removed"
    QTest.keyClick(grid, Qt.Key.Key_Delete)
    settle(qtbot, window)
    window.view("library").scan()
    settle(qtbot, window)
    assert grid.photos.rowCount() == 5, "looking for changes brings nothing back"
    assert "3 removed before and left out" in window.toast.message

    close(qtbot, window)
    again = open_window(photos)
    assert again.view("library").grid.photos.rowCount() == 5
    again.undo()
    again.undo()
    settle(qtbot, again)
    assert again.view("library").grid.photos.ids.tolist() == before and len(names(path)) == 8


def test_the_photos_taken_out_are_listed_and_put_back(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    before = library.grid.photos.ids.tolist()
    select(library.grid, 0, 1)
    QTest.keyClick(library.grid, Qt.Key.Key_Delete)
    settle(qtbot, window)
    assert library.selected.link.isVisible() and not library.selected.bar.isVisible()
    library.selected.link.click()
    library._apply_filter()
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == before[:2] and library.selected.bar.isVisible()
    select(library.grid, 0)
    window.actions_table["put_back"].trigger()
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == before[1:2]
    window.actions_table["back"].trigger()
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == before[:1] + before[2:]
    assert not library.selected.bar.isVisible() and library.filter_box.text() == ""


def test_a_photo_that_a_filter_hides_is_not_selected_when_it_is_shown_later(qtbot, open_window, photos):
    """Else it would replace what the person has selected, and the next Delete would hit it."""
    window = open_window(photos)
    library = window.view("library")
    hidden = library.grid.photos.id_at(2)
    library.filter_box.setText("state:accepted")
    library._apply_filter()
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 0
    library.lead_to(hidden)
    window.session.refresh()
    settle(qtbot, window)
    library.show_all()
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 8 and library.grid.selected_ids() == []


def test_a_photo_that_undo_puts_back_is_selected_when_it_is_shown_again(qtbot, open_window, photos):
    window = open_window(photos)
    grid = window.view("library").grid
    out = grid.photos.id_at(2)
    select(grid, 2)
    QTest.keyClick(grid, Qt.Key.Key_Delete)
    settle(qtbot, window)
    window.undo()
    settle(qtbot, window)
    assert grid.selected_ids() == [out]


def test_a_photo_that_is_waited_for_gives_way_to_what_the_person_selects(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    hidden, mine = library.grid.photos.id_at(1), library.grid.photos.id_at(6)
    library.grid.photos.set_ids(library.grid.photos.ids[2:])
    library.lead_to(hidden)
    assert library.selected.wanted == hidden
    library.grid.select_id(mine)
    library.reload()
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 8 and library.grid.current_id() != hidden


def test_delete_in_a_box_edits_its_text(qtbot, open_window, photos):
    window = open_window(photos)
    library = window.view("library")
    library.grid.selectAll()
    library.filter_box.setText("photo")
    library.filter_box.setFocus()
    library.filter_box.setCursorPosition(0)
    QTest.keyClick(library.filter_box, Qt.Key.Key_Delete)
    library.folders.setVisible(True)
    library.folders.tree.setFocus()
    QTest.keyClick(library.folders.tree, Qt.Key.Key_Delete)
    settle(qtbot, window)
    assert library.filter_box.text() == "hoto" and window.session.overview.counts.removed == 0


def test_files_that_cannot_be_read_are_left_out_from_their_list(qtbot, open_window, tmp_path):
    photos = draw_photos(tmp_path / "photos", 2)
    (photos / "bad.jpg").write_bytes(b"no picture")
    window = open_window(photos)
    library = window.view("library")
    library.show_failed(True)
    settle(qtbot, window)
    assert library.trouble.failed.isVisible() and library.failed.list.count() == 1
    library.failed._leave_out()
    settle(qtbot, window)
    assert not library.trouble.failed.isVisible() and not library.failed.isVisible()
    assert (photos / "bad.jpg").exists()
    window.undo()
    settle(qtbot, window)
    assert library.trouble.failed.isVisible()
