"""Paints a photo of the grid: picture, caption, state and score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from gui import theme, words
from gui.icons import paint_icon
from gui.models.image_list_model import ImageListModel
from gui.paint import draw_lines, draw_rounded, fit
from gui.theme import colour, scaled_font
from gui.thumbnails import Thumbnails
from gui.words import tr

if TYPE_CHECKING:
    from gui.services import Photo

PADDING = theme.S
CAPTION_LINES = 2
DOT = 8


class _Type:
    """The two sizes of letters and what they measure."""

    def __init__(self, base: QFont) -> None:
        self.base = QFont(base)
        self.body, self.small = scaled_font(theme.BODY), scaled_font(theme.SMALL)
        self.body_metrics, self.small_metrics = QFontMetrics(self.body), QFontMetrics(self.small)
        self.height = theme.S + CAPTION_LINES * self.body_metrics.height() + theme.XS + self.small_metrics.height()


class TileDelegate(QStyledItemDelegate):
    """``side``: the tile's width; the height follows from the font."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None, *, captions: bool = True) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._captions = captions
        self.side = 184
        self.cell_width = self.side
        self._measured: _Type | None = None

    def _type(self) -> _Type:
        """Of the application's font, measured once as long as that stays."""
        base = QApplication.font()
        if self._measured is None or self._measured.base != base:
            self._measured = _Type(base)
        return self._measured

    def tile_size(self) -> QSize:
        return QSize(self.side, self._picture_height() + self._text_height() + 2 * PADDING + theme.S)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(self.cell_width, self.tile_size().height())

    def _picture_height(self) -> int:
        return round((self.side - 2 * PADDING) * (0.8 if self._captions else 1.0))

    def _text_height(self) -> int:
        return self._type().height if self._captions else 0

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        cell: QRect = option.rect  # type: ignore[attr-defined]
        # The gap is at the right and below, so that the first column lines up with what is above the grid.
        tile = QRect(cell.left(), cell.top(), cell.width() - theme.S, self.tile_size().height() - theme.S)
        state = option.state  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ground(painter, tile, state)
        photo: Photo | None = index.data(ImageListModel.PhotoRole)
        inner = tile.adjusted(PADDING, PADDING, -PADDING, -PADDING)
        picture = QRect(inner.left(), inner.top(), inner.width(), self._picture_height())
        self._paint_picture(painter, picture, photo)
        if photo is not None and not self._captions and photo.own:
            self._paint_tick(painter, inner)
        if photo is not None and self._captions:
            room = QRect(inner.left(), picture.bottom() + theme.S, inner.width(), self._text_height() - theme.S)
            self._paint_text(painter, room, photo)
        painter.restore()

    def _paint_ground(self, painter: QPainter, tile: QRect, state: QStyle.StateFlag) -> None:
        selected = bool(state & QStyle.StateFlag.State_Selected)
        hovered = bool(state & QStyle.StateFlag.State_MouseOver)
        painter.setBrush(colour("accent_soft" if selected else "surface"))
        pen = QPen(colour("accent" if selected else "outline" if hovered else "border"))
        pen.setWidthF(2.0 if selected else 1.0)
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(tile).adjusted(1, 1, -1, -1), 8, 8)
        if state & QStyle.StateFlag.State_HasFocus:
            # Within the frame that all selected tiles have, so that the current one of them is seen, too.
            inset = 4 if selected else 1
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colour("text" if selected else "accent"), 2.0))
            painter.drawRoundedRect(QRectF(tile).adjusted(inset, inset, -inset, -inset), 8 - inset / 2, 8 - inset / 2)

    def _paint_picture(self, painter: QPainter, room: QRect, photo: Photo | None) -> None:
        pixmap = self._thumbnails.pixmap(photo.image) if photo is not None else None
        if pixmap is not None:
            draw_rounded(painter, pixmap, fit(pixmap.size(), room), 4)
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("sunken"))
        painter.drawRoundedRect(QRectF(room), 4, 4)
        if photo is not None and (photo.image.error or photo.image.missing):
            mark = QRectF(0, 0, 28, 28)
            mark.moveCenter(QRectF(room).center())
            paint_icon(painter, "broken", mark, colour("muted"))

    def _paint_tick(self, painter: QPainter, inner: QRect) -> None:
        """This photo has a caption of the person's own already."""
        badge = QRectF(inner.right() - 19, inner.top(), 20, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("accent"))
        painter.drawEllipse(badge)
        paint_icon(painter, "check", badge.adjusted(4, 4, -4, -4), colour("on_accent"))

    def _paint_text(self, painter: QPainter, room: QRect, photo: Photo) -> None:
        caption = photo.best
        state = words.state_of(caption)
        letters = self._type()
        trouble = photo.image.error or (_missing(photo) if photo.image.missing else "")
        # What the model says looks different from what a person has said until it is accepted.
        painter.setPen(colour("text" if caption is not None and state in ("seed", "accepted") else "muted"))
        if trouble or caption is not None:
            draw_lines(painter, trouble or (caption.text if caption else ""), room, letters.body, CAPTION_LINES)
        else:  # a name is cut in the middle: its end tells it from the next
            file = photo.image.path.name
            name = letters.body_metrics.elidedText(file, Qt.TextElideMode.ElideMiddle, room.width())
            draw_lines(painter, name, room, letters.body, 1)
        metrics = letters.small_metrics
        baseline = room.bottom() - metrics.descent()
        painter.setFont(letters.small)
        right = ""
        if caption is not None and caption.score is not None:
            right = words.fit(caption.score)
        painter.setPen(colour("muted"))
        painter.drawText(room.right() - metrics.horizontalAdvance(right), baseline, right)
        if trouble:
            return
        dot = QRectF(room.left(), baseline - metrics.xHeight() / 2 - DOT / 2, DOT, DOT)
        if photo.image.removed:
            state = "none"
        tint = colour(words.STATE_COLOURS[state])
        painter.setPen(QPen(tint, 1.5))
        painter.setBrush(tint if state != "none" else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(dot)
        painter.setPen(colour("muted"))
        space = room.width() - DOT - theme.S - metrics.horizontalAdvance(right) - theme.S
        said = tr("Removed") if photo.image.removed else words.state_word(state)
        label = metrics.elidedText(said, Qt.TextElideMode.ElideRight, space)
        painter.drawText(room.left() + DOT + theme.S, baseline, label)


def _missing(photo: Photo) -> str:
    if photo.image.removed:
        return tr("Not in its folder: in the trash, or moved.")
    return tr("The file is no longer there.")
