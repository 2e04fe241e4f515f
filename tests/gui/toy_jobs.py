"""Small jobs for the bridge's tests: importable by a spawned worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.jobs import JobContext
from core.running_out import no_room


@dataclass(frozen=True)
class Step:
    number: int


def count(ctx: JobContext, request: int) -> int:
    """Report ``request`` steps as fast as it can."""
    for number in range(request):
        ctx.check_cancelled()
        ctx.progress(number + 1, request, "counting")
        ctx.partial(Step(number))
    return request


def endless(ctx: JobContext, request: Any) -> None:
    while True:
        ctx.check_cancelled()
        ctx.progress(0, None, "waiting")
        time.sleep(0.01)


def silent(ctx: JobContext, request: Any) -> None:
    """Says nothing until it is asked to stop."""
    while True:
        ctx.check_cancelled()
        time.sleep(0.01)


def deaf(ctx: JobContext, request: Any) -> None:
    """Never asks whether to stop."""
    ctx.progress(0, None, "deaf")
    time.sleep(600)


def refuse(ctx: JobContext, request: str) -> None:
    raise UserError(f"There are no photos in {request}.", "Choose another folder.")


def break_down(ctx: JobContext, request: Any) -> None:
    raise KeyError("a bug")


def die(ctx: JobContext, request: int) -> None:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), request)
    time.sleep(60)


def with_a_child(ctx: JobContext, request: Any) -> None:
    """Starts a process of its own, tells its number, and never asks whether to stop."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    ctx.progress(child.pid, None, "deaf")
    time.sleep(600)


def unpicklable(ctx: JobContext, request: Any) -> object:
    return lambda: None


def process_id(ctx: JobContext, request: Any) -> tuple[int, int, bool]:
    return os.getpid(), os.nice(0), "PySide6" in sys.modules


def card_full(ctx: JobContext, request: Any) -> None:
    raise no_room("The encoder", "cuda:0")


def disk_full(ctx: JobContext, request: Any) -> None:
    raise OSError(28, "No space left on device")


def variables(_ctx, names):
    """What the environment of a job's process says."""
    return tuple(os.environ.get(name) for name in names)
