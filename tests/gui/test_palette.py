"""Find an action by its words and run it by keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.actions import SPECS
from tests.gui.conftest import settle

CONTROL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def window(qtbot, open_window, photos):
    made = open_window(photos)
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    return made


def open_palette(window):
    QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_P, CONTROL_SHIFT)
    palette = window.palette_of_actions
    assert palette.isVisible() and palette.box.hasFocus()
    return palette


def test_every_action_that_can_be_carried_out_is_listed_with_its_keys(window):
    palette = open_palette(window)
    able = {one.name for one in SPECS if window.actions_table[one.name].isEnabled()}
    missing = able - set(palette.names)
    assert missing - {"palette"} == {one.name for one in SPECS if one.on_shown and one.name in able}
    assert not {"undo", "cancel_job"} & set(palette.names), "there is nothing to take back, and nothing runs"
    keys = {palette.names[at]: palette.table.item(at, 2).text() for at in range(palette.table.rowCount())}
    assert keys["rescan"] == "F5"
    assert palette.names.index("folders") < palette.names.index("rescan"), "this place first"


def test_typing_finds_enter_runs_and_the_focus_comes_back(qtbot, window):
    grid = window.view("library").grid
    grid.setFocus()
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "dark")
    assert palette.names == ["theme_dark", "next_theme"]
    QTest.keyClick(palette.box, Qt.Key.Key_Return)
    assert not palette.isVisible() and grid.hasFocus()
    assert window.actions_table["theme_dark"].isChecked()
    window.set_theme("light")


def test_the_list_is_walked_from_the_box_and_read_out(window):
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "theme light dark")
    assert palette.names == ["next_theme"] or not palette.names
    palette.box.clear()
    QTest.keyClick(palette.box, Qt.Key.Key_Down)
    QTest.keyClick(palette.box, Qt.Key.Key_Down)
    assert palette.table.currentRow() == 2
    assert palette.table.item(2, 0).text() in palette.box.accessibleDescription()
    QTest.keyClick(palette.box, Qt.Key.Key_Up)
    assert palette.table.currentRow() == 1


def test_what_has_the_words_in_its_name_comes_before_what_has_them_in_its_tip(window):
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "photos")
    named = ["photos" in palette.table.item(at, 0).text().casefold() for at in range(palette.table.rowCount())]
    assert named == sorted(named, reverse=True) and not all(named)


def test_escape_closes_it_and_nothing_runs(qtbot, window):
    ran = []
    window.actions_table["rescan"].triggered.connect(lambda: ran.append(1))
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "look for changes")
    QTest.keyClick(palette.box, Qt.Key.Key_Escape)
    assert not palette.isVisible() and not ran


def test_words_that_fit_nothing_are_answered(window):
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "xyzzy")
    assert palette.names == [] and palette.nothing.isVisible()
    QTest.keyClick(palette.box, Qt.Key.Key_Return)
    assert palette.isVisible()


def test_an_action_of_another_place_is_run_there(qtbot, window):
    palette = open_palette(window)
    QTest.keyClicks(palette.box, "next photo without your caption")
    assert palette.names == ["next_uncaptioned"]
    QTest.keyClick(palette.box, Qt.Key.Key_Return)
    settle(qtbot, window)
    assert window.place == "seed"


def test_what_decides_about_a_photo_is_offered_only_where_that_is_seen(qtbot, window):
    assert "reject" not in open_palette(window).names
    QTest.keyClick(window.palette_of_actions.box, Qt.Key.Key_Escape)
    window.go("review")
    settle(qtbot, window)
    window.actions_table["reject"].setEnabled(True)
    assert "reject" in open_palette(window).names


def test_it_goes_when_the_focus_goes(window):
    palette = open_palette(window)
    grid = window.view("library").grid
    grid.setFocus()
    assert not palette.isVisible() and grid.hasFocus()


def test_the_list_shows_whole_lines_and_is_no_higher_than_they_are(window):
    palette = open_palette(window)
    line = palette.table.verticalHeader().defaultSectionSize()
    assert palette.table.viewport().height() % line == 0
    high = palette.height()
    QTest.keyClicks(palette.box, "dark")
    assert palette.table.viewport().height() == 2 * line and palette.height() < high


def test_keys_are_called_as_in_the_hints_of_the_places(window):
    actions = window.actions_table
    assert actions.keys("accept").endswith("Enter") and actions.keys("reject") == "Delete"
