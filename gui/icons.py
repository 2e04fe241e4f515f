"""Own monochrome SVG icons (``resources/icons``), tinted with the theme when they are painted.

An icon engine renders for the size, scale and state at hand, so a live theme switch needs no new icons.
"""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QImage, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from core.paths import resources_dir
from gui.theme import LIGHT, colour


@cache
def _svg(name: str) -> str:
    return (resources_dir() / "icons" / f"{name}.svg").read_text("utf-8")


@cache
def _renderer(name: str, colour_name: str) -> QSvgRenderer:
    return QSvgRenderer(QByteArray(_svg(name).replace("currentColor", colour_name).encode()))


def paint_icon(painter: QPainter, name: str, rect: QRectF, tint: QColor) -> None:
    """Draw the icon into ``rect`` with one colour."""
    _renderer(name, tint.name()).render(painter, rect)


class _Engine(QIconEngine):
    def __init__(self, name: str, role: str) -> None:
        super().__init__()
        self._name = name
        self._role = role

    def clone(self) -> QIconEngine:
        return _Engine(self._name, self._role)

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        role = self._role
        if mode == QIcon.Mode.Disabled:
            role = "outline"
        elif state == QIcon.State.On and role == "text":
            role = "accent"
        paint_icon(painter, self._name, QRectF(rect), colour(role))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        image = QImage(size, QImage.Format.Format_ARGB32_Premultiplied)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return QPixmap.fromImage(image)


class _AppEngine(_Engine):
    """The app's own icon as windows and task bars show it: they have colours of their own, so it brings its ground."""

    def clone(self) -> QIconEngine:
        return _AppEngine(self._name, self._role)

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        room = QRectF(rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(LIGHT.accent))
        painter.drawRoundedRect(room, room.width() / 5, room.height() / 5)
        inset = room.width() / 10
        paint_icon(painter, self._name, room.adjusted(inset, inset, -inset, -inset), QColor(LIGHT.on_accent))


def app_icon() -> QIcon:
    """The same in light and dark, and to be seen on either."""
    return QIcon(_AppEngine("app", "accent"))


def icon(name: str, role: str = "text") -> QIcon:
    """The icon ``resources/icons/NAME.svg`` in the theme's colour ``role``."""
    _svg(name)  # a missing file fails here, not while painting
    return QIcon(_Engine(name, role))
