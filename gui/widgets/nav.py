"""The five places, in the order of the work, and how many photos wait in each."""

from __future__ import annotations

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QBoxLayout, QButtonGroup, QFrame, QSizePolicy, QToolButton, QWidget

from gui import theme
from gui.actions import Actions
from gui.theme import colour, scaled_font
from gui.widgets.basics import MIDDLE, ElidedLabel, column, label, row, tool_button

PLACES = ("library", "seed", "train", "review", "deliver")
WIDTH = 32  # letters
NARROW = 130  # letters: in a window with room for fewer, the places are icons


class NavButton(QToolButton):
    """A place: icon, name, and at the right end a number that says what is there."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._badge = ""
        self.setProperty("role", "nav")
        self.setCheckable(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setIconSize(theme.icon_size(20))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def badge(self) -> str:
        return self._badge

    def set_badge(self, text: str) -> None:
        self._badge = text
        self.setAccessibleDescription(text)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._badge or self.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly:
            return
        painter = QPainter(self)
        font = scaled_font(theme.SMALL)
        painter.setFont(font)
        painter.setPen(colour("muted"))
        width = QFontMetrics(font).horizontalAdvance(self._badge)
        room = QRect(self.width() - width - theme.M, 0, width + 1, self.height())
        painter.drawText(room, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), self._badge)


class NavRail(QFrame):
    chosen = Signal(str)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "rail")
        self.setAccessibleName(self.tr("Places"))
        self._group = QButtonGroup(self)
        self.buttons: dict[str, NavButton] = {}
        self.library_name = ElidedLabel(self.tr("No library open"), "strong", cut=MIDDLE)
        self.library_detail = ElidedLabel("", "small")
        layout = column(spacing=theme.XS, margin=theme.S)
        head = column(self.library_name, self.library_detail, spacing=2)
        head.setContentsMargins(theme.S, theme.S, theme.S, theme.M)
        layout.addLayout(head)
        for name in PLACES:
            action = actions[f"go_{name}"]
            made = NavButton(name)
            made.setText("  " + action.text().replace("&", ""))
            made.setIcon(action.icon())
            made.setAccessibleName(action.text().replace("&", ""))
            made.clicked.connect(lambda _checked=False, name=name: self.chosen.emit(name))
            self._group.addButton(made)
            self.buttons[name] = made
            layout.addWidget(made)
        layout.addStretch(1)
        self.theme_button = tool_button("system", self.tr("Light or dark"), actions["next_theme"].trigger)
        self.keys = tool_button("keyboard", self.tr("Keyboard shortcuts"), actions["shortcuts"].trigger)
        self._theme_label = label("", "small")
        self._foot = row(self.theme_button, self._theme_label, None, self.keys, spacing=theme.XS)
        layout.addLayout(self._foot)
        self.setLayout(layout)
        self._actions = actions
        actions.keys_changed.connect(self._tell_keys)
        self._tell_keys()
        self.fit(theme.letters(NARROW))

    def fit(self, window_width: int) -> None:
        """Names beside the icons where the window has room for them; else icons, whose tips say the names."""
        narrow = window_width < theme.letters(NARROW)
        style = Qt.ToolButtonStyle.ToolButtonIconOnly if narrow else Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        for made in self.buttons.values():
            made.setToolButtonStyle(style)
        for text in (self.library_name, self.library_detail, self._theme_label):
            text.setHidden(narrow)
        self._foot.setDirection(QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight)
        icons = self.buttons["library"].sizeHint().width() + 2 * theme.S
        self.setFixedWidth(icons if narrow else max(theme.letters(WIDTH), icons))

    def _tell_keys(self) -> None:
        tips: dict[str, QToolButton] = {f"go_{name}": made for name, made in self.buttons.items()}
        for name, made in (tips | {"shortcuts": self.keys}).items():
            tip, key = self._actions[name].toolTip(), self._actions.key(name)
            made.setToolTip(f"{tip} ({key})" if key else tip)

    def select(self, name: str) -> None:
        self.buttons[name].setChecked(True)

    def set_theme(self, icon_name: str, text: str) -> None:
        from gui.icons import icon

        self.theme_button.setIcon(icon(icon_name))
        self._theme_label.setText(text)
        self.theme_button.setAccessibleName(self.tr("Colours: {mode}").format(mode=text))
