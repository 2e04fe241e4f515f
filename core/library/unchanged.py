"""Whether a file still is what the last scan found: what is computed of it is kept under that content's hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy import select

from core.images.content import Stamp, load_content
from core.library.library import Library
from core.library.queries import among
from core.library.records import ImageRow
from core.library.tables import Image

T = TypeVar("T")


def stamps(library: Library, image_ids: Iterable[int]) -> dict[int, Stamp]:
    """By photo, the stamp that the last scan found."""
    query = select(Image.id, Image.size, Image.mtime_ns).where(Image.id.in_(among(image_ids)))
    with library.session() as session:
        return {row.id: (row.size, row.mtime_ns) for row in session.execute(query)}


def load_unchanged(row: ImageRow, known: Mapping[int, Stamp], load: Callable[[], T]) -> T:
    """What ``load`` makes of the photo's file, if that still is the content that ``row`` names.

    ``known``: :func:`stamps`. Raises ``ImageError`` for a file that has changed, beside what ``load`` raises.
    """
    return load_content(row.path, row.content_hash, load, known.get(row.id))
