"""Whether a file still is what the last scan found: what is computed of it is kept under that content's hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from core.images.decode import ImageError
from core.library.examine import hash_of
from core.library.library import Library
from core.library.queries import among
from core.library.records import ImageRow
from core.library.tables import Image

T = TypeVar("T")
Stamp = tuple[int, int]
"""Size and time of last change, in nanoseconds, of the bytes that were hashed; time 0: it could not tell."""


def stamps(library: Library, image_ids: Iterable[int]) -> dict[int, Stamp]:
    """By photo, the stamp that the last scan found."""
    query = select(Image.id, Image.size, Image.mtime_ns).where(Image.id.in_(among(image_ids)))
    with library.session() as session:
        return {row.id: (row.size, row.mtime_ns) for row in session.execute(query)}


def load_unchanged(row: ImageRow, known: Mapping[int, Stamp], load: Callable[[], T]) -> T:
    """What ``load`` makes of the photo's file, if that still is the content that ``row`` names.

    Size and time must be those in ``known``, before and after; only where they are not, the file is hashed. Raises
    ``ImageError`` for a file that has changed, beside what ``load`` raises.
    """
    before = _stamp(row.path)
    loaded = load()
    same = before == known.get(row.id) or _hash(row.path) == row.content_hash
    if before is None or not same or _stamp(row.path) != before:
        raise ImageError("The file has changed since the folder was last scanned.", "Scan the folder again.")
    return loaded


def _stamp(path: Path) -> Stamp | None:
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
