"""What a long-running job may say while it runs, and how it is told to stop.

A job is a plain function ``job(ctx, request)``. It runs unchanged on the command line, in a thread, or in a spawned
worker process: arguments, partial results and the return value are picklable frozen dataclasses.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Protocol, TextIO


class Cancelled(Exception):  # noqa: N818 - not an error, and the contract between the parts has this name
    """Raised by :meth:`JobContext.check_cancelled`; unwinds a job that was asked to stop."""


class JobContext(Protocol):
    """How a job reports, and learns that it should stop."""

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        """Report ``done`` of ``total`` units (``None``: unknown) and, in words, what is being done."""
        ...

    def partial(self, result: object) -> None:
        """Hand over a partial result, a picklable frozen dataclass; its type says what it is."""
        ...

    def check_cancelled(self) -> None:
        """Raise :class:`Cancelled` if the job should stop. Ask once per micro-batch and decoding step."""
        ...


class PartOfWhole:
    """The context of a part of the work: what it reports counts from ``begin`` to ``end`` of the whole's 100 percent,
    so that one bar only ever goes forward."""

    def __init__(self, ctx: JobContext, begin: int, end: int) -> None:
        self._ctx, self._begin, self._end = ctx, begin, end
        self.partial, self.check_cancelled = ctx.partial, ctx.check_cancelled

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        share = done / total if total else 0.0
        self._ctx.progress(round(self._begin + (self._end - self._begin) * share), 100, message)


class Titled:
    """The context of a part of the work that is none for a person: all that it reports is called ``title``."""

    def __init__(self, ctx: JobContext, title: str) -> None:
        self._ctx, self._title = ctx, title
        self.partial, self.check_cancelled = ctx.partial, ctx.check_cancelled

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        self._ctx.progress(done, total, self._title)


class QuietContext:
    """A context that reports nowhere and is never cancelled: for tests and nested calls."""

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        pass

    def partial(self, result: object) -> None:
        pass

    def check_cancelled(self) -> None:
        pass


class ConsoleContext:
    """Progress as one rewritten line on a terminal, or a line now and then in a log; stdout stays clean."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 0.2, quiet_every_s: float = 10.0) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._every = every_s if self._live else quiet_every_s
        self._last = 0.0
        self._message = ""

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        now = time.monotonic()
        new_message = message != self._message
        finished = total is not None and done >= total
        if not new_message and not finished and now - self._last < self._every:
            return
        self._last, self._message = now, message
        count = f"{done}/{total}" if total is not None else str(done)
        line = f"{message} {count}".strip()
        with contextlib.suppress(OSError):  # a terminal that was closed has nobody to tell; the work may end well
            self._stream.write(f"\r\x1b[K{line}" + ("\n" if finished else "") if self._live else line + "\n")
            self._stream.flush()

    def partial(self, result: object) -> None:
        pass

    def check_cancelled(self) -> None:
        pass
