"""How many threads a machine is good for: what this process may use of it, not what it has."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from core.cgroups import ROOT, groups, words

MOST_DECODERS = 16
"""Threads that decode photos, at most: each may hold a picture of a quarter of a gigabyte, and all of them share the
interpreter between two pictures."""


def usable_cores() -> int:
    """Physical cores that this process may use: hyper-threads only get in each other's way in matrix products."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return max(1, (os.cpu_count() or 2) // 2) if sys.platform == "win32" else os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in affinity(0)}
    quota = cpu_quota()
    # A part of a core is worth a thread of its own: two threads use 1.5 cores, one would use 1.
    return max(1, len(cores) if quota is None else min(len(cores), math.ceil(quota)))


def decode_threads() -> int:
    """Threads that decode photos for the model, which runs on the same cores at the same time.

    As many as cores: where photos are large, decoding is most of the work, and where they are small, the threads wait
    in front of a full queue.
    """
    return min(usable_cores(), MOST_DECODERS)


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores that a container or a service may use by its quota, ``None`` without one; cgroup versions 1 and 2.

    The narrowest limit among this process's own group and the groups above it counts. ``root``: where ``proc`` and
    ``sys`` are, for tests.
    """
    found = (_QUOTAS[version](folder) for version, folder in groups("cpu", root))
    return min((quota for quota in found if quota is not None), default=None)


def _quota_v1(folder: Path) -> float | None:
    quota, period = (words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return _ratio([*quota, *period])


def _quota_v2(folder: Path) -> float | None:
    return _ratio(words(folder / "cpu.max"))


_QUOTAS = {1: _quota_v1, 2: _quota_v2}


def _ratio(said: list[str]) -> float | None:
    """Cores that ``quota period`` allow; "max" and -1 stand for no limit."""
    try:
        quota, period = (int(word) for word in said)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)
