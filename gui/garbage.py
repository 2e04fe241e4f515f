"""Garbage with cycles is collected in the GUI thread alone.

Python collects wherever an allocation happens to cross its threshold, in a thread that reads the library perhaps. Qt's
objects among the garbage are then destroyed there: that thread holds a lock of Qt's and waits for the interpreter,
which the GUI thread holds while it waits for that lock, and the window stands still for ever.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

EVERY_MS = 300


class Garbage(QObject):
    """Collects what Python would have collected, as often as its thresholds say, between two events of the window."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    def collect(self) -> None:
        for generation in (2, 1, 0):
            if gc.get_count()[generation] > gc.get_threshold()[generation]:
                gc.collect(generation)
                return
