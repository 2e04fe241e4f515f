"""Choosing folders and files in the system's own dialog. None of them is waited for: the window goes on meanwhile.

They belong to their window (*window-modal*), as the native dialogs of Windows and macOS are to be had in no other way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QStandardPaths, Qt
from PySide6.QtWidgets import QFileDialog, QWidget

_chosen: list[Path] = []
"""The folder of the last choice; one at most."""


def choose_folder(parent: QWidget, title: str, then: Callable[[Path], object]) -> None:
    """``then(folder)``, if one is chosen."""
    dialog = QFileDialog(parent, title)
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    _open(dialog, then)


def choose_file(parent: QWidget, title: str, kinds: str, then: Callable[[Path], object]) -> None:
    """``then(file)``, if one that is there is chosen. ``kinds``: as Qt writes them, ``Text (*.txt)``."""
    dialog = QFileDialog(parent, title, "", kinds)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    _open(dialog, then)


def name_file(parent: QWidget, title: str, name: str, then: Callable[[Path], object]) -> None:
    """``then(file)`` for a file to be written, if one is named; ``name`` is proposed."""
    dialog = QFileDialog(parent, title)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.selectFile(name)
    dialog.setDefaultSuffix(Path(name).suffix.removeprefix("."))
    _open(dialog, then)


def _open(dialog: QFileDialog, then: Callable[[Path], object]) -> None:
    dialog.setDirectory(str(_begin_at()))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda chosen: _remember(Path(chosen).parent))
    dialog.fileSelected.connect(lambda chosen: then(Path(chosen)))
    dialog.open()


def _remember(folder: Path) -> None:
    _chosen[:] = [folder]


def _begin_at() -> Path:
    """Where somebody chose last, else where the system keeps pictures; never where the program happens to run."""
    if _chosen and _chosen[0].is_dir():
        return _chosen[0]
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    return Path(pictures) if pictures and Path(pictures).is_dir() else Path.home()
