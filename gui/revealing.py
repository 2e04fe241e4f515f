"""Showing a file or a folder in the system's file manager; and where nothing opens, telling where it lies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QUrl
from PySide6.QtGui import QDesktopServices

from gui.words import tr

Tell = Callable[[str], object]
_FILE_MANAGER = "org.freedesktop.FileManager1"


def show_folder(folder: Path, tell: Tell) -> None:
    """Open a folder; ``tell`` is given its place in words where no program does that."""
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        text = tr("No program opened the folder. It is {folder}.")
        tell(text.format(folder=folder))


def show_file(file: Path, tell: Tell) -> None:
    """Open the folder of a file with the file selected in it, where the file manager can do that."""
    command = _selecting(file)
    if command is not None:
        try:
            subprocess.Popen(command)
        except OSError:
            show_folder(file.parent, tell)
    elif not _asked_by_dbus(file, lambda: show_folder(file.parent, tell)):
        show_folder(file.parent, tell)


def _selecting(file: Path) -> str | list[str] | None:
    """The command that does it, of which Explorer reads the line in its own way; ``None`` where there is none."""
    if sys.platform == "win32":
        return f'explorer /select,"{file}"'
    return ["open", "-R", str(file)] if sys.platform == "darwin" else None


def _asked_by_dbus(file: Path, otherwise: Callable[[], None]) -> bool:
    """Whether a file manager has been asked; ``otherwise`` is called when it answers that it cannot, or does not."""
    try:
        from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusPendingCallWatcher
    except ImportError:  # the system's own library is not there
        return False
    bus = QDBusConnection.sessionBus()
    if not bus.isConnected():
        return False
    path = "/" + _FILE_MANAGER.replace(".", "/")
    message = QDBusMessage.createMethodCall(_FILE_MANAGER, path, _FILE_MANAGER, "ShowItems")
    message.setArguments([[QUrl.fromLocalFile(str(file)).toString(QUrl.ComponentFormattingOption.FullyEncoded)], ""])
    watcher = QDBusPendingCallWatcher(bus.asyncCall(message), QCoreApplication.instance())

    def answered() -> None:
        if watcher.isError():
            otherwise()
        watcher.deleteLater()

    watcher.finished.connect(answered)
    return True
