"""In a process that is to be killed: counts the moments between two writes, and remembers what is not on the disk yet.

Every write of SQLite goes through a VFS laid over the system's own; every file that Python opens for writing, moves,
removes or makes is seen by an audit hook. Each is a numbered point where the process can end itself with SIGKILL. The
program itself knows nothing of this, so it costs nothing when it is off.

SIGKILL leaves what was written in the system's cache, a power cut does not. A journal therefore keeps, for every write
of SQLite, what was there before, and says when a file or folder was synced: :mod:`core.bench.power_cut` reads it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import signal
import stat
import struct
import sys
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

WRITE, TRUNCATE, SYNC, SYNC_INODE, NAME = b"W", b"T", b"S", b"I", b"N"
RECORD = struct.Struct("<cHqqII")
"""Kind, length of the name, offset or inode, size of the file before, length of the old bytes, of the new ones.

A folder that is synced is followed by a ``NAME`` for each name in it: the inodes of both."""
_AUDITED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile"}
_OK, _FULL = 0, 13


class FaultPoints:
    """Counts points in this process; ends it with SIGKILL at number ``stop_at``, if there is one.

    ``journal``: the file that keeps what a power cut would lose. ``full_at``: from this write of SQLite on the disk is
    full.
    """

    def __init__(self, *, stop_at: int | None = None, journal: Path | None = None, full_at: int | None = None) -> None:
        self.count, self._stop_at, self._full_at, self.writes = 0, stop_at, full_at, 0
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if journal else None
        self._vfs: Any = None

    def install(self) -> None:
        """From now on every write of this process is seen. There is no way back: use it in a process of its own."""
        sys.addaudithook(self._audit)
        fsync = os.fsync

        def seen(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            self.reach()
            fsync(number)
            status = os.fstat(number)
            self._note(SYNC_INODE, "", status.st_ino, status.st_mtime_ns)
            if self._journal is not None and stat.S_ISDIR(status.st_mode):
                with os.scandir(number) as inside:
                    for one in inside:
                        self._note(NAME, one.name, status.st_ino, one.inode())

        os.fsync = seen
        self._vfs = _install_vfs(self)

    def reach(self) -> None:
        """One point: here the process may end."""
        self.count += 1
        if self.count == self._stop_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = args[1], args[2]
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                self.reach()
        elif event in _AUDITED:
            self.reach()

    def may_write(self) -> bool:
        """One write of SQLite; whether there is room for it."""
        self.reach()
        self.writes += 1
        return self._full_at is None or self.writes < self._full_at

    def wrote(self, name: str, offset: int, size: int, old: bytes, new: bytes) -> None:
        self._note(WRITE, name, offset, size, old, new)

    def cut(self, name: str, to: int, size: int, old: bytes) -> None:
        self._note(TRUNCATE, name, to, size, old)

    def synced(self, name: str) -> None:
        self._note(SYNC, name, 0, 0)

    def _note(self, kind: bytes, name: str, offset: int, size: int, old: bytes = b"", new: bytes = b"") -> None:
        if self._journal is not None:
            text = os.fsencode(name)
            os.write(self._journal, RECORD.pack(kind, len(text), offset, size, len(old), len(new)) + text + old + new)


# -- SQLite's files: https://sqlite.org/c3ref/vfs.html and https://sqlite.org/c3ref/io_methods.html --------------------

# Names are passed on as the pointers they are: SQLite's own VFS keeps them until the file is closed.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_READ = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_CUT = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_SIZE = CFUNCTYPE(c_int, c_void_p, POINTER(c_int64))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", c_int), ("file_size", c_int), ("longest_name", c_int), ("next", c_void_p), ("name", c_char_p),
        ("app_data", c_void_p), ("open", _OPEN), ("delete", _DELETE), ("others", c_void_p * 16),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", c_int), ("close", _CLOSE), ("read", _READ), ("write", _READ), ("truncate", _CUT), ("sync", _SYNC),
        ("size", _SIZE), ("others", c_void_p * 13),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("methods", POINTER(_Methods))]


def sqlite_can_be_watched() -> bool:
    """Whether this Python's SQLite lets a VFS be laid over its own (not where it is linked in invisibly)."""
    try:
        return bool(ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_register)
    except (AttributeError, OSError):
        return False


def _install_vfs(points: FaultPoints) -> Any:
    """Make a VFS the default that tells ``points`` of every write; returns what must not be garbage."""
    if not sqlite_can_be_watched():
        return None
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [c_char_p]
    library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
    system = library.sqlite3_vfs_find(None).contents
    mine = _Vfs.from_buffer_copy(system)
    names: dict[int, str] = {}
    layers: dict[int, _Methods] = {}

    def opened(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        status = system.open(vfs, name, file, flags, out)
        if status == _OK and name is not None:
            head = ctypes.cast(file, POINTER(_File)).contents
            original = ctypes.addressof(head.methods.contents)
            if original not in layers:
                layers[original] = _layer(head.methods.contents, names, points)
            names[file] = os.fsdecode(ctypes.string_at(name))
            head.methods = ctypes.pointer(layers[original])
        return status

    def deleted(vfs: int, name: int, sync: int) -> int:
        points.reach()
        return system.delete(vfs, name, sync)

    mine.next, mine.name = None, b"seedcap-watched"
    mine.open, mine.delete = _OPEN(opened), _DELETE(deleted)
    library.sqlite3_vfs_register(ctypes.addressof(mine), 1)
    return library, mine, layers, system


def _layer(system: _Methods, names: dict[int, str], points: FaultPoints) -> _Methods:
    methods = _Methods.from_buffer_copy(system)

    def size_of(file: int) -> int:
        size = c_int64()
        system.size(file, ctypes.byref(size))
        return size.value

    def bytes_at(file: int, offset: int, length: int) -> bytes:
        buffer = ctypes.create_string_buffer(max(1, length))
        if length > 0:
            system.read(file, ctypes.addressof(buffer), length, offset)
        return buffer.raw[:length]

    def write(file: int, data: int, length: int, offset: int) -> int:
        if not points.may_write():
            return _FULL
        size = size_of(file)
        old = bytes_at(file, offset, max(0, min(length, size - offset)))
        points.wrote(names[file], offset, size, old, ctypes.string_at(data, length))
        return system.write(file, data, length, offset)

    def truncate(file: int, size: int) -> int:
        points.reach()
        before = size_of(file)
        points.cut(names[file], size, before, bytes_at(file, size, max(0, before - size)))
        return system.truncate(file, size)

    def sync(file: int, flags: int) -> int:
        points.reach()
        status = system.sync(file, flags)
        points.synced(names[file])
        points.reach()
        return status

    methods.write, methods.truncate, methods.sync = _READ(write), _CUT(truncate), _SYNC(sync)
    return methods
