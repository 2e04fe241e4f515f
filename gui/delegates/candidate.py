"""Paints one suggestion: its number, its text, how well it fits, and the sentence that can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from gui import theme, words
from gui.models.candidate_model import CandidateModel
from gui.paint import draw_lines, text_height
from gui.theme import colour, scaled_font

if TYPE_CHECKING:
    from core.library.records import CaptionRow

BADGE = 24
PADDING = theme.M
GAP = 6
BAR = 4


class CandidateDelegate(QStyledItemDelegate):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._owner = parent

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        view = self._view()
        width = view.viewport().width() if view is not None else 320
        return QSize(width, self._height(index.data(CandidateModel.CaptionRole), width))

    def _view(self) -> QListView | None:
        for view in self._owner.findChildren(QListView):
            if view.itemDelegate() is self:
                return view
        return None

    def _text_width(self, width: int) -> int:
        return width - 2 * PADDING - BADGE - theme.M

    def _height(self, caption: CaptionRow, width: int) -> int:
        room = self._text_width(width)
        text = text_height(caption.text, scaled_font(theme.BODY), room, 6)
        sentence = text_height(_sentence(caption), scaled_font(theme.SMALL), room, 3)
        return text + GAP + sentence + GAP + BAR + 2 * PADDING + theme.S

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        caption: CaptionRow = index.data(CandidateModel.CaptionRole)
        cell: QRect = option.rect  # type: ignore[attr-defined]
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)  # type: ignore[attr-defined]
        frame = QRectF(cell).adjusted(1, 1, -1, -theme.XS - 1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(colour("accent_soft" if chosen else "surface"))
        painter.setPen(QPen(colour("accent" if chosen else "border"), 2.0 if chosen else 1.0))
        painter.drawRoundedRect(frame, 6, 6)
        inner = frame.toRect().adjusted(PADDING, PADDING - 2, -PADDING, -PADDING)
        self._paint_badge(painter, inner, index.row() + 1, chosen)
        left = inner.left() + BADGE + theme.M
        room = QRect(left, inner.top(), self._text_width(cell.width()), inner.height())
        painter.setPen(colour("text"))
        used = draw_lines(painter, caption.text, room, scaled_font(theme.BODY), 6)
        painter.setPen(colour("muted"))
        lower = room.adjusted(0, used + GAP, 0, 0)
        used += GAP + draw_lines(painter, _sentence(caption), lower, scaled_font(theme.SMALL), 3)
        if caption.score is not None:
            standing = words.standing(caption.score)
            self._paint_bar(painter, QRect(left, inner.top() + used + GAP, room.width(), BAR), standing)
        painter.restore()

    def _paint_badge(self, painter: QPainter, inner: QRect, number: int, chosen: bool) -> None:
        badge = QRectF(inner.left(), inner.top(), BADGE, BADGE)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("accent" if chosen else "sunken"))
        painter.drawRoundedRect(badge, 6, 6)
        painter.setPen(colour("on_accent" if chosen else "muted"))
        painter.setFont(scaled_font(theme.SMALL, bold=True))
        painter.drawText(badge, int(Qt.AlignmentFlag.AlignCenter), str(number) if number < 10 else "·")

    def _paint_bar(self, painter: QPainter, room: QRect, share: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("border"))
        painter.drawRoundedRect(QRectF(room), BAR / 2, BAR / 2)
        filled = QRectF(room)
        filled.setWidth(max(BAR, room.width() * share))
        painter.setBrush(colour("accent"))
        painter.drawRoundedRect(filled, BAR / 2, BAR / 2)


def _sentence(caption: CaptionRow) -> str:
    parts = []
    state = words.state_of(caption)
    if state != "candidate":
        parts.append(words.state_word(state) + ".")
    parts.append(words.rank_sentence(caption.score))
    if caption.score is not None:
        parts.append(f"{words.fit(caption.score)}.")
    return " ".join(parts)
