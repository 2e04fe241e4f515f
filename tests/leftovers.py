"""Finds what a test leaves running: threads, Qt threads, child processes; says what they are doing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

GRACE_S = 3.0  # a thread or process that is on its way out may still be seen for a moment


def new_threads(before: set[int]) -> list[str]:
    """Python threads started since ``before`` that would keep the interpreter alive, each with its stack."""
    found = []
    for thread in threading.enumerate():
        if thread.daemon or thread.ident is None or thread.ident in before:
            continue
        frame = sys._current_frames().get(thread.ident)
        stack = "".join(traceback.format_stack(frame)) if frame else "(no stack)"
        found.append(f"thread {thread.name!r}, now at:\n{stack}")
    return found


def children() -> dict[int, str]:
    """Live child processes of this one, by id, with their command line. Only Linux tells of all of them."""
    found = {child.pid: repr(child) for child in multiprocessing.active_children() if child.pid is not None}
    if Path("/proc/self/stat").exists():
        tracker = getattr(resource_tracker._resource_tracker, "_pid", None)  # lives as long as the interpreter
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == os.getpid() and state != "Z" and int(entry.name) != tracker:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    found.setdefault(int(entry.name), command or "(ending)")
    return found


def end(process_id: int) -> None:
    """End a child that a failed test left, so that it cannot disturb the next one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, getattr(signal, "SIGKILL", signal.SIGTERM))


class QtThreads:
    """Every QThread started while it watches, with the place where it was started."""

    def __init__(self) -> None:
        self._started: list[tuple[object, str]] = []

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        core = sys.modules.get("PySide6.QtCore")
        if core is None:
            yield
            return
        original = core.QThread.start

        def start(thread: object, *args: object) -> None:
            place = "".join(traceback.format_stack()[-4:-1])
            self._started.append((thread, place))
            original(thread, *args)

        core.QThread.start = start
        try:
            yield
        finally:
            core.QThread.start = original

    def running(self) -> list[str]:
        return [f"QThread {thread!r}, started at:\n{place}" for thread, place in self._started if _is_running(thread)]

    def pool_is_busy(self) -> list[str]:
        core = sys.modules.get("PySide6.QtCore")
        if core is None or not core.QThreadPool.globalInstance().activeThreadCount():
            return []
        return ["a task in QThreadPool.globalInstance()"]


def _is_running(thread: object) -> bool:
    try:
        return bool(thread.isRunning())  # type: ignore[attr-defined]
    except RuntimeError:  # its C++ side is deleted, which Qt does only to a thread that has ended
        return False


def settle(look: Callable[[], list[str]]) -> list[str]:
    """What ``look`` still finds after a short grace."""
    deadline = time.monotonic() + GRACE_S
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
