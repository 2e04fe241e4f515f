"""The open library's daily look at its whole database: in a thread of its own, some time after opening."""

from __future__ import annotations

import threading
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from gui.lane import Lane

CHECK_AFTER_MS = 10_000  # opening, and the first look at the photos, come first


class DailyCheck(QObject):
    """What it finds is told through ``lane.failed``; nobody waits for it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lane = Lane("check", self)
        self._folder = Path()
        self._stopped = threading.Event()
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._look)

    def begin(self, folder: Path) -> None:
        """Another library is open, in ``folder``."""
        self.stop()
        self._folder, self._stopped = folder, threading.Event()
        self._timer.start(CHECK_AFTER_MS)

    def stop(self) -> None:
        """Look at this library no longer; a look that is under way ends soon."""
        self._timer.stop()
        self._stopped.set()

    def _look(self) -> None:
        folder, stopped = self._folder, self._stopped

        def look() -> None:
            from core.library.daily_check import daily_check

            daily_check(folder, stopped.is_set)

        self.lane.submit(look)
