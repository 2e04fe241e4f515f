"""One photo, as large as there is room for, decoded off the GUI thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from core.errors import UserError
from gui import theme
from gui.icons import paint_icon
from gui.lane import Lane
from gui.paint import draw_rounded, fit
from gui.theme import colour

if TYPE_CHECKING:
    from core.library.records import ImageRow

MAX_SIDE = 1_800


class PhotoView(QWidget):
    """Shows a photo; the small thumbnail, if one is at hand, until the large one is there."""

    def __init__(self, lane: Lane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lane = lane
        self._path: Path | None = None
        self._pixmap: QPixmap | None = None
        self._trouble = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 160)
        self.setAccessibleName(self.tr("Photo"))
        theme.theme().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(720, 520)

    def clear(self) -> None:
        self._path = self._pixmap = None
        self._trouble = ""
        self.update()

    def show_photo(self, image: ImageRow, preview: QPixmap | None = None) -> None:
        path = image.path
        if path == self._path and self._pixmap is not None:
            return
        self._path, self._pixmap, self._trouble = path, preview, ""
        self.setAccessibleDescription(path.name)
        self._lane.submit(lambda: _decode(path), lambda result: self._arrived(path, result), key=f"photo-{id(self)}")
        self.update()

    def _arrived(self, path: Path, result: QImage | str) -> None:
        if path != self._path:
            return
        if isinstance(result, str):
            self._trouble, self._pixmap = result, None
        else:
            self._pixmap = QPixmap.fromImage(result)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()), 8, 8)
        room = self.rect().adjusted(theme.S, theme.S, -theme.S, -theme.S)
        if self._pixmap is not None:
            draw_rounded(painter, self._pixmap, fit(self._pixmap.size(), room), 4)
        elif self._trouble:
            self._paint_trouble(painter, room)

    def _paint_trouble(self, painter: QPainter, room: QRect) -> None:
        mark = QRectF(0, 0, 48, 48)
        mark.moveCenter(QRectF(room).center())
        paint_icon(painter, "broken", mark, colour("muted"))
        painter.setPen(colour("muted"))
        below = QRect(room.left(), round(mark.bottom()) + theme.S, room.width(), 80)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap), self._trouble)


def _decode(path: Path) -> QImage | str:
    """In the lane: the photo as an image that owns its pixels, or why there is none."""
    from core.images.decode import load_image

    try:
        image = load_image(path, max_side=MAX_SIDE)
    except UserError as error:
        return error.message
    data = image.tobytes()
    return QImage(data, image.width, image.height, 3 * image.width, QImage.Format.Format_RGB888).copy()
