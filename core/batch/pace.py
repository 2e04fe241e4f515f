"""How fast captioning goes on this computer: measured by each captioning, told before the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core import machine
from core.measured import keep_measured, measured

_VARIES = (0.85, 1.25)
"""From one captioning to the next, of the same model: other programs, other photos."""
_KEPT = "captioning-pace"
_ENOUGH = 16
"""Photos from which a captioning tells something about the next one."""


@dataclass(frozen=True)
class Expected:
    """Seconds, at least and at most; ``measured``: from an earlier captioning on this computer."""

    low: float
    high: float
    measured: bool


def keep_pace(model: str, photos: int, seconds: float) -> None:
    """Remember that ``model`` (a run, or the starter) took ``seconds`` for ``photos``; too few of them say nothing."""
    if photos < _ENOUGH or not 0 < seconds < math.inf:
        return
    keep_measured(_KEPT, {**_read(), model: seconds / photos, "": seconds / photos})


def expected(model: str, photos: int) -> Expected:
    """How long captioning ``photos`` takes here: as ``model`` did the last time, else as whatever captioned last did,
    else by the speed of the processor, which takes a moment to measure."""
    known = _read()
    pace = known.get(model, known.get(""))
    if pace is not None:
        return Expected(pace * photos * _VARIES[0], pace * photos * _VARIES[1], True)
    _, for_500 = machine.seconds_for_500_photos(machine.quick_rate())
    return Expected(*(for_500 * photos / 500 * share for share in machine.SPAN), measured=False)


def _read() -> dict[str, float]:
    found = measured(_KEPT)
    return {key: float(one) for key, one in found.items() if isinstance(one, int | float) and 0 < one < math.inf}
