"""What the views share: the open library, the lanes that reach it, the job runners, and news of what has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import UserError
from core.library.lock import IN_USE
from gui.bridge import Held, JobRunner, RunningJob
from gui.checking import DailyCheck
from gui.commands import Commands
from gui.lane import Lane
from gui.services import LibraryService, Overview, Photo, Query
from gui.spelling import Spelling
from gui.thumbnails import Thumbnails
from gui.watching import Watcher
from gui.worker import Failure, Job

REFRESH_MS = 60
_log = logging.getLogger(__name__)
PAUSES = 10  # while a library grows, it is counted a tenth of the time at most


class Session(QObject):
    opening_changed = Signal()  # a library is being opened, or no longer is
    leaving = Signal()  # another library takes the place of this one: last call for what has been typed
    opened = Signal()  # another library, or none
    overview_changed = Signal(object)  # Overview
    data_changed = Signal()  # captions or photos have changed: read again what is shown
    typed = Signal()  # a caption being typed was kept; only counts have changed
    failed = Signal(object)  # Failure
    settled = Signal(object)  # Failure that is none any more: what was in the way has ended
    said = Signal(str)  # small good news
    job_started = Signal(object)  # RunningJob

    def __init__(self, parent: QObject | None = None, *, in_process: bool = False) -> None:
        super().__init__(parent)
        self.reads = Lane("reads", self)
        self.writes = Lane("writes", self)
        self.counting = Lane("counting", self)  # the overview takes a while, and no photo on the screen waits for it
        self.pictures = Lane("pictures", self)
        self.lookups = Lane("lookups", self)  # slow looks at many files, so that reading is not behind them
        self.thumbnails = Thumbnails(self)
        self.commands = Commands(self.writes, self)
        self.watcher = Watcher(self)
        self.check = DailyCheck(self)
        self.spelling = Spelling(self)
        self.heavy = JobRunner(self, in_process=in_process)  # training, captioning: one at a time
        self.light = JobRunner(self, in_process=in_process)  # scanning
        self.words = JobRunner(
            self, in_process=in_process, keep_worker=True
        )  # search and what to label next: the model stays loaded
        self.service: LibraryService | None = None
        self.overview: Overview | None = None
        self._overview_s, self._overview_at = 0.0, 0.0  # how long the last one took, and when it was there
        self.opening: Path | None = None
        self._asked_to_open = 0  # so many times
        self._not_opened = 0  # which of them failed last
        self._newest: LibraryService | None = None  # what the writing lane has opened last
        self.closing = False  # nothing new is begun any more
        self.writes.failed.connect(self._opening_failed)
        for lane in self.lanes:
            lane.failed.connect(self.failed)
        for runner in self.runners:
            runner.started.connect(self.job_started)
        self._refresh = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._refresh.timeout.connect(self._read_again)
        self.commands.changed.connect(self._done)
        self.commands.undone.connect(self._undone)

    @property
    def runners(self) -> tuple[JobRunner, JobRunner, JobRunner]:
        return self.heavy, self.light, self.words

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self.reads, self.writes, self.counting, self.pictures, self.lookups, self.watcher.lane, self.check.lane

    # -- the library ------------------------------------------------------------------------------------------------

    def open(self, folder: Path, then: Callable[[], object] | None = None) -> None:
        """Open the library in or of ``folder`` instead of the open one; of several choices the last counts."""

        if self.closing:
            return
        for runner in (self.heavy, self.light):
            if runner.current is not None and runner.current.gives_way:
                runner.current.ended.connect(lambda: self.open(folder, then))
                runner.current.cancel()
                return
            if runner.current is not None:
                self._tell_in_the_way(
                    runner.current,
                    self.tr("“{work}” is still running in this library.").format(work=runner.current.title),
                    self.tr("Wait until it is done, or stop it, and then open the other one."),
                )
                return

        self._asked_to_open += 1
        number = self._asked_to_open

        def done(service: LibraryService | None) -> None:
            last = number == self._asked_to_open
            if service is not None and last:
                self._use(service)
            if last:
                self._set_opening(None)
                if then is not None:
                    then()

        self._set_opening(folder)
        self.writes.submit(lambda: self._reopen(folder, number), done)

    def _set_opening(self, folder: Path | None) -> None:
        if folder != self.opening:
            self.opening = folder
            self.opening_changed.emit()

    def _opening_failed(self, _failure: Failure) -> None:
        if self._not_opened == self._asked_to_open:
            self._set_opening(None)

    def _reopen(self, folder: Path, number: int) -> LibraryService | None:
        """In the writing lane, so that everything typed before is kept first. None: another was chosen meanwhile."""
        if number != self._asked_to_open:
            return None
        try:
            self._newest = self._opened(folder)
        except BaseException:
            self._not_opened = number
            raise
        return self._newest

    def _opened(self, folder: Path) -> LibraryService:
        before = self._newest
        if before is not None and before is not self.service and not before.is_of(folder):
            before.close()  # chosen, and given up for another before the window showed it
            before = self._newest = self.service
        if before is not None and before.is_of(folder):
            return before
        try:
            return LibraryService.open(folder)
        except UserError as error:
            within = before is not None and folder.suffix != ".seedcap" and before.is_of(*folder.parents)
            if before is not None and within and error.topic == IN_USE:
                return before  # it holds this folder too, and cannot be opened a second time
            raise

    def _use(self, service: LibraryService) -> None:
        if self.words.current is not None:
            self.words.current.cancel()  # what it finds are photos of the library before
        self.leaving.emit()
        before, self.service = self.service, service
        self.commands.use(service)
        self.thumbnails.clear()
        self.watcher.begin()
        self.check.begin(service.path)
        if before is not None and before is not service:
            self.writes.submit(before.close)
        self.overview = None
        self.opened.emit()
        self._read_again()

    def refresh(self) -> None:
        """Something has changed: tell the views soon, once for many changes."""
        self._refresh.start()

    def grow(self) -> None:
        """Something is being added bit by bit: :meth:`refresh`, but in a large library not as often as it is asked."""
        if time.monotonic() - self._overview_at >= PAUSES * self._overview_s:
            self.refresh()

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, call: Callable[[LibraryService], object], then: Callable[..., None], *, key: str = "") -> None:
        """``then(call(service))``, unless the library has been closed meanwhile."""
        self._ask(self.reads, call, then, key)

    def look_up(
        self, call: Callable[[LibraryService], object], then: Callable[..., None], *, key: str = "lookup"
    ) -> None:
        """The same for what may take seconds; only the newest of a ``key`` is answered."""
        self._ask(self.lookups, call, then, key)

    def _ask(self, lane: Lane, call: Callable[[LibraryService], object], then: Callable[..., None], key: str) -> None:
        service = self.service
        if service is None:
            return

        def done(result: object) -> None:
            if service is self.service:
                then(result)

        lane.submit(lambda: call(service), done, key=key or None)

    def read_photos(self, ids: np.ndarray, then: Callable[[Sequence[Photo]], None]) -> None:
        self.read(lambda service: service.photos(ids), then)

    def read_ids(self, query: Query, then: Callable[[np.ndarray], None], *, key: str) -> None:
        self.read(lambda service: service.ids(query), then, key=key)

    def write(self, call: Callable[[LibraryService], object], then: Callable[..., None]) -> None:
        """``call(service)`` in the writing lane, where it cannot overtake what a person has done before."""
        self._ask(self.writes, call, then, "")

    def after_writes(self, then: Callable[[], None]) -> None:
        """``then()`` when everything written so far is in the database."""
        self.writes.submit(lambda: None, lambda _: then())

    def after_reads(self, then: Callable[[], None]) -> None:
        """``then()`` when everything asked for so far has been read and shown."""
        self.reads.submit(lambda: None, lambda _: then())

    def after_overview(self, then: Callable[[], None]) -> None:
        """``then()`` when the counts have been read again."""

        def done(overview: Overview) -> None:
            self._set_overview(overview)
            then()

        self._ask(self.counting, self._overview_of, done, "")

    def _read_again(self) -> None:
        self.data_changed.emit()
        self._read_overview()

    def _read_overview(self) -> None:
        self._ask(self.counting, self._overview_of, self._set_overview, "overview")

    def _overview_of(self, service: LibraryService) -> Overview:
        started = time.monotonic()
        overview = service.overview()
        self._overview_s = time.monotonic() - started
        return overview

    def _set_overview(self, overview: Overview) -> None:
        self.overview = overview
        self._overview_at = time.monotonic()
        self.watcher.watch(overview.folders)
        self.overview_changed.emit(overview)

    def _done(self, label: str) -> None:
        if label:
            self.refresh()
            self.said.emit(label)
        else:
            self._read_overview()
            self.typed.emit()

    def _undone(self, text: str) -> None:
        self.refresh()
        self.said.emit(text)

    # -- jobs -------------------------------------------------------------------------------------------------------

    def start(self, runner: JobRunner, job: Job, request: object, *, title: str, kind: str = "") -> RunningJob | None:
        """Start a job whose failure is told in the message bar; None when it could not be started.

        The failure of one that nobody asked for (it gives way to any other) is in the log alone.
        Nothing is started, and nothing said, while the app is closing: whatever asks then is not a person.
        """
        from core.errors import UserError

        if self.closing:
            return None
        try:
            running = runner.start(job, request, title=title, kind=kind)
        except UserError as error:
            if runner.current is not None:
                self._tell_in_the_way(runner.current, error.message, error.next_step)
            return None
        running.failed.connect(_note)
        if not running.gives_way:
            running.failed.connect(self.failed)
        running.ended.connect(self.refresh)
        return running

    def _tell_in_the_way(self, job: RunningJob, message: str, next_step: str) -> None:
        failure = Failure(message, next_step)
        self.failed.emit(failure)
        job.ended.connect(lambda: self.settled.emit(failure))

    @property
    def training(self) -> bool:
        job = self.heavy.current
        return job is not None and job.kind == "train"

    @property
    def busy(self) -> bool:
        return any(runner.current is not None for runner in self.runners)

    @property
    def held(self) -> Held | None:
        """What idle workers keep in memory between jobs; None where there is none."""
        held = [one for one in (runner.held for runner in self.runners) if one is not None]
        return Held(sum(one.memory_mb for one in held), sum(one.gpu_mb for one in held)) if held else None

    def cancel_all(self) -> None:
        for runner in self.runners:
            if runner.current is not None:
                runner.current.cancel()

    def wind_down(self) -> bool:
        """Begin nothing more, ask all work to stop, and tell whether it has. Never waits: ask again until it has."""
        self.closing = True
        self.watcher.stop()
        self.check.stop()
        self.cancel_all()
        for runner in self.runners:
            runner.release()
        ended = not self.busy and not any(runner.ending for runner in self.runners)
        # A library that is half open could not be closed, and a slow look would be waited for with the window frozen.
        return ended and self.opening is None and self.lookups.drain(0.0) and self.check.lane.drain(0.0)

    def close(self) -> None:
        """When all work has wound down: finish writing, then let go of everything."""
        self._refresh.stop()
        self.watcher.stop()
        self.check.stop()
        self.writes.stop()  # first: what was typed
        for lane in self.lanes:
            lane.stop()
        self.thumbnails.stop()
        service, self.service = self.service, None
        if service is not None:
            service.close()


def _note(failure: Failure) -> None:
    """What a person cannot mend is in the log, also after its message has gone."""
    if failure.details:
        _log.error("%s\n%s", failure.message, failure.details)
