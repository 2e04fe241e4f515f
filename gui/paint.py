"""Painting that several delegates and widgets share."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPainterPath, QPixmap, QTextLayout, QTextOption


def fit(size: QSize, room: QRect) -> QRect:
    """The largest rectangle of the aspect of ``size``, centred in ``room``."""
    if size.isEmpty() or room.isEmpty():
        return QRect(room.center(), QSize(0, 0))
    scaled = size.scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
    result = QRect(0, 0, scaled.width(), scaled.height())
    result.moveCenter(room.center())
    return result


def draw_rounded(painter: QPainter, pixmap: QPixmap, target: QRect, radius: float) -> None:
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    path = QPainterPath()
    path.addRoundedRect(QRectF(target), radius, radius)
    painter.setClipPath(path)
    painter.drawPixmap(target, pixmap)
    painter.restore()


def draw_lines(painter: QPainter, text: str, room: QRect, font: QFont, max_lines: int) -> int:
    """Word-wrap ``text`` into ``room``, eliding the last of ``max_lines``; returns the height used."""
    metrics = QFontMetrics(font)
    layout = QTextLayout(" ".join(text.split()), font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    painter.setFont(font)
    layout.beginLayout()
    y, lines = 0, 0
    while lines < max_lines:
        line = layout.createLine()
        if not line.isValid():
            break
        line.setLineWidth(room.width())
        lines += 1
        start, length = line.textStart(), line.textLength()
        if lines == max_lines and start + length < len(layout.text()):
            rest = metrics.elidedText(layout.text()[start:], Qt.TextElideMode.ElideRight, room.width())
            painter.drawText(room.left(), room.top() + y + metrics.ascent(), rest)
        else:
            line.draw(painter, QPointF(room.left(), room.top() + y))
        y += metrics.height()
    layout.endLayout()
    return y


def text_height(text: str, font: QFont, width: int, max_lines: int = 100) -> int:
    """The height :func:`draw_lines` needs for ``text``."""
    metrics = QFontMetrics(font)
    flags = Qt.TextFlag.TextWordWrap | Qt.TextFlag.TextWrapAnywhere
    needed = metrics.boundingRect(QRect(0, 0, max(1, width), 100_000), int(flags), text).height()
    return min(needed, max_lines * metrics.height())
