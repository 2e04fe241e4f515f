"""The keys of every action: found, chosen anew by keyboard, and the same after the next start."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest

from gui.actions import SPECS
from gui.shortcuts_dialog import ShortcutsDialog
from tests.gui.conftest import close


@pytest.fixture
def opened(open_window):
    """The window and its list of keys."""

    def open_one():
        window = open_window()
        window.actions_table["shortcuts"].trigger()
        return window, window.findChild(ShortcutsDialog)

    return open_one


def choose(dialog: ShortcutsDialog, name: str) -> None:
    dialog.table.setCurrentCell(next(at for at, spec in enumerate(SPECS) if spec.name == name), 0)
    assert dialog.name == name


def press(dialog: ShortcutsDialog, key: Qt.Key, modifier=Qt.KeyboardModifier.ControlModifier) -> None:
    dialog.keys.setFocus()
    QTest.keyClick(dialog.keys, key, modifier)


def test_the_list_of_keys_is_searchable_and_complete(opened):
    _, dialog = opened()
    assert dialog.table.rowCount() == len(SPECS) and not dialog.isModal()
    QTest.keyClicks(dialog.box, "reject review")
    shown = [row for row in range(dialog.table.rowCount()) if not dialog.table.isRowHidden(row)]
    assert [dialog.table.item(row, 1).text() for row in shown] == ["Reject"]
    assert dialog.name == "reject" and dialog.none.isEnabled(), "what the buttons change is what is shown"
    QTest.keyClicks(dialog.box, " nothing like that")
    assert not dialog.none.isEnabled() and not dialog.use.isEnabled()
    dialog.box.clear()
    assert dialog.none.isEnabled()


def test_no_two_actions_of_a_place_share_a_key():
    for place in {spec.where for spec in SPECS}:
        keys = [key for spec in SPECS if spec.where in (place, "Anywhere") for key in spec.keys]
        assert len(keys) == len(set(keys)), place


def test_chosen_keys_work_at_once_and_after_a_restart_until_the_usual_ones_are_wanted_back(qtbot, opened, open_window):
    window, dialog = opened()
    choose(dialog, "go_seed")
    assert not dialog.use.isEnabled() and not dialog.usual.isEnabled()
    press(dialog, Qt.Key.Key_9)
    dialog.use.click()
    assert dialog.table.item(dialog.table.currentRow(), 2).text() == "Ctrl+9"
    dialog.close()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    QTest.keyClick(window, Qt.Key.Key_9, Qt.KeyboardModifier.ControlModifier)
    assert window.place == "seed"
    window.go("library")
    QTest.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert window.place == "library"
    close(qtbot, window)
    window, dialog = opened()
    assert window.actions_table["go_seed"].shortcuts() == [QKeySequence("Ctrl+9")]
    choose(dialog, "go_seed")
    dialog.usual.click()
    assert window.actions_table["go_seed"].shortcuts() == [QKeySequence("Ctrl+2")]
    assert not window.actions_table.is_rebound("go_seed")


def test_keys_that_are_taken_where_they_would_work_are_refused_by_name(opened):
    window, dialog = opened()
    choose(dialog, "train")  # of the place Train
    press(dialog, Qt.Key.Key_2)  # works anywhere
    assert not dialog.use.isEnabled() and "Seed" in dialog.said.text()
    dialog.keys.clear()
    press(dialog, Qt.Key.Key_J)  # of the place Seed, where Train's keys do nothing
    assert dialog.use.isEnabled()
    dialog.use.click()
    choose(dialog, "go_deliver")  # anywhere: both would answer
    press(dialog, Qt.Key.Key_J)
    assert not dialog.use.isEnabled()
    assert window.actions_table["go_deliver"].shortcuts() == [QKeySequence("Ctrl+5")]


def test_the_usual_keys_stay_with_whoever_has_been_given_them(opened):
    window, dialog = opened()
    for name, key in (("go_seed", Qt.Key.Key_9), ("go_train", Qt.Key.Key_2)):
        choose(dialog, name)
        press(dialog, key)
        dialog.use.click()
    choose(dialog, "go_seed")
    dialog.usual.click()
    assert "Train" in dialog.said.text()
    assert window.actions_table["go_seed"].shortcuts() == [QKeySequence("Ctrl+9")]
    assert window.actions_table["go_train"].shortcuts() == [QKeySequence("Ctrl+2")]


def test_keys_can_be_taken_away_and_the_second_of_two_stays(opened):
    window, dialog = opened()
    actions = window.actions_table
    choose(dialog, "redo")
    press(dialog, Qt.Key.Key_9)
    dialog.use.click()
    assert actions["redo"].shortcuts() == [QKeySequence("Ctrl+9"), QKeySequence("Ctrl+Y")]
    press(dialog, Qt.Key.Key_Y)
    dialog.use.click()
    assert actions["redo"].shortcuts() == [QKeySequence("Ctrl+Y")]
    dialog.none.click()
    assert actions["redo"].shortcuts() == [] and dialog.table.item(dialog.table.currentRow(), 2).text() == ""
    assert not dialog.none.isEnabled()


def test_whatever_names_keys_names_the_chosen_ones(open_window):
    window = open_window()
    actions, seed, review = window.actions_table, window.view("seed"), window.view("review")
    assert window.rail.buttons["seed"].toolTip().endswith("(Ctrl+2)")
    assert seed.keys.text() == "Enter saves and goes on · Ctrl+↑ Ctrl+↓ other photos · F1 all keys"
    assert "1–9 choose · Enter edits · Ctrl+Enter accepts" in review.keys.text()
    assert review.blind.answers["blind_left"].text() == "1 · Left is better"
    for name, keys in (("go_seed", "Ctrl+9"), ("shortcuts", "F2"), ("accept", "Ctrl+M"), ("blind_left", "L")):
        actions.rebind(name, [QKeySequence(keys)])
    actions.rebind("edit", [])
    actions.rebind("blind_back", [])
    assert window.rail.buttons["seed"].toolTip().endswith("(Ctrl+9)") and window.rail.keys.toolTip().endswith("(F2)")
    assert seed.keys.text().endswith("F2 all keys")
    assert "1–9 choose · Ctrl+M accepts" in review.keys.text() and "edits" not in review.keys.text()
    assert review.blind.answers["blind_left"].text() == "L · Left is better"
    assert review.blind.keys.text() == "L left · 2 right · 0 no difference · Esc ends"
    actions.reset("go_seed")
    assert window.rail.buttons["seed"].toolTip().endswith("(Ctrl+2)")
    actions.rebind("go_seed", [])
    assert "(" not in window.rail.buttons["seed"].toolTip()


def test_an_action_without_keys_stays_without_where_none_are_chosen(open_window):
    actions = open_window().actions_table
    actions.rebind("go_seed", [])
    assert actions.is_rebound("go_seed") and actions._chosen(actions._specs["go_seed"]) == []
