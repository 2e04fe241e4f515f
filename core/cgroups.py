"""What a container or a service may use of its machine: the limits of its control groups, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_NO_LIMIT = 1 << 60
"""Bytes from which on a limit is none: version 1 writes the largest number that it has."""


def groups(controller: str, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """The version and the folder of this process's own group for ``controller``, and of each group above it.

    ``root``: where ``proc`` and ``sys`` are, for tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "?", "")
        if controllers and controller not in controllers.split(","):
            continue
        for mount in dict.fromkeys((controllers, controller)) if controllers else (".",):
            for folder in _upwards(root / "sys/fs/cgroup" / mount, group):
                yield (1 if controllers else 2), folder


def memory_limit(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Bytes that this process and those it shares its groups with may use in all, and that are left to them; ``None``
    without a limit. The narrowest one counts; what the system would give up at once, of files it has read, is left."""
    limits, left = list[int](), list[int]()
    for version, folder in groups("memory", root):
        most, used, kept = _MEMORY[version]
        limit = _number(folder / most)
        if not limit or limit >= _NO_LIMIT:
            continue
        limits.append(limit)
        if (now := _number(folder / used)) is not None:
            left.append(max(0, limit - max(0, now - _of_stat(folder, kept))))
    return min(limits, default=None), min(left, default=None)


_MEMORY = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def words(path: Path) -> list[str]:
    """The words of a group's file; none where it is not there."""
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _number(path: Path) -> int | None:
    """``None`` for "max" and for -1, which stand for no limit, and for anything odd."""
    found = words(path)
    return int(found[0]) if len(found) == 1 and found[0].isdecimal() else None


def _of_stat(folder: Path, name: str) -> int:
    found = words(folder / "memory.stat")
    value = dict(zip(found[::2], found[1::2], strict=False)).get(name, "")
    return int(value) if value.isdecimal() else 0


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a group and of those above it. Inside a container the group may be named as the machine sees it,
    while the mount begins at the group itself."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]
