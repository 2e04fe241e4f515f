"""How much of a long job is behind, as its time goes: one bar for the whole, where it is told how long that takes."""

from __future__ import annotations

import time

from PySide6.QtWidgets import QProgressBar

_PARTS = 1000  # of a bar


class TimeShare:
    """From 0 to 1; ``None`` until a time was told. It never goes back: a longer forecast makes it wait."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.value: float | None = None

    def tell(self, left: float) -> None:
        """So many seconds are left of the whole."""
        spent = time.monotonic() - self._began
        share = spent / (spent + left) if spent + left > 0 else 1.0
        self.value = max(self.value or 0.0, share)

    def show_on(self, bar: QProgressBar) -> bool:
        """Whether there was anything to show."""
        if self.value is None:
            return False
        bar.setRange(0, _PARTS)
        bar.setValue(round(_PARTS * self.value))
        return True


def show_step(bar: QProgressBar, done: int, total: int | None) -> None:
    """How far one step of the work is; a bar that only moves where nobody knows."""
    bar.setRange(0, total or 0)
    if total:
        bar.setValue(min(done, total))
