"""What a power cut would have left of the files of a process that was killed.

SIGKILL spares the system's cache; a power cut keeps only what was synced, and of the rest any part in any order. The
journal of :class:`core.bench.fault_points.FaultPoints` says what SQLite wrote since it last synced a file, and which
files and folders Python synced. Everything else that has changed since the snapshot may be gone, torn, or there.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.bench.fault_points import NAME, RECORD, SYNC, SYNC_INODE, TRUNCATE

_SECTOR = 512
_IGNORED = ("-wal", "-shm", "-journal", "lock")


@dataclass(frozen=True)
class _Write:
    """A write of SQLite: ``old`` bytes at ``offset`` became ``new``, in a file that was ``size`` long.

    A truncation has no ``new`` and ``cut`` set: ``old`` is what it cut off.
    """

    offset: int
    size: int
    old: bytes
    new: bytes
    cut: bool


@dataclass
class Journal:
    """``pending``: by file, the writes since its last sync; ``synced``: inode to the last time of change synced.

    ``named``: what a name in a folder, given by its inode, stood for when that folder was last synced.
    """

    pending: dict[str, list[_Write]] = field(default_factory=dict)
    synced: dict[int, int] = field(default_factory=dict)
    named: dict[tuple[int, str], int] = field(default_factory=dict)


def read_journal(path: Path) -> Journal:
    """What a process noted until it was killed; a last record that was cut off does not count."""
    journal = Journal()
    data, at = path.read_bytes(), 0
    while at + RECORD.size <= len(data):
        kind, name_length, offset, size, old_length, new_length = RECORD.unpack_from(data, at)
        at += RECORD.size
        end = at + name_length + old_length + new_length
        if end > len(data):
            break
        name = os.fsdecode(data[at : at + name_length])
        old = data[at + name_length : at + name_length + old_length]
        new = data[end - new_length : end]
        at = end
        if kind == SYNC:
            journal.pending[name] = []
        elif kind == SYNC_INODE:
            journal.synced[offset] = size
        elif kind == NAME:
            journal.named[offset, name] = size
        else:
            journal.pending.setdefault(name, []).append(_Write(offset, size, old, new, kind == TRUNCATE))
    return journal


class Snapshot:
    """How folders are before the process runs, all of it on the disk; old contents are kept as hard links."""

    def __init__(self, folders: list[Path], shadow: Path) -> None:
        self._shadow, self._folders = shadow, folders
        self._files: dict[Path, os.stat_result] = {}
        self._inodes: dict[Path, int] = {}
        shadow.mkdir(parents=True, exist_ok=True)
        for folder in folders:
            for path in _everything(folder):
                status = path.lstat()
                self._inodes[path] = status.st_ino
                if path.is_file():
                    self._files[path] = status
                    link = self._kept(path)
                    if not link.exists():
                        link.hardlink_to(path)

    def cut_power(self, journal: Journal, rng: random.Random) -> int:
        """Take away what was not synced, some of it or all; returns how many files have lost something."""
        lost = sum(_cut_database(Path(name), writes, rng) for name, writes in journal.pending.items() if writes)
        for folder in self._folders:
            for path in list(folder.rglob("*-shm")):
                path.unlink()
            lost += self._cut_names(folder, journal, rng)
            lost += self._cut_contents(folder, journal, rng)
        return lost

    def forget(self) -> None:
        shutil.rmtree(self._shadow, ignore_errors=True)

    def _kept(self, path: Path) -> Path:
        return self._shadow / str(self._inodes[path])

    def _cut_names(self, folder: Path, journal: Journal, rng: random.Random) -> int:
        """A new name, a move or a removal that no sync of its folder has followed may not have happened."""
        lost = 0
        for directory in [folder, *[path for path in _everything(folder) if path.is_dir()]]:
            if not directory.exists():
                continue
            inode = directory.stat().st_ino
            now = {path for path in directory.iterdir() if _counts(path)}
            before = {path for path in self._inodes if path.parent == directory}
            for path in sorted(now | before):
                if path.exists() and path.lstat().st_ino == self._inodes.get(path):
                    continue
                if path.exists() and path.lstat().st_ino == journal.named.get((inode, path.name)):
                    continue
                if rng.random() < 0.5:
                    continue
                lost += 1
                self._put_back(path)
        return lost

    def _put_back(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        for old in [one for one in self._files if one == path or path in one.parents]:
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._kept(old), old)

    def _cut_contents(self, folder: Path, journal: Journal, rng: random.Random) -> int:
        lost = 0
        for path in _everything(folder):
            if not path.is_file() or path.suffix == ".db":
                continue
            status, before = path.stat(), self._files.get(path)
            same = before is not None and before.st_ino == status.st_ino
            if same and before is not None and before.st_mtime_ns == status.st_mtime_ns:
                continue
            if journal.synced.get(status.st_ino) == status.st_mtime_ns or self._is_kept(path):
                continue
            least = before.st_size if same and before is not None else 0
            lost += _cut_file(path, min(least, status.st_size), status.st_size, rng)
        return lost

    def _is_kept(self, path: Path) -> bool:
        """Put back by us just now, with what it said before."""
        kept = self._kept(path) if path in self._inodes else None
        return kept is not None and kept.is_file() and kept.read_bytes() == path.read_bytes()


def _everything(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if _counts(path))


def _counts(path: Path) -> bool:
    return path.name != "lock" and not path.name.endswith(_IGNORED) and path.name != "library.db"


def _cut_file(path: Path, least: int, size: int, rng: random.Random) -> int:
    """The file keeps its first ``least`` bytes; of the rest nothing, a part, or zeros where the data should be."""
    how = rng.choice(("whole", "empty", "part", "zeros"))
    if how == "whole" or size <= least:
        return 0
    with path.open("r+b") as file:
        if how == "zeros":
            file.seek(least)
            file.write(bytes(size - least))
        else:
            file.truncate(least if how == "empty" else rng.randint(least, size))
    return 1


def _cut_database(path: Path, writes: list[_Write], rng: random.Random) -> int:
    """Undo the unsynced writes of one of SQLite's files, then do some of them again, some only in part."""
    if not path.exists():
        return 0
    content = bytearray(path.read_bytes())
    for one in reversed(writes):
        if one.cut:
            content = content[: one.offset] + one.old
        else:
            content[one.offset : one.offset + len(one.old)] = one.old
            del content[one.size :]
    if rng.random() < 0.7:  # else everything that was not synced is gone
        for one in writes:
            _redo(content, one, rng)
    path.write_bytes(content)
    return 1


def _redo(content: bytearray, one: _Write, rng: random.Random) -> None:
    kept = rng.choice((0, 1, 2))
    if kept == 0:
        return
    if one.cut:
        del content[one.offset :]
        return
    new = one.new if kept == 2 else one.new[: _SECTOR * rng.randint(0, max(1, len(one.new) // _SECTOR))]
    if len(content) < one.offset:
        content.extend(bytes(one.offset - len(content)))
    content[one.offset : one.offset + len(new)] = new
