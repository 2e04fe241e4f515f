"""How many threads a machine is good for: what this process may use of it, not what it has."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

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


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores that a container or a service may use by its quota, ``None`` without one; cgroup versions 1 and 2.

    The narrowest limit among this process's own group and the groups above it counts. ``root``: where ``proc`` and
    ``sys`` are, for tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "?", "")
        if controllers and "cpu" not in controllers.split(","):
            continue
        read = _quota_v1 if controllers else _quota_v2
        for mount in dict.fromkeys((controllers, "cpu")) if controllers else (".",):
            folder = root / "sys/fs/cgroup" / mount
            limits += [limit for place in _upwards(folder, group) if (limit := read(place)) is not None]
    return min(limits, default=None)


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a group and of those above it. Inside a container the group may be named as the machine sees it,
    while the mount begins at the group itself."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return _ratio([*quota, *period])


def _quota_v2(folder: Path) -> float | None:
    return _ratio(_words(folder / "cpu.max"))


def _ratio(words: list[str]) -> float | None:
    """Cores that ``quota period`` allow; "max" and -1 stand for no limit."""
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)
