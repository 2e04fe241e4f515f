"""The daily look at the open library's database: nobody waits for it, and what it finds is said in the window."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
from PySide6.QtWidgets import QApplication

from core.library import daily_check, integrity
from gui import checking
from tests.gui.conftest import WAIT, close, draw_photos, settle


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(checking, "CHECK_AFTER_MS", 1)


def test_a_library_is_looked_at_once_a_day_and_damage_is_said_with_the_next_step(
    qtbot, open_window, photos, monkeypatch
):
    looks, check_pages = [], integrity.check_pages

    def counted(path, **options):
        looks.append(threading.current_thread() is threading.main_thread())
        return check_pages(path, **options)

    monkeypatch.setattr(integrity, "check_pages", counted)
    window = open_window(photos)
    qtbot.waitUntil(lambda: looks == [False], timeout=WAIT)
    settle(qtbot, window)
    close(qtbot, window)
    window = open_window(photos, scan=False)
    qtbot.waitUntil(lambda: not window.session.check._timer.isActive(), timeout=WAIT)
    settle(qtbot, window)
    assert len(looks) == 1
    path = window.session.service.path
    close(qtbot, window)
    with closing(sqlite3.connect(path / "library.db")) as connection, connection:
        connection.execute("DELETE FROM meta")
        connection.execute("UPDATE image SET folder_id = 77 WHERE id = 1")
    window = open_window(photos, scan=False)
    qtbot.waitUntil(lambda: window.messages.kind == "bad", timeout=WAIT)
    assert "is damaged" in window.messages.message and "doctor" in window.messages.message
    assert QApplication.activeModalWidget() is None
    window.go("seed")
    assert window.place == "seed" and window.isEnabled()


def test_another_library_and_the_end_stop_a_look_and_nothing_waits_for_it(
    qtbot, open_window, photos, tmp_path, monkeypatch
):
    begun, ended = [], []

    def endless(folder, stopped):
        begun.append(folder)
        while not stopped():
            threading.Event().wait(0.005)
        ended.append(folder)
        return False

    monkeypatch.setattr(daily_check, "daily_check", endless)
    window = open_window()
    window.session.open(photos)
    qtbot.waitUntil(lambda: len(begun) == 1, timeout=WAIT)
    first = window.session.service.path
    window.go("review")
    assert window.place == "review" and ended == []
    window.session.open(draw_photos(tmp_path / "others", 1))
    qtbot.waitUntil(lambda: len(begun) == 2, timeout=WAIT)
    assert ended == [first] and window.session.service.path == begun[1] != first
    close(qtbot, window)
    assert ended == begun
