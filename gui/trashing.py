"""The system's trash, as Qt knows it, for :mod:`core.library.trash`."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QFile


def throw(path: Path) -> Path | None:
    """Move a file to the trash; where it lies there, or ``None`` where there is no trash for it."""
    file = QFile(str(path))
    return Path(file.fileName()) if file.moveToTrash() else None  # the name is the one in the trash then
