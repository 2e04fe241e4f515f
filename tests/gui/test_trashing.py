"""Shift+Delete moves photos' files to the real trash of the desktop, and Ctrl+Z has them back."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui import commands
from tests.gui.conftest import settle

SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def trash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return tmp_path / "share" / "Trash" / "files"


@pytest.fixture
def grid(qtbot, open_window, photos, trash):
    grid = open_window(photos).view("library").grid
    assert grid.select_id(grid.photos.id_at(0))
    return grid


def press(qtbot, grid, key, modifier) -> None:
    QTest.keyClick(grid, key, modifier)
    settle(qtbot, grid.window())


def test_a_file_goes_to_the_trash_and_comes_back(qtbot, grid, photos, trash):
    press(qtbot, grid, Qt.Key.Key_Delete, SHIFT)
    window = grid.window()
    assert [path.name for path in trash.iterdir()] == ["photo0.png"] and not (photos / "photo0.png").exists()
    assert window.toast.message == "1 photo moved to the trash; undo has them back"
    assert grid.photos.rowCount() == 7 and window.session.overview.counts.missing == 0
    assert grid.current_id() == grid.photos.id_at(0), "the next one: the key can be pressed again"
    press(qtbot, grid, Qt.Key.Key_Z, CTRL)
    assert (photos / "photo0.png").is_file() and not list(trash.iterdir())
    assert grid.photos.rowCount() == 8 and "photo0.png" in window.toast.message


def test_what_stands_in_the_way_is_said(qtbot, grid, photos, trash, monkeypatch):
    press(qtbot, grid, Qt.Key.Key_Delete, SHIFT)
    next(trash.iterdir()).unlink()
    press(qtbot, grid, Qt.Key.Key_Z, CTRL)
    said = grid.window().toast.message
    assert "photo0.png is not in the trash any more" in said and said.startswith("Undone")
    monkeypatch.setattr(commands, "throw", lambda _path: None)
    assert grid.select_id(grid.photos.id_at(0)) and grid.select_id(grid.photos.id_at(1))
    shown = grid.photos.rowCount()
    press(qtbot, grid, Qt.Key.Key_Delete, SHIFT)
    said = grid.window().toast.message
    assert said.startswith("Taken out of the library. photo")
    assert "could not be moved to the trash: its folder has no trash" in said
    assert grid.photos.rowCount() == shown - 1
