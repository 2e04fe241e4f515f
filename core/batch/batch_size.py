"""How many photos at once: found by trial where that pays, and halved when memory does not suffice."""

from __future__ import annotations

from core.running_out import Portion

START = 32
"""Photos at once on a processor, where more of them are no faster."""
LARGEST = 256
_TRIALS = 3
_WORTH = 1.1


class BatchSize(Portion):
    """``wanted`` photos at once; ``None``: it begins with 32 and doubles, up to ``largest``, for as long as that makes
    the model a tenth faster."""

    def __init__(self, wanted: int | None = None, largest: int = START) -> None:
        super().__init__(wanted or START)
        self._largest = largest
        self._settled = wanted is not None
        self._trials: list[float] = []
        self._best = 0.0

    def too_much(self, number: int) -> None:
        super().too_much(number)
        self._settled = True

    def took(self, photos: int, seconds: float) -> None:
        """A batch of so many photos took so long; what is no full batch says nothing."""
        if self._settled or photos != self._size or seconds <= 0:
            return
        self._trials.append(photos / seconds)
        if len(self._trials) < _TRIALS:
            return
        rate = max(self._trials)  # the first batch of a size also pays for its memory
        self._trials.clear()
        if rate < _WORTH * self._best:
            self._size, self._settled = max(1, self._size // 2), True
        elif 2 * self._size > self._largest:
            self._settled = True
        else:
            self._best, self._size = rate, 2 * self._size
