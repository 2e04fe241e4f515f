"""Whether a file holds the content that it is taken for: what is made of a photo is kept under its content's hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from core.images.decode import ImageError

T = TypeVar("T")
Stamp = tuple[int, int]
"""Size and time of last change, in nanoseconds, of the bytes that were hashed; time 0: it could not tell."""


def hash_of(path: Path) -> str:
    """The content hash of a file; raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_content(path: Path, content_hash: str, load: Callable[[], T], known: Stamp | None = None) -> T:
    """What ``load`` makes of the file, if that holds the content with this hash before and after.

    ``known``: the stamp it had when it was hashed; only a file with another one is hashed again. Raises ``ImageError``
    for a file that has changed, beside what ``load`` raises.
    """
    before = stamp_of(path)
    loaded = load()
    same = before == known or _hash(path) == content_hash
    if before is None or not same or stamp_of(path) != before:
        raise ImageError("The file has changed since the folder was last scanned.", "Scan the folder again.")
    return loaded


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file as it is now; ``None`` where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _hash(path: Path) -> str | None:
    try:
        return hash_of(path)
    except OSError:
        return None
