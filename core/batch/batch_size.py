"""How many photos at once: found by trial where that pays, and halved when memory does not suffice."""

from __future__ import annotations

START = 32
"""Photos at once on a processor, where more of them are no faster."""
LARGEST = 256
_TRIALS = 3
_WORTH = 1.1
_OUT_OF_MEMORY = (
    "failed to allocate", "out of memory", "outofmemory", "not enough memory", "alloc_failed", "bad_alloc",
    "bad allocation",
)  # fmt: skip


class BatchSize:
    """``wanted`` photos at once; ``None``: it begins with 32 and doubles, up to ``largest``, for as long as that makes
    the model a tenth faster."""

    def __init__(self, wanted: int | None = None, largest: int = START) -> None:
        self._size, self._largest = wanted or START, largest
        self._settled = wanted is not None
        self._trials: list[float] = []
        self._best = 0.0

    def __call__(self) -> int:
        return self._size

    def too_much(self, photos: int) -> None:
        """So many photos did not fit into memory: half of them from now on, and never more than before."""
        self._size, self._settled = max(1, min(self._size, photos) // 2), True

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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice: onnxruntime says so in words only."""
    words = f"{error} {error.__cause__ or ''}".lower()
    return isinstance(error, MemoryError) or any(one in words for one in _OUT_OF_MEMORY)
