"""The one adapter between core jobs and the window.

A job is ``job(ctx, request)``. By default it runs in a spawned worker process (the window never stalls on its imports
or its Python-heavy steps; a crash takes the job, not the app; memory is given back), supervised by a QThread; with
``in_process=True`` in that QThread itself. Reports become signals, at most 20 a second.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from PySide6.QtCore import QObject, QThread, QTimer, Signal

from core.bench.memory import resident_mb
from core.errors import UserError
from core.paths import log_dir
from gui.next_steps import IN_WINDOW
from gui.words import tr
from gui.worker import (
    Failure,
    Finished,
    Gpu,
    Job,
    Message,
    Report,
    Started,
    Stopped,
    end_group,
    perform,
    worker_main,
)

_log = logging.getLogger(__name__)

POLL_S = 0.05
PAUSED_BY_STOPPING = ("train",)  # kinds of jobs that go on exactly where they were stopped
GIVES_WAY = ("starter",)  # kinds of jobs that nobody asked for: cancelled for whatever a person starts
CANCEL_GRACE_S = 15.0  # a job that has not stopped by then is ended
KEEP_WARM_MS = 120_000  # how long a worker that is kept between jobs waits for the next one
LOG_TAIL = 6_000


class WorkerDiedError(Exception):
    def __init__(self, exit_code: int | None, log: str) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
        self.log = log


class WorkerProcess:
    """A spawned process that runs jobs; one thread at a time may use it."""

    def __init__(self) -> None:
        folder = log_dir()
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"worker-{os.getpid()}-{time.monotonic_ns()}.log"
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._process: SpawnProcess = context.Process(
            target=worker_main, args=(theirs, self._log), name="seedcap-worker", daemon=False
        )
        self._process.start()
        self.gpu_mb = 0.0  # what its last job has left there
        theirs.close()  # or its end would never be seen here

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def run(self, payload: bytes) -> None:
        self._say(("run", payload))

    def cancel(self) -> None:
        self._say(("cancel",))

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None after ``timeout_s``. Raises :class:`WorkerDiedError` when there will be none."""
        try:
            return self._pipe.recv() if self._pipe.poll(timeout_s) else None
        except (EOFError, OSError):
            self._process.join(2.0)
            raise WorkerDiedError(self._process.exitcode, self._read_log()) from None

    def close(self, grace_s: float = 2.0) -> None:
        """Let the process end by itself, then make it; removes its log. May take seconds: not for the GUI thread."""
        self._pipe.close()
        self._process.join(grace_s)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(10.0)
        if self._process.exitcode != 0 and self._process.pid is not None:
            end_group(self._process.pid)
        with contextlib.suppress(ValueError):  # killed, but so busy a computer has not come round to ending it
            self._process.close()
        with contextlib.suppress(OSError):
            self._log.unlink()

    def _say(self, message: tuple[object, ...]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # receive() tells why
            self._pipe.send(message)

    def _read_log(self) -> str:
        try:
            return self._log.read_text("utf-8", "replace")[-LOG_TAIL:].strip()
        except OSError:
            return ""


def _said(failure: Failure) -> Failure:
    """What a worker said in English, in the person's language where that is known."""
    told = (failure.message, failure.next_step, IN_WINDOW.get(failure.topic, ""))
    message, step, here = (text and tr(text) for text in told)
    return Failure(message, f"{step} {here}".strip(), failure.details)


def death_notice(exit_code: int | None, log: str) -> Failure:
    """What happened to a worker that ended without a word, as a sentence."""
    details = f"The worker process ended with exit status {exit_code}.\n{log}".strip()
    if exit_code is not None and -exit_code == getattr(signal, "SIGKILL", 9):
        return Failure(
            tr("The system ended this work, most likely because memory ran out."),
            tr("Close other programs or work on fewer photos, then start again; what was finished is kept."),
            details,
        )
    return Failure(
        tr("The worker that did this stopped unexpectedly. The app and your captions are safe."),
        tr("Start again; if it happens again, copy the details into a report."),
        details,
    )


@dataclass(frozen=True)
class Held:
    """What an idle worker keeps, in MB; 0 where it is not known."""

    memory_mb: float
    gpu_mb: float


class RunningJob(QObject):
    """One job from start to end: one of ``finished``, ``failed`` and ``cancelled`` is emitted, then ``ended``."""

    progress = Signal(object)  # gui.worker.Progress, the newest
    partials = Signal(object)  # tuple of partial results, in order, none left out
    finished = Signal(object)  # the job's result
    failed = Signal(object)  # gui.worker.Failure
    cancelled = Signal()
    ended = Signal()

    def __init__(self, title: str, kind: str, supervisor: _Supervisor, parent: QObject) -> None:
        super().__init__(parent)
        self.title = title
        self.kind = kind
        self.gives_way = kind in GIVES_WAY
        self.cancelling = False
        self._supervisor = supervisor

    def cancel(self) -> None:
        """Ask the job to stop; answered by ``cancelled`` (or by ``finished``, when it was done already)."""
        self.cancelling = True
        self._supervisor.cancel()


class _Supervisor(QThread):
    message = Signal(object)

    def __init__(self, job: Job, request: object, worker: _WorkerSlot | None) -> None:
        super().__init__()
        self._job = job
        self._request = request
        self._slot = worker
        self._begun = False
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def run(self) -> None:
        try:
            if self._slot is None:
                outcome = perform(self._job, self._request, self.message.emit, self._cancelled)
            else:
                outcome = self._supervise(self._slot)
        except Exception as error:  # noqa: BLE001 - the bridge: a thread that dies silently would leave the window waiting
            _log.exception("supervising a job failed")
            outcome = Failure(tr("This work could not be started: {error}").format(error=error), "", repr(error))
            if self._begun:
                outcome = Failure(tr("This work was lost sight of and given up."), tr("Start it again."), repr(error))
        self.message.emit(outcome)

    def _supervise(self, slot: _WorkerSlot) -> Message:
        payload = pickle.dumps((self._job, self._request))
        worker = slot.take()
        healthy = False
        try:
            worker.run(payload)
            self._begun = True
            outcome = self._listen(worker)
            healthy = outcome is not None
            return outcome or Stopped()
        except WorkerDiedError as death:
            return Stopped() if self._cancelled.is_set() else death_notice(death.exit_code, death.log)
        finally:
            slot.put_back(worker, healthy)

    def _listen(self, worker: WorkerProcess) -> Message | None:
        """Hand messages on until the job ends; None: it was asked to stop and is to be ended."""
        begun = False
        asked_at: float | None = None
        while True:
            if self._cancelled.is_set():
                if not begun:
                    return None
                if asked_at is None:
                    asked_at = time.monotonic()
                    worker.cancel()
                elif time.monotonic() - asked_at > CANCEL_GRACE_S:
                    return None
            message = worker.receive(POLL_S)
            if isinstance(message, Started):
                begun = True
            elif isinstance(message, Report):
                self.message.emit(message)
            elif isinstance(message, Gpu):
                worker.gpu_mb = message.held_mb
            elif message is not None:
                return message


class _WorkerSlot:
    """Holds a runner's worker process between jobs, or a fresh one for each job."""

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._idle: WorkerProcess | None = None
        self._enders: list[threading.Thread] = []

    def take(self) -> WorkerProcess:
        worker, self._idle = self._idle, None
        if worker is not None and not worker.alive:
            worker.close()
            worker = None
        return worker or WorkerProcess()

    def put_back(self, worker: WorkerProcess, healthy: bool) -> None:
        if self._keep and healthy and worker.alive:
            self._idle = worker
        else:
            worker.close(2.0 if healthy else 0.0)

    @property
    def held(self) -> Held | None:
        """What the idle worker keeps; None while there is none."""
        worker = self._idle
        if worker is None or not worker.alive:
            return None
        return Held(resident_mb(str(worker.pid)), worker.gpu_mb)

    def release(self) -> None:
        """End the idle worker from a thread of its own: a process may take seconds to go."""
        worker, self._idle = self._idle, None
        if worker is not None:
            ender = threading.Thread(target=worker.close, name="seedcap-end-worker")
            self._enders = [*(one for one in self._enders if one.is_alive()), ender]
            ender.start()

    @property
    def ending(self) -> bool:
        return any(ender.is_alive() for ender in self._enders)


class JobRunner(QObject):
    """Runs one job at a time. ``keep_worker`` keeps the process (and the models it has loaded) for a while.

    A job that gives way is cancelled for the next one, which begins when the first has ended.
    """

    started = Signal(object)  # RunningJob
    idle = Signal()
    released = Signal()  # a kept worker is being ended

    def __init__(
        self,
        parent: QObject | None = None,
        *,
        in_process: bool = False,
        keep_worker: bool = False,
    ) -> None:
        super().__init__(parent)
        self._slot = None if in_process else _WorkerSlot(keep_worker)
        self._current: RunningJob | None = None
        self._supervisor: _Supervisor | None = None
        self._next: tuple[RunningJob, _Supervisor] | None = None  # waits until the current job has given way
        self._cooling = QTimer(self, singleShot=True, interval=KEEP_WARM_MS)
        self._cooling.timeout.connect(self.release)

    @property
    def current(self) -> RunningJob | None:
        """The job that runs, or the one that another is giving way to."""
        return self._next[0] if self._next is not None else self._current

    def start(self, job: Job, request: object, *, title: str, kind: str = "") -> RunningJob:
        """Start ``job(ctx, request)``; raises :class:`UserError` while another one runs that does not give way."""
        in_the_way = self.current
        if in_the_way is not None and not in_the_way.gives_way:
            paused = in_the_way.kind in PAUSED_BY_STOPPING
            raise UserError(
                tr("“{work}” is still running.").format(work=in_the_way.title),
                tr("Wait until it is done, or press Pause, and try again.")
                if paused
                else tr("Wait until it is done, or press Cancel, and try again."),
            )
        supervisor = _Supervisor(job, request, self._slot)
        running = RunningJob(title, kind, supervisor, self)
        supervisor.message.connect(self._receive)
        supervisor.finished.connect(self._thread_ended)
        if in_the_way is None:
            self._begin(running, supervisor)
        else:
            self._next = running, supervisor
            in_the_way.cancel()
        self.started.emit(running)
        return running

    def _begin(self, job: RunningJob, supervisor: _Supervisor) -> None:
        self._cooling.stop()
        self._current, self._supervisor = job, supervisor
        self._outcome: Message | None = None
        supervisor.start()

    def release(self) -> None:
        """Give back the kept worker's memory, unless it is at work. Returns at once; see :attr:`ending`."""
        if self._slot is not None and self._current is None:
            self._slot.release()
            self.released.emit()

    @property
    def held(self) -> Held | None:
        """What the kept worker has in memory while it waits; None if there is none."""
        return self._slot.held if self._slot is not None and self._current is None else None

    @property
    def ending(self) -> bool:
        """A released worker has not quite ended yet."""
        return self._slot is not None and self._slot.ending

    def _receive(self, message: Message) -> None:
        job = self._current
        if job is None:
            return
        if isinstance(message, Report):
            if message.progress is not None:
                job.progress.emit(message.progress)
            if message.partials:
                job.partials.emit(message.partials)
        else:
            self._outcome = message

    def _thread_ended(self) -> None:
        """Tell the outcome only now: whoever starts the next job on hearing it finds the runner free."""
        job, supervisor, outcome = self._current, self._supervisor, self._outcome
        if job is None or supervisor is None:
            return
        self._current = self._supervisor = None
        supervisor.wait()
        supervisor.deleteLater()
        self._cooling.start()
        if self._next is not None:
            following, self._next = self._next, None
            self._begin(*following)
        if isinstance(outcome, Finished):
            job.finished.emit(outcome.result)
        elif isinstance(outcome, Stopped):
            job.cancelled.emit()
        else:
            nothing = Failure(tr("This work ended without a result."), tr("Start it again."))
            job.failed.emit(_said(outcome if isinstance(outcome, Failure) else nothing))
        job.ended.emit()
        job.deleteLater()
        if self._current is None:
            self.idle.emit()


def remove_old_logs(folder: Path, keep_days: float = 7.0) -> None:
    """Forget the logs of workers that were killed with their app."""
    limit = time.time() - keep_days * 86_400
    for log in folder.glob("worker-*.log"):
        with contextlib.suppress(OSError):
            if log.stat().st_mtime < limit:
                log.unlink()
