"""Small building blocks that every view uses, so that the same thing looks and reads the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtCore import QObject, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QAction, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QTableWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon, paint_icon
from gui.theme import colour
from gui.words import tr

L = TypeVar("L", bound=QBoxLayout)

EMPTY_LETTERS = 72  # the width of what an empty place says
MIDDLE = Qt.TextElideMode.ElideMiddle
UNDER_CHECK = 29  # from the left of a check box to its words


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget a role of ``theme.qss`` and restyle it."""
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def label(text: str, role: str = "", *, wrap: bool = False) -> QLabel:
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        made.setProperty("role", role)
    if wrap:
        made.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        made.setSizePolicy(policy)
    return made


def measure_by_width(page: QWidget) -> None:
    """Wrapped labels of a page that scrolls count as high as they are in its width.

    Their own guess is for a narrow page, and would let a page scroll through room that nothing is in.
    """
    for one in page.findChildren(QLabel):
        if one.wordWrap():
            policy = one.sizePolicy()
            policy.setVerticalPolicy(QSizePolicy.Policy.Preferred)
            one.setSizePolicy(policy)


def button(
    text: str, clicked: Callable[[], object] | None = None, *, role: str = "", icon_name: str = "", tip: str = ""
) -> QPushButton:
    made = QPushButton()
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    if role:
        made.setProperty("role", role)
    if icon_name:
        tint = {"primary": "on_accent", "big": "on_accent", "link": "accent", "danger": "bad"}.get(role, "text")
        made.setIcon(icon(icon_name, tint))
        made.setIconSize(theme.icon_size(20 if role == "big" else 16))
    relabel(made, text)
    if tip:
        made.setToolTip(tip)
    if clicked is not None:
        made.clicked.connect(lambda _checked=False: clicked())
    return made


def relabel(made: QPushButton, text: str) -> None:
    """Another text, with a little air after the icon if there is one."""
    made.setText(f" {text}" if not made.icon().isNull() else text)


def action_button(action: QAction, *, role: str = "", text: str | None = None, icon_name: str = "") -> QPushButton:
    """A button that does what the action does, is enabled with it, and shows its shortcut in the tip."""
    shown = text if text is not None else action.text().replace("&", "")
    made = button(shown, action.trigger, role=role, icon_name=icon_name)

    def follow() -> None:
        made.setEnabled(action.isEnabled())
        keys = action.shortcut().toString()
        tip = action.toolTip()
        made.setToolTip(f"{tip} ({keys})" if keys else tip)

    connection = action.changed.connect(follow)
    made.destroyed.connect(lambda: QObject.disconnect(connection))  # the action outlives a dialog's buttons
    follow()
    return made


def tool_button(icon_name: str, name: str, clicked: Callable[[], object] | None = None) -> QToolButton:
    """An icon alone; ``name`` is its tip and what a screen reader says."""
    made = QToolButton()
    made.setIcon(icon(icon_name))
    made.setIconSize(theme.icon_size(18))
    made.setToolTip(name)
    made.setAccessibleName(name)
    if clicked is not None:
        made.clicked.connect(lambda _checked=False: clicked())
    return made


def action_tool_button(action: QAction, *, named: bool = False) -> QToolButton:
    """An icon that does what the action does, and shows whether it is on; alone, or with the action's name."""
    made = QToolButton()
    made.setDefaultAction(action)
    if named:
        made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    made.setIconSize(theme.icon_size(18))
    made.setAccessibleName(action.text().replace("&", ""))
    made.setProperty("role", "framed")
    return made


def search_box(placeholder: str, name: str) -> QLineEdit:
    """A line to type in that can be cleared; ``name`` is what a screen reader says."""
    made = QLineEdit()
    name_box(made, placeholder, name)
    return made


def name_box(box: QLineEdit, placeholder: str, name: str) -> None:
    """Say in a line what to type and, for screen readers, what it is; and let it be cleared."""
    box.setPlaceholderText(placeholder)
    box.setAccessibleName(name)
    box.setClearButtonEnabled(True)
    for clear in box.findChildren(QToolButton):
        clear.setAccessibleName(tr("Clear"))


def plain_table(headings: Sequence[str], name: str, *, rows: int = 0) -> QTableWidget:
    """A table to read: no grid, no row numbers, and Tab leaves it. ``name``: for screen readers."""
    table = QTableWidget(rows, len(headings))
    table.setHorizontalHeaderLabels(list(headings))
    table.verticalHeader().hide()
    table.setShowGrid(False)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)
    table.setAccessibleName(name)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return table


def column(*items: QWidget | QLayout | int | None, spacing: int = theme.S, margin: int = 0) -> QVBoxLayout:
    """A vertical layout: widgets, layouts, ``int`` for a gap, None for what stretches."""
    return _fill(QVBoxLayout(), items, spacing, margin)


def row(*items: QWidget | QLayout | int | None, spacing: int = theme.S, margin: int = 0) -> QHBoxLayout:
    return _fill(QHBoxLayout(), items, spacing, margin)


def _fill(layout: L, items: tuple, spacing: int, margin: int) -> L:
    layout.setSpacing(spacing)
    layout.setContentsMargins(margin, margin, margin, margin)
    for item in items:
        if item is None:
            layout.addStretch(1)
        elif isinstance(item, int):
            layout.addSpacing(item)
        elif isinstance(item, QLayout):
            layout.addLayout(item)
        else:
            layout.addWidget(item)
    return layout


def card(layout: QLayout, *, margin: int = theme.L) -> QFrame:
    frame = QFrame()
    frame.setProperty("role", "card")
    layout.setContentsMargins(margin, margin, margin, margin)
    frame.setLayout(layout)
    return frame


def line() -> QFrame:
    made = QFrame()
    made.setProperty("role", "line")
    return made


class FootBar(QFrame):
    """A bar at the foot of the window; all of them are of one height. Hidden until there is something to show."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "bar")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.hide()

    def fill(self, *items: QWidget, wide: QWidget) -> None:
        """Put ``items`` beside one another; ``wide``, one of them, takes the room that is left."""
        layout = row(*items, spacing=theme.M)
        layout.setStretchFactor(wide, 1)
        layout.setContentsMargins(theme.L, theme.S, theme.M, theme.S)
        self.setLayout(layout)


class ElidedLabel(QLabel):
    """One line that ends in "…" rather than being cut off; the whole text is its tip.

    ``cut``: of names and paths the middle is left out (:data:`MIDDLE`), as their ends tell them apart.
    """

    def __init__(self, text: str = "", role: str = "", *, cut: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> None:
        super().__init__()
        self._full = ""
        self._cut = cut
        if role:
            self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_text(text)

    def full_text(self) -> str:
        return self._full

    def set_text(self, text: str) -> None:
        self._full = text
        self.setAccessibleName(text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        shown = QFontMetrics(self.font()).elidedText(self._full, self._cut, self.width())
        self.setText(shown)
        self.setToolTip(self._full if shown != self._full else "")


class ComboBox(QComboBox):
    """A combo box with our own arrow, as the style sheet takes Fusion's away, and the inner half of the focus ring."""

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(colour("accent"))
            painter.drawRoundedRect(
                QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5), theme.RADIUS - 1, theme.RADIUS - 1
            )
        tint = colour("text" if self.isEnabled() else "outline")
        paint_icon(painter, "down", QRectF(self.width() - 24, (self.height() - 16) / 2, 16, 16), tint)


class CheckBox(QCheckBox):
    """A check box with our own mark, for the same reason."""

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.isChecked():
            option = QStyleOptionButton()
            self.initStyleOption(option)
            box = self.style().subElementRect(QStyle.SubElement.SE_CheckBoxIndicator, option, self)
            paint_icon(QPainter(self), "check", QRectF(box).adjusted(2, 2, -2, -2), colour("on_accent"))


def under_check(widget: QWidget) -> QWidget:
    """What belongs to a check box or a radio button, under its words."""
    holder = QWidget()
    layout = row(widget)
    layout.setContentsMargins(UNDER_CHECK, 0, 0, 0)
    holder.setLayout(layout)
    return holder


class IconLabel(QLabel):
    """An icon as part of the page; follows the theme."""

    def __init__(self, name: str, tint: str, size: int) -> None:
        super().__init__()
        self._name, self._tint, self._size = name, tint, size
        self.setFixedHeight(size)
        theme.theme().changed.connect(self._draw)
        self._draw()

    def _draw(self) -> None:
        self.setPixmap(icon(self._name, self._tint).pixmap(QSize(self._size, self._size), self.devicePixelRatio()))


class EmptyState(QWidget):
    """A place with nothing in it says what to do: picture, sentence, and the buttons that do it."""

    def __init__(self, icon_name: str, title: str, text: str, *buttons: QWidget) -> None:
        super().__init__()
        self._picture = IconLabel(icon_name, "muted", 56)
        self._picture.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.title = label(title, "heading")
        self.title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.text = label(text, "muted", wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        inner = QWidget()
        inner.setMaximumWidth(theme.letters(EMPTY_LETTERS))
        inner.setLayout(
            column(self._picture, theme.S, self.title, self.text, theme.S, row(None, *buttons, None), spacing=theme.S)
        )
        layout = row(None, _centred(inner), None)
        layout.setStretch(1, 100)  # as wide as it may be
        self.setLayout(layout)
        self.say(title, text)

    def say(self, title: str, text: str) -> None:
        self.title.setText(title)
        self.text.setText(text)
        width = theme.letters(EMPTY_LETTERS)
        beside = (width - _even_width(text, self.text.fontMetrics(), width)) // 2
        self.text.setContentsMargins(beside, 0, beside, 0)


def _even_width(text: str, metrics: QFontMetrics, most: int) -> int:
    """The narrowest room in which a text takes no more lines than in ``most``: no word is left alone at its end."""

    def high(width: int) -> int:
        return metrics.boundingRect(QRect(0, 0, width, 10_000), Qt.TextFlag.TextWordWrap, text).height()

    low, fits = most // 2, most
    while low < fits:
        middle = (low + fits) // 2
        low, fits = (low, middle) if high(middle) <= high(most) else (middle + 1, fits)
    return fits


def _centred(widget: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout()
    layout.addStretch(2)
    layout.addWidget(widget)
    layout.addStretch(3)
    return layout


class Disclosure(QWidget):
    """A "More" line that opens and closes what most people do not need."""

    def __init__(self, text: str, content: QWidget) -> None:
        super().__init__()
        self._content = content
        self.toggle = button(text, self._flip, role="link", icon_name="next")
        self.toggle.setCheckable(True)
        self.setLayout(column(row(self.toggle, None), content))
        content.hide()

    @property
    def is_open(self) -> bool:
        return not self._content.isHidden()

    def set_open(self, opened: bool) -> None:
        if opened != self.is_open:
            self._flip()

    def _flip(self) -> None:
        self._content.setVisible(self._content.isHidden())
        self.toggle.setChecked(self.is_open)
        self.toggle.setIcon(icon("down" if self.is_open else "next", "accent"))
