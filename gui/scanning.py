"""Looking through folders of photos: asked for, or since something has changed in them; and saying what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from gui import words
from gui.bridge import RunningJob
from gui.session import Session
from gui.tasks import ScanOrder, ScanResult, scan_folders

GROW_MS = 1_000


class Scanning(QObject):
    first_photos = Signal(int)  # photos have come into a library that has no caption yet
    folder_away = Signal(object)  # a person looked for changes, and this folder of the library is not there
    begun_or_ended = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._changed: tuple[Path, ...] = ()  # folders with news that wait for a scan under way to end
        session.opened.connect(self._new_library)
        session.watcher.changed.connect(self.look_again)

    def _new_library(self) -> None:
        self._changed = ()

    def scan(self, folders: Sequence[Path] = (), *, quietly: bool = False) -> RunningJob | None:
        """Look through new folders, or all known ones again; ``quietly``: say nothing when nothing has changed."""
        service = self._session.service
        if service is None:
            return None
        current = self._session.light.current
        if current is not None and current.kind == "scan":  # one after the other; nobody has to press again
            current.ended.connect(lambda: self.scan(folders, quietly=quietly))
            return None
        order = ScanOrder(service.path, tuple(folders))
        title = self.tr("Reading photos")
        job = self._session.start(self._session.light, scan_folders, order, title=title, kind="scan")
        if job is not None:
            growing = QTimer(job, interval=GROW_MS)  # photos appear while the rest is still being read
            growing.timeout.connect(self._session.grow)
            growing.start()
            job.finished.connect(lambda result: self._scanned(result, asked=not quietly))
            job.ended.connect(self.begun_or_ended)
            self.begun_or_ended.emit()
        return job

    def look_again(self, folders: Sequence[Path]) -> None:
        """Something has changed in these folders: look there as soon as nothing else is being read."""
        self._changed = tuple(dict.fromkeys((*self._changed, *folders)))
        if self._session.light.current is not None:
            QTimer.singleShot(GROW_MS, self, lambda: self.look_again(()))
        elif self._changed:
            changed, self._changed = self._changed, ()
            self.scan(changed, quietly=True)

    def _scanned(self, result: ScanResult, asked: bool) -> None:
        parts = []
        if result.added:
            parts.append(words.counted(result.added, self.tr("new photo"), self.tr("new photos", "", result.added)))
        if result.changed:
            parts.append(self.tr("{n} changed").format(n=words.count(result.changed)))
        if result.renamed:
            parts.append(self.tr("{n} renamed or moved").format(n=words.count(result.renamed)))
        if result.returned:
            parts.append(self.tr("{n} found again").format(n=words.count(result.returned)))
        if result.missing:
            parts.append(self.tr("{n} no longer there").format(n=words.count(result.missing)))
        if result.removed and asked:
            parts.append(self.tr("{n} removed before and left out").format(n=words.count(result.removed)))
        if result.errors and (parts or asked):  # known trouble is no news: a link above the grid tells of it
            parts.append(self.tr("{n} could not be read").format(n=words.count(len(result.errors))))
        counts = self._session.overview.counts if self._session.overview is not None else None
        if result.added and (counts is None or counts.seeds + counts.candidates + counts.accepted == 0):
            self.first_photos.emit(result.added)
            del parts[0]  # the offer tells their number
            asked = False
        if asked and result.away:
            self.folder_away.emit(result.away[0])
        if parts or asked:
            self._session.said.emit(", ".join(parts) if parts else self.tr("Nothing has changed in the folders."))
