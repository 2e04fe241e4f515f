"""Library's tools: the filter box that helps and points at mistakes, the tree of folders, photos like one."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gui import finding
from gui.filters import Filter, Offer, offers
from gui.folders import folder_tree
from gui.services import Query
from gui.tasks import SearchResult, SimilarResult
from gui.widgets.photo_grid import SIDES
from tests.gui.conftest import WAIT, draw_photos, settle

# The offscreen platform says so of every popup; it has no windows to raise.
offscreen_popup = pytest.mark.qt_log_ignore("This plugin does not support (raise|grabbing)", extend=True)


@pytest.fixture
def photos(tmp_path):
    draw_photos(tmp_path / "photos", 2)
    draw_photos(tmp_path / "photos" / "trip", 3)
    draw_photos(tmp_path / "photos" / "trip" / "day two", 4)
    return tmp_path / "photos"


@pytest.fixture
def library(open_window, photos):
    return open_window(photos).view("library")


def popup(box):
    return box._completer.popup()


def type_text(box, text):
    box.setFocus()
    QTest.keyClicks(box, text)


@offscreen_popup
def test_a_word_begun_is_offered_whole(library):
    box = library.filter_box
    type_text(box, "dog -sta")
    assert popup(box).isVisible() and popup(box).model().index(0, 0).data(Qt.ItemDataRole.UserRole) == "state:"
    QTest.keyClick(popup(box), Qt.Key.Key_Down)
    QTest.keyClick(popup(box), Qt.Key.Key_Return)
    assert box.text() == "dog -state:", "a name goes on with its values"
    QTest.qWait(1)
    QTest.keyClicks(box, "acc")
    QTest.keyClick(popup(box), Qt.Key.Key_Down)
    QTest.keyClick(popup(box), Qt.Key.Key_Return)
    assert box.text() == "dog -state:accepted " and not popup(box).isVisible()


@offscreen_popup
def test_the_down_key_shows_what_can_be_asked_for(library):
    box = library.filter_box
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Down)
    shown = [popup(box).model().index(row, 0).data(Qt.ItemDataRole.UserRole) for row in range(3)]
    assert popup(box).isVisible() and shown == ["state:", "score:", "rank:"]
    popup(box).hide()


def test_nothing_is_offered_within_quotes_and_folders_are_quoted():
    assert offers('"sta') == [] and offers("") == []
    assert offers("folder:da", ("day two",)) == [Offer('folder:"day two"')]
    assert all(offer.meaning for offer in offers("", everything=True))


def test_the_word_that_is_wrong_is_marked_and_the_reason_stands_under_it(library):
    box = library.filter_box
    box.setText("dog author:wrong cat")
    library._apply_filter()
    assert box.marked == "wrong" and library._filter_problem.isVisible()
    word = box.mapTo(library._tools, box.rect().topLeft()).x() + box.mark_left()
    end = library._filter_problem.indent() + library._filter_problem.fontMetrics().horizontalAdvance(
        library._filter_problem.text()
    )
    assert library._filter_problem.indent() <= word and end <= library._tools.width(), "all of it can be read"
    plain = box.grab().toImage()
    box.clear_mark()
    assert box.grab().toImage() != plain, "the mark is painted"
    box.setText("dog")
    library._apply_filter()
    assert box.marked == "" and not library._filter_problem.isVisible()


def test_a_folder_is_chosen_by_key_and_left_again(qtbot, library):
    window = library.window()
    library._actions["folders"].trigger()
    settle(qtbot, window)
    tree = library.folders.tree
    assert tree.isVisible() and library.folders.folder == "", "all photos"
    names = [(item.text(0), item.text(1)) for item in reversed(library.folders._items())]
    assert sorted(names) == [("All photos", "9"), ("photos", "9"), ("trip", "7")], "what is below is filled in later"
    trip = next(item for item in library.folders._items() if item.text(0) == "trip")
    trip.setExpanded(True)
    assert trip.child(0).text(0) == "day two"
    tree.setCurrentItem(trip)
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 7
    QTest.keyClick(tree, Qt.Key.Key_Down)
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 4
    library.filter_box.setText("photo1")
    library._apply_filter()
    settle(qtbot, window)
    assert library.grid.photos.rowCount() == 1, "folder and filter together"
    library.filter_box.clear()
    library._apply_filter()
    library._actions["folders"].trigger()
    settle(qtbot, window)
    assert not tree.isVisible() and library.grid.photos.rowCount() == 9, "nothing is hidden by what cannot be seen"
    assert "day two" in library.filter_box.folders


def test_photos_like_one_and_back(qtbot, library, monkeypatch):
    ids = library.grid.photos.ids.tolist()
    asked = []

    def answer(ctx, order):
        asked.append(order.image_id)
        return SimilarResult(order.image_id, (ids[4], ids[0], ids[2]))

    monkeypatch.setattr(finding, "similar_photos", answer)
    library.grid.select_id(ids[4])
    library.grid.setFocus()
    library._actions["similar"].trigger()
    qtbot.waitUntil(lambda: library.grid.photos.ids.tolist() == [ids[4], ids[0], ids[2]], timeout=WAIT)
    assert asked == [ids[4]] and library._like_bar.isVisible() and "photo2.png" in library.likeness.full_text()
    assert library.sort.currentText() == "Best match first"
    settle(qtbot, library.window())
    library.grid.select_id(ids[2])
    QTest.keyClick(library.grid, Qt.Key.Key_Escape)
    settle(qtbot, library.window())
    assert library.grid.photos.ids.tolist() == ids and not library._like_bar.isVisible()
    assert library.grid.current_id() == ids[2], "what was looked at stays in sight"


def test_words_take_the_place_of_a_likeness(library, monkeypatch):
    monkeypatch.setattr(finding, "search_words", lambda ctx, order: SearchResult(order.text, ()))
    library._query = Query(found=(1, 2))
    library._like_bar.show()
    library.finding.forget()
    library.search_box.setText("a dog")
    library.search()
    assert not library._like_bar.isVisible() and library.finding.like is None


def test_a_query_is_told_to_core_in_one_text():
    assert Query(folder="/p/a b").text == 'folder:"/p/a b/"'
    assert Query(Filter("seed", "x OR y"), folder='/p/"q"').text == 'folder:"/p/\\"q\\"/" (state:seed (x OR y))'
    assert Query().everything and not Query(folder="/p").everything


def test_folders_without_photos_of_their_own_count_what_is_below():
    tree = folder_tree(["/p", "/q"], [("/p", "a/b", 2), ("/p", "a/c", 3), ("/q", "", 1)])
    assert tree.photos == {"/p": 5, "/p/a": 5, "/p/a/b": 2, "/p/a/c": 3, "/q": 1}
    assert tree.below == {"/p": ("/p/a",), "/p/a": ("/p/a/b", "/p/a/c")}


# -- larger and smaller photos ----------------------------------------------------------------------------------------


def turn(grid, eighths: int, held=Qt.KeyboardModifier.ControlModifier) -> None:
    """The wheel over the photos, in eighths of a degree; a notch is 120."""
    at = QPointF(grid.viewport().rect().center())
    away = QPoint(0, eighths)
    phase = Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(at, grid.mapToGlobal(at), QPoint(), away, Qt.MouseButton.NoButton, held, phase, False)
    QApplication.sendEvent(grid.viewport(), event)


def test_photos_grow_by_the_wheel_and_from_the_menu(qtbot, open_window, photos):
    window = open_window(photos)
    grid = window.view("library").grid
    before = SIDES.index(grid.side)
    turn(grid, 120)
    assert SIDES.index(grid.side) == before + 1
    turn(grid, -60)
    assert SIDES.index(grid.side) == before + 1, "half a notch is none yet"
    turn(grid, -60)
    turn(grid, 120, Qt.KeyboardModifier.NoModifier)
    assert SIDES.index(grid.side) == before, "without Ctrl it scrolls"
    turn(grid, 120 * 20)
    assert grid.side == SIDES[-1]
    window.go("seed")
    view = next(one.menu() for one in window.menuBar().actions() if one.text() == "&View")
    smaller = next(one for one in view.actions() if one.text() == "Smaller photos")
    smaller.trigger()
    assert window.place == "library" and grid.side == SIDES[-2]


def test_the_keys_of_the_large_photo_are_not_those_of_the_grid(qtbot, open_window, photos):
    window = open_window(photos)
    side = window.view("library").grid.side
    window.go("seed")
    settle(qtbot, window)
    QTest.keyClick(window.view("seed").editor, Qt.Key.Key_Equal, Qt.KeyboardModifier.ControlModifier)
    assert window.view("library").grid.side == side and window.place == "seed"
