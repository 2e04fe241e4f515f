"""Photos that come, go or change in the open library's folders while the window is open."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from gui.lane import Lane

if TYPE_CHECKING:
    from core.library.watch import FolderWatch

LOOK_EVERY_MS = 1_500
MOST_OF_THE_TIME = 20
"""Between two looks lies at least this many times what a look takes: a slow drive is not kept busy."""


class Watcher(QObject):
    """Looks at the folders now and then, in a thread of its own, and says which of them have changed."""

    changed = Signal(object)  # tuple[Path, ...]

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lane = Lane("watch", self)
        self._watch: FolderWatch | None = None
        self._folders: tuple[Path, ...] = ()
        self._since = time.time()
        self._stopped = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._look)

    def begin(self) -> None:
        """Another library: whatever changes from now on is news, also before its folders are known."""
        self._timer.stop()
        self._watch, self._folders, self._since = None, (), time.time()

    def watch(self, folders: Sequence[Path]) -> None:
        """Look after these folders, and only these."""
        if self._stopped or tuple(folders) == self._folders:
            return
        self._watch, self._folders = None, tuple(folders)
        if folders:
            self._timer.start(LOOK_EVERY_MS)

    def stop(self) -> None:
        """For good: a look that is under way is the last, and nothing is made of it."""
        self._stopped = True
        self._timer.stop()

    def _look(self) -> None:
        folders, watch, since = self._folders, self._watch, self._since

        def look() -> tuple[FolderWatch, tuple[Path, ...], float]:
            from core.library.watch import FolderWatch

            started = time.monotonic()
            used = watch or FolderWatch(folders, since=since)
            news = used.poll()
            return used, news, time.monotonic() - started

        def done(result: tuple[FolderWatch, tuple[Path, ...], float]) -> None:
            used, news, seconds = result
            if self._stopped or folders != self._folders:
                return  # other folders are looked after by now, or none
            self._watch = used
            if news:
                self.changed.emit(news)
            self._timer.start(max(LOOK_EVERY_MS, round(1000 * MOST_OF_THE_TIME * seconds)))

        self.lane.submit(look, done)
