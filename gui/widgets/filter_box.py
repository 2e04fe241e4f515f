"""The line a filter is typed into: it offers how to go on, and marks the word that cannot be understood."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QModelIndex, QRect, Qt, QTimer
from PySide6.QtGui import (
    QFontMetrics,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QStandardItem,
    QStandardItemModel,
)
from PySide6.QtWidgets import QCompleter, QLineEdit, QListView

from gui import theme, words
from gui.filters import Offer, offers
from gui.theme import colour
from gui.widgets.basics import name_box, set_role

WAVE = 2  # pixels up and down
SHOWN = 9


class FilterBox(QLineEdit):
    """``folders``: names to offer after ``folder:``."""

    def __init__(self, placeholder: str, name: str) -> None:
        super().__init__()
        name_box(self, placeholder, name)
        self.folders: Sequence[str] = ()
        self._wrong: tuple[int, int] | None = None
        self._offered = QStandardItemModel(self)
        self._completer = QCompleter(self._offered, self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(SHOWN)
        self._completer.setWidget(self)
        self._popup = QListView()
        self._completer.setPopup(self._popup)  # which takes it over
        self._popup.setAccessibleName(self.tr("How the filter may go on"))
        set_role(self._popup, "offers")
        self._completer.activated[QModelIndex].connect(self._take)  # type: ignore[index]
        self.textEdited.connect(lambda _text: self.offer())

    def mark(self, start: int, end: int) -> None:
        """Draw a wave under the text from ``start`` to ``end``; under nothing where they are the same."""
        self._wrong = (start, max(end, start + 1)) if end > start or start < len(self.text()) else None
        self.update()

    def clear_mark(self) -> None:
        self._wrong = None
        self.update()

    @property
    def marked(self) -> str:
        """The text that is marked."""
        return self.text()[slice(*self._wrong)] if self._wrong is not None else ""

    def mark_left(self) -> int:
        """Where the mark begins, in pixels from the left of the box."""
        return self._position(self._wrong[0]) if self._wrong is not None else 0

    def offer(self, *, asked: bool = False) -> None:
        """Show how the word before the cursor may go on; ``asked`` for: also where nothing has been typed yet."""
        before = self.text()[: self.cursorPosition()]
        found = offers(before, tuple(self.folders), everything=asked)
        self._offered.clear()
        for one in found:
            self._offered.appendRow(_item(one))
        if not found:
            self._popup.hide()
            return
        left = max(0, min(self._position(_word_start(before)), self.width() // 2))
        metrics = QFontMetrics(self._popup.font())
        wide = max(metrics.horizontalAdvance(_shown(one)) for one in found) + 3 * theme.L
        self._completer.complete(QRect(left, 0, wide, self.height()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        asks = event.key() == Qt.Key.Key_Down or (
            event.key() == Qt.Key.Key_Space and event.modifiers() == Qt.KeyboardModifier.ControlModifier
        )
        if asks and not self._popup.isVisible():
            self.offer(asked=True)
            return
        if event.key() == Qt.Key.Key_Escape and self.text() and not self._popup.isVisible():
            self.clear()
            return
        super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if escape and event.type() == QEvent.Type.ShortcutOverride and self.text():
            event.accept()  # it empties this box first, whatever else it does in this place
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._wrong is None:
            return
        left, right = (self._position(place) for place in self._wrong)
        base = (self.height() + self.fontMetrics().height()) // 2 + 1
        painter = QPainter(self)
        painter.setClipRect(self.rect().adjusted(theme.S, 0, -theme.S, 0))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colour("bad"), 1.4))
        for at in range(left, max(right, left + 4 * WAVE), 2 * WAVE):
            painter.drawLine(at, base, at + WAVE, base - WAVE)
            painter.drawLine(at + WAVE, base - WAVE, at + 2 * WAVE, base)

    def _position(self, place: int) -> int:
        """Pixels from the left at which a character stands: the cursor's place tells how far the text is scrolled."""
        advance = self.fontMetrics().horizontalAdvance
        cursor = self.cursorRect().center().x()
        return cursor + advance(self.text()[:place]) - advance(self.text()[: self.cursorPosition()])

    def _take(self, index: QModelIndex) -> None:
        """Put what was chosen in the place of the word begun."""
        chosen, at = str(index.data(Qt.ItemDataRole.UserRole)), self.cursorPosition()
        before, after = self.text()[:at], self.text()[at:]
        goes_on = chosen.endswith(":")
        new = before[: _word_start(before)] + chosen + ("" if goes_on or after.startswith((" ", ")")) else " ")
        self.setText(new + after)
        self.setCursorPosition(len(new))
        if goes_on:
            QTimer.singleShot(0, self, self.offer)


def _word_start(before: str) -> int:
    start = max(before.rfind(one) for one in " (\t") + 1
    return start + (before[start : start + 1] == "-")


def _shown(offer: Offer) -> str:
    return f"{offer.text}   {words.tr(offer.meaning)}" if offer.meaning else offer.text


def _item(offer: Offer) -> QStandardItem:
    item = QStandardItem(_shown(offer))
    item.setData(offer.text, Qt.ItemDataRole.UserRole)
    return item
