"""The parent's end of the pipe to :mod:`core.bench.crash_child`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.children import child_environment, module_command

_START_S = 300.0


@dataclass(frozen=True)
class Turn:
    """What became of one child: what it ``said``, whether it was ``killed``; if not, how many ``points`` it passed."""

    said: tuple[dict[str, Any], ...]
    killed: bool
    points: int
    error: str = ""


class ChildMaker:
    """A process that makes children; started once."""

    def __init__(self, *arguments: str, starter: Path) -> None:
        environment = child_environment(SEEDCAP_STARTER=str(starter), OMP_NUM_THREADS="1")
        self._process = subprocess.Popen(
            module_command("core.bench.crash_child", *filter(None, arguments)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0,
        )  # fmt: skip
        self._rest = b""
        if "ready" not in self._next(time.monotonic() + _START_S):
            raise RuntimeError("the process that makes children did not start")

    def turn(self, order: dict[str, Any], *, kill_after: float | None, longest: float) -> Turn:
        """Let a child do what ``order`` says; kill it after so many seconds (of its own life), if it still lives."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        child = int(self._next(time.monotonic() + longest)["pid"])
        started = time.monotonic()
        kill_at = None if kill_after is None else started + kill_after
        said: list[dict[str, Any]] = []
        points, error = 0, ""
        while True:
            now = time.monotonic()
            if kill_at is not None and now >= kill_at:
                os.kill(child, signal.SIGKILL)  # a child that has ended is a zombie until the next order
                kill_at = None
            if now > started + longest:
                os.kill(child, signal.SIGKILL)
                raise RuntimeError(f"{order['work']} did not end within {longest:.0f} seconds")
            line = self._next(kill_at if kill_at is not None else started + longest + 1)
            if "ended" in line:
                killed = bool(line["by_signal"]) and line["ended"] == signal.SIGKILL
                return Turn(tuple(said), killed, points, error)
            if "finished" in line:
                points = int(line["points"])
            elif "error" in line:
                error = str(line["error"])
            elif line:
                said.append(line)

    def _next(self, until: float) -> dict[str, Any]:
        """The next whole line; empty when there is none until then, or when it was cut off."""
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            wait = max(0.0, until - time.monotonic())
            if not select.select([self._process.stdout], [], [], wait)[0]:
                return {}
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                raise RuntimeError("the process that makes children has ended")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        if not line:
            return self._next(until)
        try:
            return json.loads(line)
        except ValueError:
            return {}  # cut off by the kill

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
