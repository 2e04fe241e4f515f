"""What lies beside a file of captions, and that one job at a time writes into it.

A second one would caption every photo again, and take the line that the first is in the middle of for what a kill left.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from core.errors import UserError
from core.library.lock import lock, unlock

_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def beside(out: Path, what: str) -> Path:
    """The hidden file that says ``what`` about ``out``."""
    return out.with_name(f".{out.name}.{what}")


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """While the block runs, nobody else writes into ``out``; ``UserError`` if somebody does, here or on a machine that
    shares the folder.

    As with a library the operating system drops the lock when its holder dies, and the lock's file stays.
    """
    place = beside(out, "lock")
    try:
        file = place.open("a+b", buffering=0)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {place.name} beside it: {error.strerror}.", "Name a file in another folder."
        ) from error
    with file:
        held = _hold(file, out)
        if held:
            _sign(file)
        try:
            yield
        finally:
            if held:
                unlock(file.fileno())


def _hold(file: BinaryIO, out: Path) -> bool:
    """``False``: the file system knows no locks, as those of some clusters; nobody can be kept out there."""
    try:
        lock(file.fileno())
    except OSError as error:
        if error.errno not in _HELD:
            return False
        raise UserError(
            f"Another Seedcap writes into {out}{_holder(file)}.",
            "Wait until it has finished, or end it, and try again; or name another file.",
        ) from None
    return True


def _sign(file: BinaryIO) -> None:
    with suppress(OSError):  # on a full disk the holder stays unnamed
        file.truncate(0)
        file.write(f"{os.getpid()} {platform.node()}".encode())


def _holder(file: BinaryIO) -> str:
    with suppress(OSError, UnicodeDecodeError):
        file.seek(0)
        if found := re.fullmatch(r"(\d{1,10}) ([\w.-]{1,64})", file.read(80).decode("ascii")):
            return f" (process {found[1]} on {found[2]})"
    return ""
