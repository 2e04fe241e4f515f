"""The window as it was left: its size, the place, and what in it has a name and can be opened, sized or moved."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QMainWindow, QSplitter, QWidget

from gui.widgets.basics import Disclosure
from gui.widgets.photo_grid import SIDES, PhotoGrid

_PARTS = "parts/"


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
        if isinstance(part, QSplitter):
            state = settings.value(key)
            if isinstance(state, QByteArray):
                part.restoreState(state)
        elif isinstance(part, Disclosure):
            part.set_open(bool(settings.value(key, False, bool)))
        elif (side := settings.value(key, 0, int)) in SIDES:
            part.set_side(side)


def _named(within: QWidget) -> list[QSplitter | Disclosure | PhotoGrid]:
    parts: list[QSplitter | Disclosure | PhotoGrid] = []
    for kind in (QSplitter, Disclosure, PhotoGrid):
        parts += [part for part in within.findChildren(kind) if part.objectName()]
    return parts


def _state(part: QSplitter | Disclosure | PhotoGrid) -> object:
    if isinstance(part, QSplitter):
        return part.saveState()
    return part.is_open if isinstance(part, Disclosure) else part.side
