"""The system's trash, as Qt knows it, for :mod:`core.library.trash`."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QFile, QStandardPaths

DATA = QStandardPaths.StandardLocation.GenericDataLocation


def throw(path: Path) -> Path | None:
    """Move a file to the trash; where it lies there, or ``None`` where there is no trash for it."""
    # Qt makes the trash of a home, but not the folder it lies in, which a new account may not have yet.
    Path(QStandardPaths.writableLocation(DATA)).mkdir(parents=True, exist_ok=True)
    file = QFile(str(path))
    return Path(file.fileName()) if file.moveToTrash() else None  # the name is the one in the trash then
