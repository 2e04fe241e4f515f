"""One application at a time changes a library.

Three kinds of opener:

* an *application* (the window; the commands that change a library) opens with ``exclusive=True`` and holds this lock;
* its *worker processes* open the same library without it: they belong to an application that has it;
* *readers* (``search``, ``export``) open without it too. SQLite keeps every single transaction safe in all cases.

The operating system drops the lock when its holder dies, however it dies, so a stale lock cannot exist. What stays
then is the holder's number in the file: the next one sees that the library was not closed, and looks it over.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from core.disk import sync_folder
from core.errors import UserError

IN_USE = "in use"
"""Topic of the error that a library is open elsewhere."""


class InstanceLock:
    """An operating-system lock on a file; the file also names the holder, for the message to the second one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        is_new = not path.exists()
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise UserError(
                f"The library {path.parent.name.removesuffix('.seedcap')} cannot be changed: its folder cannot be "
                f"written ({error.strerror}).",
                f"Check the rights of {path.parent}, or copy the library to a place of your own.",
            ) from error
        try:
            lock(self._file.fileno())
        except OSError:
            self._file.close()
            raise UserError(
                f"The library {path.parent.name.removesuffix('.seedcap')} is open in another Seedcap{self._holder()}.",
                "Close that window, or wait until that command has finished, and try again.",
                topic=IN_USE,
            ) from None
        self._file.seek(0)
        self.was_left_open = bool(self._file.read(20))
        """The last holder did not give the lock up: it crashed, was killed, or the power failed."""
        with contextlib.suppress(OSError):  # on a full disk the holder stays unnamed
            self._file.truncate(0)
            self._file.write(str(os.getpid()).encode())
            self._file.flush()
            os.fsync(self._file.fileno())  # or a power cut leaves it empty, as if the library had been closed
            if is_new:
                sync_folder(path.parent)

    def _holder(self) -> str:
        try:
            number = self._path.read_bytes()[:20].decode("ascii")
        except (OSError, UnicodeDecodeError):
            return ""
        return f" (process {number})" if number.isdigit() else ""

    def release(self, *, clean: bool = True) -> None:
        """Give the lock up; the file stays, since removing it would let two openers lock different files.

        ``clean=False``: the library is not in order, the next holder shall look it over.
        """
        if not self._file.closed:
            if clean:
                with contextlib.suppress(OSError):
                    self._file.truncate(0)
            unlock(self._file.fileno())
            self._file.close()


if sys.platform == "win32":
    import msvcrt

    # Windows locks a byte, and a locked byte cannot be read: one far behind the holder's number is used.
    _BYTE = 1 << 20

    def lock(descriptor: int) -> None:
        """Hold an open file until it is closed or its process dies; ``OSError`` if another does, or none can."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def unlock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
