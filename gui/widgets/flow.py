"""Layouts that give way: what does not fit beside one another stands below, and what does not fit at all scrolls."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLayout, QLayoutItem, QScrollArea, QSpacerItem, QWidget

from gui import theme
from gui.widgets.basics import measure_by_width, row

SIDE_SHARE = 0.4  # of a page, at most
PAGE_LETTERS = 250  # a page of cards is so wide at most: on a very large screen, words stay beside their buttons


@dataclass
class _Part:
    item: QLayoutItem
    least: int  # px that it wants; 0: what it says itself
    stretch: int  # its share of the room that is left in its line; 0: none
    _heights: dict[int, int] = field(default_factory=dict)

    @cached_property
    def wants(self) -> int:
        return max(self.least or self.item.sizeHint().width(), self.item.minimumSize().width())

    def high(self, width: int) -> int:
        if width not in self._heights:
            bends = self.item.hasHeightForWidth()
            self._heights[width] = max(self.item.heightForWidth(width) if bends else self.item.sizeHint().height(), 0)
        return self._heights[width]

    def forget(self) -> None:
        """Its sizes are asked for anew."""
        self._heights.clear()
        self.__dict__.pop("wants", None)


class Flow(QLayout):
    """A row while there is room for it, else as many rows as it takes; never wider than its widest part.

    A page that is narrow for its letters so needs no other layout, and nothing in it is cut off. What was measured is
    kept until Qt says that something changed, as its own layouts do: flows within flows would else ask their parts the
    more often the deeper they lie.
    """

    def __init__(self, *, spacing: int = theme.S) -> None:
        super().__init__()
        self._parts: list[_Part] = []
        self._heights: dict[int, int] = {}
        self._placed: QRect | None = None
        self.setSpacing(spacing)
        self.setContentsMargins(0, 0, 0, 0)

    def put(self, *parts: QWidget | QLayout | None, least: int = 0, stretch: int = 0) -> Flow:
        """Add parts, None for a gap. ``least``: px that each wants; ``stretch``: its share of what is left."""
        for part in parts:
            if part is None:
                self._parts.append(_Part(QSpacerItem(0, 0), 0, 1))
                continue
            if isinstance(part, QWidget):
                self.addWidget(part)
            else:
                self.addChildLayout(part)
                self.addItem(part)
            self._parts[-1].least, self._parts[-1].stretch = least, stretch
        self.invalidate()
        return self

    # -- what Qt asks -----------------------------------------------------------------------------------------------

    def addItem(self, item: QLayoutItem) -> None:
        self._parts.append(_Part(item, 0, 0))

    def count(self) -> int:
        return len(self._parts)

    def itemAt(self, index: int) -> QLayoutItem | None:  # type: ignore[override]
        return self._parts[index].item if 0 <= index < len(self._parts) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # type: ignore[override]
        if not 0 <= index < len(self._parts):
            return None
        self.invalidate()
        return self._parts.pop(index).item

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation.Horizontal

    def hasHeightForWidth(self) -> bool:
        return True

    def invalidate(self) -> None:
        super().invalidate()
        self._heights.clear()
        self._placed = None
        for part in self._parts:
            part.forget()

    def heightForWidth(self, width: int) -> int:
        if width not in self._heights:
            self._heights[width] = self._lay(QRect(0, 0, width, 0), move=False)
        return self._heights[width]

    def sizeHint(self) -> QSize:
        shown = self._shown()
        width = sum(part.wants for part in shown) + self.spacing() * max(0, len(shown) - 1)
        return self._with_margins(QSize(width, max((part.high(part.wants) for part in shown), default=0)))

    def minimumSize(self) -> QSize:
        least = [part.item.minimumSize() for part in self._shown()]
        return self._with_margins(
            QSize(max((one.width() for one in least), default=0), max((one.height() for one in least), default=0))
        )

    def setGeometry(self, rect: QRect) -> None:
        if rect != self._placed:
            super().setGeometry(rect)
            self._lay(rect, move=True)
            self._placed = QRect(rect)

    # -- lines ------------------------------------------------------------------------------------------------------

    def _shown(self) -> list[_Part]:
        return [part for part in self._parts if not part.item.isEmpty() or isinstance(part.item, QSpacerItem)]

    def _with_margins(self, size: QSize) -> QSize:
        around = self.contentsMargins()
        return size + QSize(around.left() + around.right(), around.top() + around.bottom())

    def _lines(self, room: int) -> list[list[_Part]]:
        lines: list[list[_Part]] = []
        left = 0
        for part in self._shown():
            if lines and part.wants + self.spacing() <= left:
                lines[-1].append(part)
                left -= part.wants + self.spacing()
            else:
                lines.append([part])
                left = room - part.wants
        return lines

    def _lay(self, rect: QRect, *, move: bool) -> int:
        """The height that all lines take, margins included; with ``move`` the parts are put in their places."""
        inner = rect.marginsRemoved(self.contentsMargins())
        top = inner.top()
        lines = self._lines(inner.width())
        for line in lines:
            widths = _share(line, inner.width() - self.spacing() * (len(line) - 1))
            high = max(part.high(width) for part, width in zip(line, widths, strict=True))
            if move and len(lines) == 1:
                high = max(high, inner.height())
            left = inner.left()
            for part, width in zip(line, widths, strict=True):
                if move:
                    part.item.setGeometry(QRect(left, top, width, high))
                left += width + self.spacing()
            top += high + self.spacing()
        return max(0, top - self.spacing() - inner.top()) + rect.height() - inner.height()


def _share(line: list[_Part], room: int) -> list[int]:
    """The width of each part of a line: what it wants, and its share of the rest; never more than there is."""
    rest = max(0, room - sum(part.wants for part in line))
    shares = sum(part.stretch for part in line)
    return [min(room, part.wants + (rest * part.stretch // shares if shares else 0)) for part in line]


def scrolling(page: QWidget, *, cards: bool = False) -> QScrollArea:
    """A page as wide as its room, that scrolls up and down where it is higher. Keys go to what is in it.

    ``cards``: of words and buttons, which are not drawn apart beyond ``PAGE_LETTERS``.
    """
    if cards:
        page.setMaximumWidth(theme.letters(PAGE_LETTERS))
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(page)
    return area


def side_width(letters: int, room: int) -> int:
    """Of a part at the side, in px: room for so many letters, but less than half of the page's ``room``."""
    return min(theme.letters(letters), round(room * SIDE_SHARE))


class Beside(QWidget):
    """A page and, at its right, what belongs to it; each scrolls where it is higher than the room."""

    def __init__(self, page: QLayout, side: QWidget, letters: tuple[int, int]) -> None:
        """``letters``: the width of the side, at least and at most; in a small window it has less than half."""
        super().__init__()
        self._letters = letters
        holder = QWidget()
        holder.setLayout(page)
        measure_by_width(side)
        self._of_side, self._side = side, scrolling(side)
        body = row(scrolling(holder), self._side, spacing=theme.L)
        body.setStretch(0, 1)
        body.setContentsMargins(0, 0, theme.L, theme.L)
        self.setLayout(body)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        least, most = (theme.letters(one) for one in self._letters)
        wanted = max(least, min(round(0.4 * self.width()), most))
        needed = self._of_side.minimumSizeHint().width() + self._side.verticalScrollBar().sizeHint().width()
        self._side.setFixedWidth(max(needed, min(wanted, round(SIDE_SHARE * self.width()))))


def bring_into_sight(part: QWidget) -> None:
    """Scroll the page that a part of it lies on, so far that it is seen."""
    page = part.parentWidget()
    while page is not None and not isinstance(page, QScrollArea):
        page = page.parentWidget()
    if page is not None:
        page.ensureWidgetVisible(part)
