"""Whether this computer runs on its battery, which a long training would empty."""

from __future__ import annotations

LONG_S = 600.0
"""Seconds from which on a person is asked before work begins on the battery."""


def battery_percent() -> int | None:
    """What is left in the battery that this computer runs on; ``None`` on mains, without one, or where nobody says."""
    import psutil

    sensors = getattr(psutil, "sensors_battery", None)  # not on every system
    if sensors is None:
        return None
    try:
        found = sensors()
    except (OSError, RuntimeError, ValueError):  # drivers say odd things, and containers hide them
        return None
    return None if found is None or found.power_plugged is not False else round(found.percent)
