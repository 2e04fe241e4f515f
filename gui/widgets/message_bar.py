"""Failures and news in words, at the top of the window; never a modal box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from gui import theme
from gui.icons import icon
from gui.widgets.basics import button, label, set_role, tool_button
from gui.worker import Failure

Kind = Literal["info", "waits", "good", "warn", "bad"]  # info: an offer to begin; waits: what was begun
ICONS: dict[Kind, tuple[str, str]] = {
    "info": ("info", "accent"),
    "waits": ("pause", "accent"),
    "good": ("check", "good"),
    "warn": ("warning", "warn"),
    "bad": ("error", "bad"),
}
GOOD_NEWS_MS = 8_000


class MessageBar(QFrame):
    """Shows one message at a time; the newest wins, and good news goes away by itself."""

    details_wanted = Signal(object)  # Failure

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kind: Kind = "info"
        self._details = ""
        self._picture = QLabel()
        self._text = label("", "", wrap=True)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._action: QPushButton | None = None
        self._open = button(self.tr("Details"), self._open_details, icon_name="info")
        self._copy = button(self.tr("Copy details"), self._copy_details, icon_name="copy")
        self._close = tool_button("close", self.tr("Dismiss"), self.clear)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.L, theme.S, theme.S, theme.S)
        layout.setSpacing(theme.M)
        for widget in (self._picture, self._text, self._open, self._copy, self._close):
            layout.addWidget(widget)
        layout.setStretch(1, 1)
        self._timer = QTimer(self, singleShot=True, interval=GOOD_NEWS_MS)
        self._timer.timeout.connect(self.clear)
        theme.theme().changed.connect(self._tint)
        self.hide()

    @property
    def kind(self) -> Kind:
        return self._kind

    @property
    def message(self) -> str:
        """What is shown, without markup; empty when nothing is."""
        return "" if self.isHidden() else self.accessibleName()

    def show_message(
        self,
        text: str,
        next_step: str = "",
        *,
        kind: Kind = "info",
        details: str = "",
        action: tuple[str, Callable[[], object]] | None = None,
    ) -> None:
        self._timer.stop()
        self._kind, self._details = kind, details
        self.setAccessibleName(_whole(text, next_step))
        escaped = [part.replace("&", "&amp;").replace("<", "&lt;") for part in (text, next_step)]
        self._text.setText(f"<b>{escaped[0]}</b> {escaped[1]}" if next_step else escaped[0])
        for made in (self._open, self._copy):
            made.setVisible(bool(details))
        if self._action is not None:
            self._action.hide()
            self._action.deleteLater()
            self._action = None
        if action is not None:
            self._action = button(action[0], action[1])
            layout = self.layout()
            assert isinstance(layout, QHBoxLayout)
            layout.insertWidget(2, self._action)
        set_role(self, "info" if kind == "waits" else kind)
        self._tint()
        self.show()
        if kind == "good":
            self._timer.start()

    def show_failure(self, failure: Failure) -> None:
        self.show_message(failure.message, failure.next_step, kind="bad", details=failure.details)

    def withdraw(self, failure: Failure) -> None:
        """It is no longer true; what has come after it stays."""
        if self.accessibleName() == _whole(failure.message, failure.next_step):
            self.clear()

    def clear(self) -> None:
        self._timer.stop()
        self.hide()

    def _open_details(self) -> None:
        self.details_wanted.emit(Failure(self.accessibleName(), "", self._details))

    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.accessibleName()}\n\n{self._details}")

    def _tint(self) -> None:
        name, tint = ICONS[self._kind]
        self._picture.setPixmap(icon(name, tint).pixmap(theme.icon_size(20), self.devicePixelRatio()))


def _whole(text: str, next_step: str) -> str:
    return f"{text} {next_step}".strip()
