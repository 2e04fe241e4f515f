"""Whatever the keyboard reaches says what it is to a screen reader."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog

from gui.widgets.basics import Disclosure
from gui.worker import Failure
from tests.gui.conftest import nameless, settle, suggest_captions, type_caption

PLACES = ("library", "seed", "train", "review", "deliver")


def test_what_takes_the_focus_has_a_name_without_a_library(open_window):
    window = open_window()
    found = set()
    for place in PLACES:
        window.go(place)
        found |= nameless(window)
    for action in ("settings", "shortcuts", "log", "about", "palette"):
        window.actions_table[action].trigger()
        found |= nameless(window)
    window._show_details(Failure("Something went wrong.", "", "details"))
    found |= nameless(window)
    assert [type(one).__name__ for one in window.findChildren(QDialog)][-1] == "CrashDialog"
    assert found == set()


def test_what_takes_the_focus_has_a_name_in_a_library(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    type_caption(qtbot, window, "typed")
    suggest_captions(window.session.service.path, {2: ["said", "told"]}, {"said": (0.7, 1), "told": (0.6, 3)})
    window.session.refresh()
    settle(qtbot, window)
    found = set()
    for place in PLACES:
        window.go(place)
        settle(qtbot, window)
        for more in window.view(place).findChildren(Disclosure):
            more.set_open(True)
        found |= nameless(window)
    window.go("review")
    window.actions_table["edit"].trigger()
    found |= nameless(window)
    window.actions_table["rewrite"].trigger()
    settle(qtbot, window)
    found |= nameless(window)
    assert [type(one).__name__ for one in window.findChildren(QDialog)] == ["RewriteDialog"]
    assert found == set()
