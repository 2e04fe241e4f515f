"""Files and folders shown in the file manager; and where none opens, the place told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QLabel, QPushButton

from gui import revealing
from gui.log_dialog import LogDialog
from gui.settings_dialog import SettingsDialog
from tests.gui.conftest import settle


@pytest.fixture
def opened(monkeypatch):
    """What the desktop was asked to open; ``able``: whether a program does."""

    class Desktop(list):
        able = True

    asked = Desktop()
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: asked.append(Path(url.toLocalFile())) or asked.able)
    return asked


@pytest.mark.parametrize(
    ("platform", "command"),
    [("darwin", ["open", "-R", "/photos/a b.png"]), ("win32", 'explorer /select,"/photos/a b.png"')],
)
def test_the_file_is_selected_where_the_file_manager_can(monkeypatch, opened, platform, command):
    started = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(revealing.subprocess, "Popen", started.append)
    revealing.show_file(Path("/photos/a b.png"), opened.append)
    assert started == [command] and opened == []


def test_without_such_a_program_its_folder_opens(monkeypatch, opened):
    def missing(_command):
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(revealing.subprocess, "Popen", missing)
    revealing.show_file(Path("/photos/a.png"), pytest.fail)
    assert opened == [Path("/photos")]


def test_a_file_manager_that_cannot_select_opens_the_folder(monkeypatch, opened):
    answers = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(revealing, "_asked_by_dbus", lambda file, otherwise: not answers.append((file, otherwise)))
    revealing.show_file(Path("/photos/a.png"), pytest.fail)
    ((file, otherwise),) = answers
    assert file == Path("/photos/a.png") and opened == []
    otherwise()
    assert opened == [Path("/photos")]


def test_where_nobody_listens_the_folder_opens(qapp, monkeypatch, opened):
    monkeypatch.setattr(sys, "platform", "linux")
    from PySide6.QtDBus import QDBusConnection

    if QDBusConnection.sessionBus().isConnected():
        pytest.skip("this computer has a desktop that would show the file")
    revealing.show_file(Path("/photos/a.png"), pytest.fail)
    assert opened == [Path("/photos")]


def test_what_opens_nowhere_is_told_by_its_place(qtbot, open_window, photos, opened):
    opened.able = False
    window = open_window(photos)
    said = []
    window.session.said.connect(said.append)
    grid = window.view("library").grid
    grid.select_id(int(grid.photos.ids[2]))
    settle(qtbot, window)
    window.actions_table["reveal"].trigger()
    assert said and said[-1].endswith(f"{photos}.")
    window.library_place.show_it.click()
    assert said[-1].endswith(f"{window.session.service.path.parent}.")
    for action, dialog, place in (("log", LogDialog, "log"), ("settings", SettingsDialog, "data")):
        window.actions_table[action].trigger()
        found = window.findChild(dialog)
        next(one for one in found.findChildren(QPushButton) if one.text().strip() == "Show the folder").click()
        told = [one.text() for one in found.findChildren(QLabel)]
        assert any("No program opened the folder" in text and place in text for text in told), action


def test_where_downloaded_models_lie_is_told_where_nothing_opens(qtbot, open_window, photos, opened):
    window = open_window(photos)
    said = []
    window.session.said.connect(said.append)
    opened.able = False
    window.actions_table["settings"].trigger()
    part = window.findChildren(SettingsDialog)[-1].models
    part._show_folder()
    assert opened and str(opened[0]) in said[0]
    part.where.set_text("/somewhere/" + "far/" * 60 + "models")
    assert part.where.text().endswith("models") and part.where.text().startswith("/some"), "a path is cut in the middle"
