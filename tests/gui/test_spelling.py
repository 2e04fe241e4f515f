"""Words that no dictionary knows are underlined while captions are typed, with a made-up checker and the system's."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gui import enchant, spelling
from gui.enchant import find_enchant
from gui.spelling import own_words
from gui.widgets.spell_marks import SpellMarks
from tests.gui.conftest import settle, type_caption


class Few:
    """Knows some words."""

    def __init__(self) -> None:
        self.words = {"a", "red", "ball", "on", "the", "beach", "dog's"}

    def knows(self, word: str) -> bool:
        return word.lower() in self.words

    def suggestions(self, word: str) -> list[str]:
        return ["red", "ready", *"bcdefg"] if word == "redd" else []

    def add(self, word: str) -> None:
        self.words.add(word)


@pytest.fixture
def seed(qtbot, open_window, photos, monkeypatch):
    """Seed with the first photo, and its editor's marks."""
    monkeypatch.setattr(spelling, "find_checker", Few)
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    view = window.view("seed")
    return view, view.editor.findChild(SpellMarks)


def menu_at(editor, marks, position: int) -> dict[str, object]:
    """The menu as a right click on a word opens it, its lines by their words."""
    cursor = editor.textCursor()
    cursor.setPosition(position)
    at = editor.cursorRect(cursor).center()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, editor.viewport().mapToGlobal(at))
    QApplication.sendEvent(editor.viewport(), event)
    assert marks.menu is not None and marks.menu.isVisible()
    return {action.text().replace("&", ""): action for action in marks.menu.actions()}


def test_what_no_dictionary_knows_is_marked_once_the_word_is_whole(seed):
    view, marks = seed
    QTest.keyClicks(view.editor, "A redd")
    assert marks.marked == [], "it is still being typed"
    view.editor.insertPlainText(" ball, GPS 4x4 and the dog’s ")  # pasted
    QTest.keyClicks(view.editor, "zq")
    assert marks.marked == ["redd", "and"]
    view.editor.set_text("🏖🏖 a bech")  # as another photo's caption is shown
    view.editor.moveCursor(view.editor.textCursor().MoveOperation.Start)
    assert marks.marked == ["bech"]


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # of a screen that is none, about its menus
def test_the_menu_offers_other_words_and_replacing_is_typing(qtbot, seed):
    view, marks = seed
    QTest.keyClicks(view.editor, "a redd ball")
    found = menu_at(view.editor, marks, 4)
    assert list(found)[:7] == ["red", "ready", "b", "c", "d", "Add “redd” to my words", ""]
    assert len(found) > 9, "what the menu has otherwise"
    found["red"].trigger()
    marks.menu.close()
    assert view.editor.text == "a red ball" and marks.marked == []
    assert view.editor.document().isUndoAvailable()
    QTest.keyClicks(view.editor, " qwx ")
    found = menu_at(view.editor, marks, 12)
    assert not found["No suggestion"].isEnabled()
    found["Add “qwx” to my words"].trigger()
    marks.menu.close()
    assert marks.marked == []
    assert "Add “qwx” to my words" not in menu_at(view.editor, marks, 12)
    marks.menu.close()
    QApplication.processEvents()


def test_words_of_ones_own_captions_are_meant_and_the_marks_can_be_switched_off(qtbot, seed):
    view, marks = seed
    window, editor = view.window(), view.editor
    type_caption(qtbot, window, "a Zwiebelturm on the beach")
    QTest.keyClicks(editor, "the zwiebelturm xyz ")
    assert marks.marked == ["zwiebelturm", "xyz"], "once may be a slip"
    editor.submitted.emit()
    settle(qtbot, window)
    QTest.keyClicks(editor, "the zwiebelturm xyz ")
    assert marks.marked == ["xyz"]
    window.preferences.set("spelling", False)
    assert marks.marked == []
    window.preferences.set("spelling", True)
    assert marks.marked == ["xyz"]


def test_a_caption_is_typed_and_kept_without_a_checker(qtbot, open_window, photos, monkeypatch):
    monkeypatch.setattr(spelling, "find_checker", lambda: None)
    window = open_window(photos)
    window.go("seed")
    type_caption(qtbot, window, "qwx qwx")
    assert window.session.overview.counts.seeds == 1
    window.view("seed").editor.set_text("qwx")
    assert window.view("seed").editor.findChild(SpellMarks).marked == []


def test_a_word_counts_once_a_caption():
    assert own_words(["Ab ab cd", "cd’s ab", "Ef cd's"]) == {"ab", "cd's"}


def test_a_system_without_enchant_has_no_checker(monkeypatch):
    monkeypatch.setattr(enchant, "_ELSEWHERE", ("libthere-is-none.so.2",))
    monkeypatch.setattr(enchant, "_NAMES", {})
    assert find_enchant(["en_US"]) is None


@pytest.mark.skipif(sys.platform == "win32", reason="enchant is not part of Windows")
def test_the_systems_own_dictionaries(monkeypatch, tmp_path):
    monkeypatch.setenv("ENCHANT_CONFIG_DIR", str(tmp_path))  # words that are added go there
    found = find_enchant(["xx_XX", *spelling.ENGLISH])
    if found is None:
        pytest.skip("no enchant with English dictionaries")
    assert found.knows("house") and found.knows("don't") and not found.knows("hous")
    assert "house" in found.suggestions("hous")
    found.add("hous")
    assert found.knows("hous")
    assert find_enchant(["xx_XX"]) is None
