"""The bridge's side that runs a job: in a spawned worker process, or in a thread of the app. No Qt here.

A worker process does one job after another that it is sent over a pipe, and ends when the pipe closes, so that it never
outlives the app. Reports are gathered and sent at most 20 times a second; no partial result is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.jobs import Cancelled, JobContext
from core.marking import tr
from core.running_out import in_words, is_out_of_memory

REPORT_EVERY_S = 0.05
ORPHAN_GRACE_S = 5.0
NICENESS = 5
MAX_SUMMARY = 120

Job = Callable[[JobContext, Any], Any]


@dataclass(frozen=True)
class Progress:
    done: int
    total: int | None
    message: str


@dataclass(frozen=True)
class Report:
    """What a job said since the last report."""

    progress: Progress | None
    partials: tuple[object, ...]


@dataclass(frozen=True)
class Started:
    """The job's code is imported and begins; before this a worker may be stopped without asking."""


@dataclass(frozen=True)
class Gpu:
    """What a job has left in the memory of the GPU, in MB, as torch knows it; told before how the job ended."""

    held_mb: float


@dataclass(frozen=True)
class Finished:
    result: object


@dataclass(frozen=True)
class Stopped:
    """The job was asked to stop, and did."""


@dataclass(frozen=True)
class Failure:
    """Why a job did not finish. ``details`` is empty for what a person can mend, else a traceback or a log. ``topic``:
    what the window has more to say about (``gui.next_steps``)."""

    message: str
    next_step: str = ""
    details: str = ""
    topic: str = ""


Message = Report | Started | Gpu | Finished | Stopped | Failure


class Outbox:
    """Gathers reports and hands them on at most every ``REPORT_EVERY_S`` seconds, from a thread of its own."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._partials: list[object] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seedcap-reports", daemon=True)
        self._thread.start()

    def progress(self, value: Progress) -> None:
        with self._lock:
            self._progress = value

    def partial(self, value: object) -> None:
        with self._lock:
            self._partials.append(value)

    def close(self) -> None:
        """Send what is left and end the thread; after this nothing is sent any more."""
        self._closed.set()
        self._thread.join()
        self._flush()

    def _run(self) -> None:
        while not self._closed.wait(REPORT_EVERY_S):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            progress, self._progress = self._progress, None
            partials, self._partials = tuple(self._partials), []
        if progress is not None or partials:
            self._send(Report(progress, partials))


class _Context:
    """The :class:`JobContext` that a job in the app sees."""

    def __init__(self, outbox: Outbox, cancelled: threading.Event) -> None:
        self._outbox = outbox
        self._cancelled = cancelled

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        self._outbox.progress(Progress(done, total, message))

    def partial(self, result: object) -> None:
        self._outbox.partial(result)

    def check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


def bug(error: Exception) -> Failure:
    """What a person is told of an error that nobody has foreseen: short; the rest is behind "copy details"."""
    summary = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[:MAX_SUMMARY].rstrip()}…"
    return Failure(
        f"Something went wrong inside Seedcap ({summary}).",
        tr("Your captions are safe. If it happens again, copy the details into a report."),
        "".join(traceback.format_exception(error)),
    )


def perform(job: Job, request: object, send: Callable[[Message], None], cancelled: threading.Event) -> Message:
    """Run the job, sending its reports; return how it ended. Never raises what the job raised."""
    outbox = Outbox(send)
    try:
        return Finished(job(_Context(outbox, cancelled), request))
    except Cancelled:
        return Stopped()
    except UserError as error:
        return Failure(error.message, error.next_step, topic=error.topic)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a job raises is shown, and the app lives on
        if is_out_of_memory(error):
            return Failure(in_words().message, in_words().next_step)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return Failure(tr("The disk is full."), tr("Free some space and start again; what was finished is kept."))
        return bug(error)
    finally:
        outbox.close()


def worker_main(pipe: Connection, log: Path) -> None:
    """The worker process: receive ``("run", pickled job and request)`` or ``("cancel",)``, until the pipe closes."""
    _be_modest()
    _log_to(log)
    requests: list[bytes] = []
    arrived = threading.Condition()
    cancelled = threading.Event()
    gone = threading.Event()

    def listen() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                break
            with arrived:
                if message[0] == "run":
                    cancelled.clear()
                    requests.append(message[1])
                    arrived.notify()
                else:
                    cancelled.set()
        gone.set()
        cancelled.set()
        with arrived:
            arrived.notify()
        # The app has gone. A job that does not answer must not live on without it.
        if not idle.wait(ORPHAN_GRACE_S):
            if hasattr(os, "killpg"):
                os.killpg(os.getpgid(0), signal.SIGKILL)  # this process and whatever its job has started
            os._exit(1)

    idle = threading.Event()
    threading.Thread(target=listen, name="seedcap-listen", daemon=True).start()
    while True:
        with arrived:
            arrived.wait_for(lambda: bool(requests) or gone.is_set())
            if not requests:
                break
            payload = requests.pop(0)
        _run_one(pipe, payload, cancelled)
    idle.set()


def _run_one(pipe: Connection, payload: bytes, cancelled: threading.Event) -> None:
    sending = threading.Lock()

    def send(message: Message) -> None:
        with sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            pipe.send(message)

    try:
        job, request = pickle.loads(payload)  # our own bytes, from our own parent
        for module in getattr(job, "needs", ()):  # seconds, for torch; the job itself has not begun
            importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - an import that fails in the worker is reported, not lost
        send(Failure(f"This work could not be started: {error}", "", traceback.format_exc()))
        return
    send(Started())
    outcome = perform(job, request, send, cancelled)
    if held := _gpu_mb():
        send(Gpu(held))
    try:
        send(outcome)
    except (pickle.PicklingError, TypeError, AttributeError):
        send(Failure(tr("The result of this work could not be handed over."), "", traceback.format_exc()))


def _gpu_mb() -> float:
    """0 where torch has not been loaded by a job, or has not used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0.0
    return torch.cuda.memory_reserved() / 2**20


def _be_modest() -> None:
    """A step behind the window in the scheduler's eyes; Ctrl-C in a terminal is the app's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # what a job starts (an export in a process of its own) can then be ended with it
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
    elif sys.platform == "win32":
        import ctypes

        below_normal = 0x4000
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), below_normal)


def end_group(leader: int) -> None:
    """End what is left of a worker's process group: processes that its job has started."""
    if hasattr(os, "killpg") and leader != os.getpgid(0):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _log_to(log: Path) -> None:
    """Send stderr, and what a crash in native code leaves behind, to a file that the app can show."""
    import faulthandler

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    faulthandler.enable(file=sys.stderr)
