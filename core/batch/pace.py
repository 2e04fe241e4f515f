"""How fast captioning goes on this computer: measured by each captioning, told before the next one."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass

from core import machine, paths
from core.disk import replacing

_VARIES = (0.85, 1.25)
"""From one captioning to the next, of the same model: other programs, other photos."""
_FILE = "captioning_pace.json"
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
    known = {**_read(), model: seconds / photos, "": seconds / photos}
    with suppress(OSError):  # a full disk costs the measurement alone
        paths.cache_dir().mkdir(parents=True, exist_ok=True)
        with replacing(paths.cache_dir() / _FILE, durable=False) as file:
            file.write(json.dumps(known).encode())


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
    try:
        found = json.loads((paths.cache_dir() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): float(one) for key, one in found.items() if isinstance(one, int | float) and 0 < one < math.inf}
