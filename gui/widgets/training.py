"""Parts of the Train place: the steps of a run, the photos whose captions change, and the checks in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui import theme, verdict
from gui.icons import icon, paint_icon
from gui.paint import draw_lines, draw_rounded, fit, text_height
from gui.services import Photo
from gui.theme import colour, scaled_font
from gui.thumbnails import Thumbnails
from gui.widgets.basics import IconLabel, card, column, label, row
from gui.words import tr

if TYPE_CHECKING:
    from core.training.messages import GateRow

FLASH_MS = 900
THUMB = 64
LINES = 3  # of a caption beside its photo, at least


class Steps(QWidget):
    """Done, current and coming steps in a line."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = list(names)
        self._current = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(QFontMetrics(scaled_font(theme.BODY)).height() + 2 * theme.S)

    @property
    def current(self) -> int:
        return self._current

    def set_current(self, index: int) -> None:
        """``len(names)``: all done; -1: none begun."""
        self._current = index
        if 0 <= index < len(self._names):
            self.setAccessibleName(self._names[index])
        self.update()

    def _names_shown(self) -> list[str]:
        """All of them where there is room; else that of the current step alone, for none is cut off."""
        metrics = QFontMetrics(scaled_font(theme.BODY, bold=True))
        between = 26 + 2 * theme.S + theme.L
        wide = sum(between + metrics.horizontalAdvance(name) for name in self._names)
        if wide - theme.S - theme.L <= self.width():
            return self._names
        return [name if at == self._current else "" for at, name in enumerate(self._names)]

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x, middle = 0.0, self.height() / 2
        names = self._names_shown()
        for index, name in enumerate(names):
            done, current = index < self._current, index == self._current
            font = scaled_font(theme.BODY, bold=current)
            dot = QRectF(x + 1, middle - 9, 18, 18)
            tint = colour("accent" if done or current else "outline")
            painter.setPen(QPen(tint, 1.5))
            painter.setBrush(tint if done else colour("accent_soft") if current else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(dot)
            if done:
                paint_icon(painter, "check", dot.adjusted(3, 3, -3, -3), colour("on_accent"))
            painter.setFont(font)
            painter.setPen(colour("text" if done or current else "muted"))
            width = QFontMetrics(font).horizontalAdvance(name)
            painter.drawText(QRectF(x + 26, 0, width + 4, self.height()), int(Qt.AlignmentFlag.AlignVCenter), name)
            x += 26 + width + theme.S if name else 20 + theme.S
            if index < len(names) - 1:
                painter.setPen(QPen(colour("border"), 1.5))
                painter.drawLine(round(x), round(middle), round(x + theme.L), round(middle))
                x += theme.L + theme.S


class SampleTile(QWidget):
    """A photo with its caption of the moment; a new caption shows for a moment that it is new."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self._photo: Photo | None = None
        self.caption = ""
        self._fresh = QTimer(self, singleShot=True, interval=FLASH_MS)
        self._fresh.timeout.connect(self.update)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(max(THUMB, LINES * QFontMetrics(scaled_font(theme.BODY)).height()) + 2 * theme.S)
        thumbnails.ready.connect(lambda image_id: self.update() if self._is(image_id) else None)

    def sizeHint(self) -> QSize:
        return QSize(260, self.height())

    def set_photo(self, photo: Photo | None) -> None:
        self._photo = photo
        self.update()

    def set_caption(self, text: str) -> None:
        if text != self.caption:
            self.caption = text
            self.setAccessibleName(text)
            self._fresh.start()
            self.update()

    def _is(self, image_id: int) -> bool:
        return self._photo is not None and self._photo.image.id == image_id

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colour("border"), 1))
        painter.setBrush(colour("accent_soft" if self._fresh.isActive() else "surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        room = self.rect().adjusted(theme.S, theme.S, -theme.S, -theme.S)
        picture = room.adjusted(0, 0, THUMB - room.width(), 0)
        pixmap = self._thumbnails.pixmap(self._photo.image) if self._photo is not None else None
        if pixmap is not None:
            draw_rounded(painter, pixmap, fit(pixmap.size(), picture), 4)
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour("sunken"))
            painter.drawRoundedRect(QRectF(picture), 4, 4)
        painter.setPen(colour("text" if self.caption else "muted"))
        font = scaled_font(theme.BODY)
        lines = max(1, room.height() // QFontMetrics(font).height())
        beside = room.adjusted(THUMB + theme.M, 0, 0, 0)
        text = self.caption or self.tr("Waiting for its first caption…")
        spare = beside.height() - text_height(text, font, beside.width(), lines)
        draw_lines(painter, text, beside.adjusted(0, max(0, spare // 2), 0, 0), font, lines)


class Samples(QWidget):
    """The same six photos throughout a run."""

    def __init__(self, thumbnails: Thumbnails, count: int = 6) -> None:
        super().__init__()
        self.tiles = [SampleTile(thumbnails) for _ in range(count)]
        self.image_ids: tuple[int, ...] = ()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(theme.S)
        for at, tile in enumerate(self.tiles):
            grid.addWidget(tile, at // 2, at % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)

    def clear(self) -> None:
        self.image_ids = ()
        for tile in self.tiles:
            tile.set_photo(None)
            tile.set_caption("")

    def set_photos(self, photos: Sequence[Photo]) -> None:
        for tile, photo in zip(self.tiles, photos, strict=False):
            tile.set_photo(photo)

    def set_captions(self, items: Sequence[tuple[int, str]]) -> bool:
        """Show these captions; True if the photos are others than before, and must be set."""
        ids = tuple(image_id for image_id, _ in items[: len(self.tiles)])
        for tile, (_, caption) in zip(self.tiles, items, strict=False):
            tile.set_caption(caption)
        new = ids != self.image_ids
        self.image_ids = ids
        return new


class Checks(QFrame):
    """The guards as green, amber and red, each with a sentence."""

    ICONS = {"green": ("check", "good"), "amber": ("warning", "warn"), "red": ("error", "bad")}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, tuple[QLabel, QLabel]] = {}
        self._states: dict[str, str] = {}
        self._list = QVBoxLayout()
        self._list.setSpacing(theme.S)
        waiting = self.tr("They begin with stage 2, when it practises on its own. Until then it only learns from you.")
        self._waiting = label(waiting, "muted", wrap=True)
        advice = self.tr("Nothing need be done: checks swing on the way, and a practice that ends red is not kept.")
        self.advice = label(advice, "small", wrap=True)
        self.advice.hide()
        self.setLayout(column(self._waiting, self._list, self.advice, None, spacing=theme.S))
        theme.theme().changed.connect(self._tint)

    @property
    def states(self) -> dict[str, str]:
        return dict(self._states)

    def clear(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self._rows.clear()
        self._states.clear()
        self.advice.hide()
        self._waiting.show()

    def set_gate(self, gate: GateRow) -> None:
        self._waiting.hide()
        if gate.name not in self._rows:
            mark, text = QLabel(), label("", "", wrap=True)
            mark.setFixedSize(18, 18)
            holder = QWidget()
            line = row(mark, text)
            line.setStretch(1, 1)
            line.setAlignment(mark, Qt.AlignmentFlag.AlignTop)
            holder.setLayout(line)
            self._list.addWidget(holder)
            self._rows[gate.name] = (mark, text)
        self._states[gate.name] = gate.state
        self.advice.setVisible(any(state != "green" for state in self._states.values()))
        words = {"green": self.tr("Good"), "amber": self.tr("Watch"), "red": self.tr("Bad")}[gate.state]
        sentence = verdict.check(gate)
        self._rows[gate.name][1].setText(sentence)
        self._rows[gate.name][1].setToolTip(gate.sentence)
        self._rows[gate.name][1].setAccessibleName(f"{words}: {sentence}")
        self._tint()

    def _tint(self) -> None:
        for name, (mark, _) in self._rows.items():
            icon_name, tint = self.ICONS[self._states[name]]
            mark.setPixmap(icon(icon_name, tint).pixmap(QSize(18, 18), self.devicePixelRatio()))


def explanation() -> QWidget:
    """What happens when one presses Train."""
    steps = (
        (
            "images",
            tr("Look at the photos"),
            tr("Each photo is looked at once; next time this is quick."),
        ),
        (
            "seed",
            tr("Stage 1: your wording"),
            tr("Learns how you say things from the captions that you wrote."),
        ),
        (
            "search",
            tr("Stage 2: telling photos apart"),
            tr("Practises on photos without captions: a good caption finds its own photo among all others."),
        ),
        (
            "check",
            tr("Check"),
            tr("Compares both models on photos that neither learned from; the old one stays until the new one wins."),
        ),
    )
    grid = QGridLayout()
    grid.setHorizontalSpacing(theme.XL)
    grid.setVerticalSpacing(theme.S)
    for at, (picture, title, text) in enumerate(steps):
        mark = IconLabel(picture, "accent", 24)
        words_of_step = label(text, "muted", wrap=True)
        words_of_step.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(mark, 0, at)
        name = label(title, "strong", wrap=True)
        name.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(name, 1, at)
        grid.addWidget(words_of_step, 2, at)
        grid.setColumnStretch(at, 1)
    heading = label(tr("What happens when you press Train"), "heading")
    return card(column(heading, theme.XS, grid, spacing=theme.S))
