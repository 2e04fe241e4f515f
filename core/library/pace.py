"""How much a job writes in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

TARGET_S = 0.02
"""How long a job may keep others from writing: what a person types must never wait for it."""
_FEWEST, _MOST = 8, 512


class Pace:
    """``rows``: how many rows to write at once, so that a transaction takes about :data:`TARGET_S` on this machine."""

    def __init__(self, rows: int = 64) -> None:
        self.rows = rows

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around one transaction; the next one is made smaller or larger by how long this one took."""
        started = time.perf_counter()
        yield
        self.took(time.perf_counter() - started)

    def took(self, seconds: float) -> None:
        if seconds > TARGET_S:
            self.rows = max(_FEWEST, self.rows // 2)
        elif seconds < TARGET_S / 3:
            self.rows = min(_MOST, self.rows * 2)
