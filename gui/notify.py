"""Tells that long work has ended, when its window is not the one that is looked at."""

from __future__ import annotations

import logging
from time import monotonic

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget

from gui.bridge import RunningJob
from gui.preferences import Preferences
from gui.worker import Failure

_log = logging.getLogger(__name__)

LONG_S = 30.0
SHOWN_MS = 10_000


class Notifier(QObject):
    """The window's entry in the task bar asks for attention, and where the desktop has a tray it shows a message.

    What a person has cancelled is no news.
    """

    def __init__(self, window: QWidget, preferences: Preferences) -> None:
        super().__init__(window)
        self._window = window
        self._preferences = preferences
        self._tray: QSystemTrayIcon | None = None
        self._away = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._away.timeout.connect(self._put_away)

    def watch(self, job: RunningJob) -> None:
        if job.gives_way:  # nobody asked for it
            return
        began, title = monotonic(), job.title

        def ended(text: str, more: str = "") -> None:
            if monotonic() - began >= LONG_S:
                self.tell(text.format(work=title), more)

        job.finished.connect(lambda _result: ended(self.tr("{work}: done")))
        job.failed.connect(lambda failure: ended(self.tr("{work}: not finished"), _reason(failure)))

    def tell(self, text: str, more: str = "") -> None:
        """Say so, unless somebody is looking at one of our windows, or wants to hear nothing."""
        if QApplication.activeWindow() is not None or not self._preferences.wants("notify"):
            return
        _log.info("told: %s", text)
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            tray = self._in_tray()
            tray.show()  # a message needs an icon to come from; it goes with the message
            tray.showMessage(text, more, self._window.windowIcon(), SHOWN_MS)
            self._away.start()

    def _in_tray(self) -> QSystemTrayIcon:
        if self._tray is None:
            self._tray = QSystemTrayIcon(self._window.windowIcon(), self)
            self._tray.setToolTip(QApplication.applicationDisplayName())
            self._tray.messageClicked.connect(self._come)
            self._tray.activated.connect(lambda _reason: self._come())
        return self._tray

    def _come(self) -> None:
        self._window.setWindowState(self._window.windowState() & ~Qt.WindowState.WindowMinimized)
        self._window.raise_()
        self._window.activateWindow()
        self._put_away()

    def _put_away(self) -> None:
        if self._tray is not None:
            self._tray.hide()


def _reason(failure: Failure) -> str:
    return f"{failure.message} {failure.next_step}".strip()
