"""How fast a job goes and when it will be done, from the work it really did lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_S = 60.0
_WORDS_EVERY_S = 5.0


@dataclass(frozen=True)
class BatchProgress:
    """A partial result of a captioning job. ``done`` counts photos of this job that are finished, failed ones included.

    ``rate``: photos a second lately; ``eta_s``: seconds left; ``None`` while there is nothing to tell it from.
    ``latest``: a few captions just made, ``(file, caption)``.
    """

    done: int
    total: int
    failed: int
    rate: float | None
    eta_s: float | None
    latest: tuple[tuple[str, str], ...] = ()


class RateMeter:
    """A moving average over the last minute of work, or over the last batch if that took longer: a slow start is soon
    forgotten. Photos skipped on resume are not work and are never told to it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, window_s: float = _WINDOW_S) -> None:
        self._clock, self._window, self._begin = clock, window_s, clock()
        self._points: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._words, self._words_at = "", float("-inf")

    def add(self, photos: int) -> None:
        """So many more photos were worked on."""
        now = self._clock()
        self._points.append((now, self._points[-1][1] + photos))
        while len(self._points) > 2 and now - self._points[0][0] > self._window:
            self._points.popleft()

    @property
    def rate(self) -> float | None:
        """Photos a second over the window; ``None`` before the first."""
        (start, before), (end, after) = self._points[0], self._points[-1]
        return (after - before) / (end - start) if after > before and end > start else None

    @property
    def seconds(self) -> float:
        """Since the job began."""
        return self._clock() - self._begin

    def eta_s(self, left: int) -> float | None:
        """Seconds until ``left`` more photos are done."""
        rate = self.rate
        return left / rate if rate else None

    def words(self, what: str, left: int) -> str:
        """``what``, the rate and the time left as a message; it changes every few seconds only, to be readable."""
        now, rate = self._clock(), self.rate
        if rate is None:
            return what
        if now - self._words_at >= _WORDS_EVERY_S:
            self._words = f"{what}, {rate:.1f} photos/s, {duration(left / rate)} left,"
            self._words_at = now
        return self._words


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``40 s``, ``12 min``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
