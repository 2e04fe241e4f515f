"""What a caption said before: every version stays in the library, whoever wrote it and whatever replaced it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from core.library.library import Library
from core.library.records import Author, State
from core.library.tables import Caption


@dataclass(frozen=True)
class Version:
    """``live``: it stands there now. ``supersedes``: the caption whose place it took, if any."""

    id: int
    image_id: int
    text: str
    author: Author
    run_id: str | None
    state: State
    live: bool
    supersedes: int | None
    created_at: datetime


def caption_history(library: Library, caption_id: int) -> list[Version]:
    """A caption and those whose place it took, newest first; empty when there is no such caption."""
    start = select(Caption.id, Caption.supersedes_id).where(Caption.id == int(caption_id)).cte(recursive=True)
    # UNION, not UNION ALL: a damaged library may have a circle here.
    chain = start.union(select(Caption.id, Caption.supersedes_id).where(Caption.id == start.c.supersedes_id))
    return _versions(library, Caption.id.in_(select(chain.c.id)))


def photo_history(library: Library, image_id: int) -> list[Version]:
    """Every caption that a photo has or ever had, newest first: also what was removed, or undone."""
    return _versions(library, Caption.image_id == int(image_id))


def _versions(library: Library, condition: Any) -> list[Version]:
    columns = (
        Caption.id, Caption.image_id, Caption.text, Caption.author, Caption.run_id, Caption.state, Caption.live,
        Caption.supersedes_id, Caption.created_at,
    )  # fmt: skip
    with library.session() as session:
        query = select(*columns).where(condition).order_by(Caption.id.desc())
        found: list[Version] = []
        for row in session.execute(query):
            values: tuple[Any, ...] = tuple(row)
            found.append(Version(*values))
        return found
