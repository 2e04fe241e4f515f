"""One photo, as large as there is room for or larger, decoded off the GUI thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from core.errors import UserError
from gui import theme
from gui.actions import Actions
from gui.icons import paint_icon
from gui.lane import Lane
from gui.theme import colour, scaled_font
from gui.zoom import Zoom

if TYPE_CHECKING:
    from core.library.records import ImageRow

MAX_SIDE = 1_800
"""Decoded at first: enough for any room on a usual screen."""
CLOSE_SIDE = 8_000
"""Decoded when somebody looks closer."""
PAN = 60
WHEEL_NOTCH = 120
_PANS = {Qt.Key.Key_Left: (1, 0), Qt.Key.Key_Right: (-1, 0), Qt.Key.Key_Up: (0, 1), Qt.Key.Key_Down: (0, -1)}


class PhotoView(QWidget):
    """Shows a photo; the small thumbnail, if one is at hand, until the large one is there.

    Ctrl and the wheel, plus and minus, or a double click look closer; dragging and the arrow keys move about, 0 shows
    the whole photo again. ``percent`` counts pixels of the photo on pixels of the screen.
    """

    def __init__(self, lane: Lane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lane = lane
        self._path: Path | None = None
        self._full = QSize()  # of the file, as the library knows it
        self._pixmap: QPixmap | None = None
        self._asked_side = 0  # what has been asked of the decoder
        self._trouble = ""
        self._dragged_from: QPointF | None = None
        self.zoom = Zoom()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 120)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click must not take it from what is being typed
        self.setAccessibleName(self.tr("Photo"))
        theme.theme().changed.connect(self.update)

    def obey(self, actions: Actions, place: str, view: QWidget) -> None:
        """Do what the actions ``PLACE_closer``, ``PLACE_wider`` and ``PLACE_whole`` say, anywhere in ``view``."""
        handlers = {"closer": lambda: self.look_closer(1), "wider": lambda: self.look_closer(-1)}
        for name, handler in {**handlers, "whole": self.show_whole}.items():
            action = actions[f"{place}_{name}"]
            action.triggered.connect(lambda _checked=False, handler=handler: handler())
            view.addAction(action)

    def sizeHint(self) -> QSize:
        return QSize(360, 140)  # it takes what is left; with less, the page around it scrolls

    @property
    def percent(self) -> int:
        return round(self.zoom.scale * self.devicePixelRatioF() * 100)

    def clear(self) -> None:
        self._path = self._pixmap = None
        self._trouble = ""
        self._full = QSize()
        self.zoom.begin(QSizeF())
        self._changed()

    def show_photo(self, image: ImageRow, preview: QPixmap | None = None) -> None:
        path = image.path
        if path == self._path and self._pixmap is not None:
            return
        self._path, self._pixmap, self._trouble = path, preview, ""
        self._full = QSize(image.width or 0, image.height or 0)
        self._measure()
        self.zoom.fit()
        self._decode(MAX_SIDE)
        self._changed()

    # -- looking closer ---------------------------------------------------------------------------------------------

    def look_closer(self, steps: float, at: QPointF | None = None) -> None:
        """Larger by so many steps, or smaller; the point ``at`` of this widget stays where it is."""
        self.zoom.by(steps, at)
        self._changed()

    def show_whole(self) -> None:
        self.zoom.fit()
        self._changed()

    def show_pixels(self, at: QPointF | None = None) -> None:
        """A pixel of the photo on a pixel of the screen; a small photo, which fits larger than that, twice as large."""
        exact = 1.0 / self.devicePixelRatioF()
        self.zoom.to(exact if exact > self.zoom.fitting else 2 * self.zoom.fitting, at)
        self._changed()

    def _changed(self) -> None:
        self.setCursor(Qt.CursorShape.ArrowCursor if self.zoom.fits else Qt.CursorShape.OpenHandCursor)
        shown = "" if self._path is None else self._path.name
        self.setAccessibleDescription(shown if self.zoom.fits else f"{shown}, {self.percent}%")
        if not self.zoom.fits and self._pixmap is not None and self._asked_side == MAX_SIDE:
            wanted = max(self._full.width(), self._full.height())
            if wanted > MAX_SIDE and self.zoom.scale * self.devicePixelRatioF() * wanted > MAX_SIDE:
                self._decode(CLOSE_SIDE)
        self.update()

    # -- pixels -----------------------------------------------------------------------------------------------------

    def _decode(self, side: int) -> None:
        path = self._path
        if path is None:
            return
        self._asked_side = side
        key = f"photo-{id(self)}"
        self._lane.submit(lambda: _decode(path, side), lambda result: self._arrived(path, result), key=key)

    def _arrived(self, path: Path, result: QImage | str) -> None:
        if path != self._path:
            return
        if isinstance(result, str):
            self._trouble, self._pixmap = result, None
            self.zoom.begin(QSizeF())
        else:
            self._pixmap = QPixmap.fromImage(result)
            self._measure()
        self._changed()

    def _measure(self) -> None:
        """The picture counts in pixels of the file; where the library does not know them, in those that are here, also
        after somebody has turned or cropped the file."""
        here = None if self._pixmap is None else self._pixmap.size()
        if here is not None and not _alike(here, self._full):
            self._full = here
        if QSizeF(self._full) != self.zoom.picture:
            self.zoom.begin(QSizeF(self._full))
        self.zoom.set_room(self._room())

    def _room(self) -> QRectF:
        return QRectF(self.rect().adjusted(theme.S, theme.S, -theme.S, -theme.S))

    # -- mouse and keys ---------------------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:
        if not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()
            return
        self.look_closer(event.angleDelta().y() / WHEEL_NOTCH, event.position())
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.zoom.fits:
            self.show_pixels(event.position())
        else:
            self.show_whole()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and not self.zoom.fits:
            self._dragged_from = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragged_from is not None:
            self.zoom.pan(event.position() - self._dragged_from)
            self._dragged_from = event.position()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._dragged_from = None
        self._changed()

    def event(self, event: QEvent) -> bool:
        # Arrow keys go to another photo in some places; in a photo that is looked at closely they move about.
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._means(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._means(event):
            super().keyPressEvent(event)
            return
        key = event.key()
        if key in _PANS:
            x, y = _PANS[Qt.Key(key)]
            self.zoom.pan(QPointF(x * PAN, y * PAN))
            self.update()
        elif key in (Qt.Key.Key_0, Qt.Key.Key_Escape):
            self.show_whole()
        else:
            self.look_closer(-1 if key == Qt.Key.Key_Minus else 1)

    def _means(self, event: QKeyEvent) -> bool:
        """Whether a key is for this photo. Digits and arrows are others' while the whole photo is shown."""
        others = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
        if event.modifiers() & others:
            return False
        if event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            return True
        return not self.zoom.fits and (event.key() in _PANS or event.key() in (Qt.Key.Key_0, Qt.Key.Key_Escape))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    # -- painting ---------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.zoom.set_room(self._room())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colour("accent"), 2) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.setBrush(colour("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 8, 8)
        if self._pixmap is not None:
            self._paint_photo(painter, self._pixmap)
        elif self._trouble:
            self._paint_trouble(painter, self._room().toRect())

    def _paint_photo(self, painter: QPainter, pixmap: QPixmap) -> None:
        target = self.zoom.target()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self.percent < 400)  # then pixels are wanted
        clip = QPainterPath()
        clip.addRoundedRect(target.intersected(self._room()), 4, 4)
        painter.setClipPath(clip)
        painter.drawPixmap(target, pixmap, QRectF(pixmap.rect()))
        painter.restore()
        if not self.zoom.fits:
            self._paint_percent(painter)

    def _paint_percent(self, painter: QPainter) -> None:
        text = self.tr("{n}%").format(n=self.percent)
        font = scaled_font(theme.SMALL, bold=True)
        metrics = QFontMetrics(font)
        box = QRectF(0, 0, metrics.horizontalAdvance(text) + 2 * theme.S, metrics.height() + theme.S)
        box.moveTopRight(self._room().topRight() + QPointF(-theme.S, theme.S))
        painter.setPen(QPen(colour("border"), 1))
        painter.setBrush(colour("surface"))
        painter.drawRoundedRect(box, 4, 4)
        painter.setFont(font)
        painter.setPen(colour("text"))
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)

    def _paint_trouble(self, painter: QPainter, room: QRect) -> None:
        mark = QRectF(0, 0, 48, 48)
        mark.moveCenter(QRectF(room).center())
        paint_icon(painter, "broken", mark, colour("muted"))
        painter.setPen(colour("muted"))
        below = QRect(room.left(), round(mark.bottom()) + theme.S, room.width(), 80)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap), self._trouble)


def _alike(one: QSize, other: QSize) -> bool:
    """Whether two sizes have one aspect, but for rounding to pixels of the smaller."""
    if one.isEmpty() or other.isEmpty():
        return False
    cross = abs(one.width() * other.height() - one.height() * other.width())
    return cross <= 2 * max(other.width(), other.height())


def _decode(path: Path, side: int) -> QImage | str:
    """In the lane: the photo as an image that owns its pixels, or why there is none."""
    from core.images.decode import load_image

    try:
        image = load_image(path, max_side=side)
    except UserError as error:
        return error.message
    data = image.tobytes()
    return QImage(data, image.width, image.height, 3 * image.width, QImage.Format.Format_RGB888).copy()
