"""Small pictures of a few photos: in a line, or in as many lines as they need."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.paint import draw_rounded, fit
from gui.theme import colour
from gui.thumbnails import Thumbnails

if TYPE_CHECKING:
    from core.library.records import ImageRow

SIDE = 48
FAINT = 0.35


class PhotoStrip(QWidget):
    """``name``: for screen readers. ``wrap``: in lines, as wide as there is room."""

    def __init__(self, thumbnails: Thumbnails, name: str, *, side: int = SIDE, wrap: bool = False) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self._side = side
        self._wrap = wrap
        self.photos: tuple[ImageRow, ...] = ()
        self._marked: frozenset[int] = frozenset()
        self._faint: frozenset[int] = frozenset()
        fixed, wide = QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding
        self.setSizePolicy(wide if wrap else fixed, fixed)
        self.setAccessibleName(name)
        thumbnails.ready.connect(self._arrived)
        theme.theme().changed.connect(self.update)

    def show_photos(
        self, photos: Sequence[ImageRow], *, marked: Collection[int] = (), faint: Collection[int] = ()
    ) -> None:
        """``marked``: with a frame in the accent colour, these ids; ``faint``: these are not what it is about."""
        self.photos = tuple(photos)
        self._marked, self._faint = frozenset(marked), frozenset(faint)
        names = "\n".join(photo.relative_path for photo in photos)
        self.setToolTip(names)
        self.setAccessibleDescription(names)
        self._fit()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        number = len(self.photos)
        if self._wrap:
            return QSize(self._side, self._lines() * (self._side + theme.XS))
        return QSize(max(0, number * self._side + (number - 1) * theme.XS), self._side)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _columns(self) -> int:
        whole = len(self.photos) or 1
        return max(1, (self.width() + theme.XS) // (self._side + theme.XS)) if self._wrap else whole

    def _lines(self) -> int:
        return -(-len(self.photos) // self._columns())

    def _fit(self) -> None:
        if self._wrap:
            self.setFixedHeight(max(1, self._lines() * (self._side + theme.XS)))

    def _arrived(self, image_id: int) -> None:
        if any(photo.id == image_id for photo in self.photos):
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        columns = self._columns()
        for at, photo in enumerate(self.photos):
            line, column = divmod(at, columns)
            step = self._side + theme.XS
            room = QRect(column * step, line * step, self._side, self._side)
            painter.setOpacity(FAINT if photo.id in self._faint else 1.0)
            self._paint_one(painter, room, photo)
            painter.setOpacity(1.0)

    def _paint_one(self, painter: QPainter, room: QRect, photo: ImageRow) -> None:
        marked = photo.id in self._marked
        pixmap = self._thumbnails.pixmap(photo)
        inner = room.adjusted(4, 4, -4, -4) if marked else room
        target = inner if pixmap is None else fit(pixmap.size(), inner)
        if pixmap is None:
            painter.fillRect(inner, colour("sunken"))
        else:
            draw_rounded(painter, pixmap, target, 4)
        if marked:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colour("accent"), 2.0))
            painter.drawRoundedRect(QRectF(target).adjusted(-3, -3, 3, 3), 5, 5)
