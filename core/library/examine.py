"""Reading one photo file for the library: what is in it, and whether it can be used."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from io import BufferedReader

from core.images.decode import ImageError, ImageInfo, open_photo, probe_open
from core.library.walk import FoundFile

BEING_WRITTEN = "The file was still being written when it was looked at; it is looked at again next time."
_COARSE_NS = 1_000_000_000
_COARSE_S = 2.0


@dataclass(frozen=True)
class Examined:
    """What reading a file gave. Either ``info`` or ``error`` is set; neither when the file vanished (``gone``).

    ``size`` and ``mtime_ns`` are those of the bytes that were hashed, not of an earlier look at the file.
    """

    size: int
    mtime_ns: int
    content_hash: str = ""
    info: ImageInfo | None = None
    error: str | None = None
    gone: bool = False


def examine(item: FoundFile) -> Examined:
    """Hash the file and make sure that it can be decoded: the same bytes for both, read from the disk once.

    Never raises for what is wrong with the file.
    """
    try:
        with open_photo(item.path) as file:
            return _examine_open(file, item)
    except ImageError as error:
        if not os.path.lexists(item.path):
            return Examined(item.size, item.mtime_ns, gone=True)
        return Examined(item.size, item.mtime_ns, error=error.message)


def _examine_open(file: BufferedReader, item: FoundFile) -> Examined:
    before = os.fstat(file.fileno())
    content_hash, info, reason = "", None, None
    try:
        content_hash = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        info = probe_open(file, item.path)
    except ImageError as error:
        reason = error.message
    except OSError as error:  # while hashing: a damaged disk, a network drive that went away
        reason = f"The file cannot be read: {error.strerror or error}."
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Examined(after.st_size, 0, error=BEING_WRITTEN)
    return Examined(before.st_size, _settled_mtime(before), content_hash, info, reason)


def _settled_mtime(status: os.stat_result) -> int:
    """The file's time, or 0 (it is read again next time) where it cannot tell this content from the next.

    Some drives keep whole seconds only: a file could change again within the one in which it was read.
    """
    coarse = status.st_mtime_ns % _COARSE_NS == 0
    return 0 if coarse and abs(time.time() - status.st_mtime) < _COARSE_S else status.st_mtime_ns
