"""The window as it was left: its size, the place, and what in it has a name and can be opened, sized or moved."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QFrame, QMainWindow, QSplitter, QWidget

from gui.widgets.basics import ComboBox, Disclosure
from gui.widgets.folder_panel import FolderPanel
from gui.widgets.photo_grid import SIDES, PhotoGrid

_PARTS = "parts/"


@runtime_checkable
class Kept(Protocol):
    """A part that says itself what is to be kept of it."""

    def objectName(self) -> str: ...

    def to_keep(self) -> str: ...

    def put_back(self, kept: str) -> None: ...


Part = Kept | QSplitter | Disclosure | FolderPanel | PhotoGrid | ComboBox


def keep_window(window: QMainWindow, place: str, settings: QSettings) -> None:
    settings.setValue("geometry", window.saveGeometry())
    settings.setValue("place", place)
    for part in _named(window):
        settings.setValue(_PARTS + part.objectName(), _state(part))


def restore_size(window: QMainWindow, settings: QSettings) -> None:
    geometry = settings.value("geometry")
    if isinstance(geometry, QByteArray):
        window.restoreGeometry(geometry)


def restore_parts(view: QWidget, settings: QSettings) -> None:
    """The parts of a place that has just been made; what is stored and makes no sense any more is left alone."""
    for part in _named(view):
        key = _PARTS + part.objectName()
        if not settings.contains(key):
            continue
        if isinstance(part, Kept):
            part.put_back(str(settings.value(key)))
        elif isinstance(part, QSplitter):
            state = settings.value(key)
            if isinstance(state, QByteArray):
                part.restoreState(state)
        elif isinstance(part, Disclosure | FolderPanel):
            part.set_open(bool(settings.value(key, False, bool)))
        elif isinstance(part, ComboBox):
            said = str(settings.value(key))
            part.setCurrentIndex(
                next((n for n in range(part.count()) if str(part.itemData(n)) == said), part.currentIndex())
            )
        elif (side := settings.value(key, 0, int)) in SIDES:
            part.set_side(side)


def _named(within: QWidget) -> list[Part]:
    parts: list[Part] = []
    for kind in (QSplitter, Disclosure, FolderPanel, PhotoGrid, ComboBox):
        parts += [part for part in within.findChildren(kind) if part.objectName()]
    parts += [part for part in within.findChildren(QFrame) if isinstance(part, Kept)]
    return parts


def _state(part: Part) -> object:
    if isinstance(part, Kept):
        return part.to_keep()
    if isinstance(part, QSplitter):
        return part.saveState()
    if isinstance(part, ComboBox):
        return part.currentData()
    return part.side if isinstance(part, PhotoGrid) else part.is_open
