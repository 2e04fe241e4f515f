"""Photos page by page, in an order that an index has ready: the first page and the last take the same few milliseconds.

A page is found by walking the order from the photo after the last one seen ("keyset paging"), never by counting rows to
skip. So photos that come or go between two pages are neither shown twice nor make others be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import ColumnElement, Integer, and_, exists, literal, not_, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from core.library import meta
from core.library.filters.compiler import RARE, fetch_ids, mask, meant, where
from core.library.filters.nodes import EVERYTHING, Filter
from core.library.filters.parser import parse
from core.library.library import Library
from core.library.queries import among
from core.library.tables import Caption, Image, Score

_SAMPLED = 16
"""Of so many photos one is asked, to learn whether a filter holds for many."""

Sort = Literal["path", "score", "weakest", "distinctiveness"]


@dataclass(frozen=True)
class Cursor:
    """The last photo of a page: its place in the order. ``value``: its score, ``None`` where it has none."""

    folder_id: int
    relative_path: str
    value: float | None = None


@dataclass(frozen=True)
class Page:
    """``ids``: int64 ``[n]`` in order. ``next``: where the next page begins; ``None`` after the last one."""

    ids: np.ndarray
    next: Cursor | None


def page(
    library: Library,
    filter: str | Filter = EVERYTHING,
    *,
    sort: Sort = "path",
    after: Cursor | None = None,
    limit: int = 200,
) -> Page:
    """Up to ``limit`` photos for which the filter holds, from the beginning or from ``after`` on.

    ``sort`` as in :func:`core.library.queries.image_ids`: by path, or by the best score of a photo with photos
    without a score last, by path. Raises ``FilterError`` when the filter cannot be understood.
    """
    tree = parse(filter) if isinstance(filter, str) else filter
    with library.session() as session:
        rows: list[Any] = []
        if sort != "path" and (after is None or after.value is not None):
            query = scored_query(session, tree, sort, after, limit + 1)
            rows = list(session.execute(query))
            after = None
        if len(rows) <= limit:
            query = path_query(session, tree, after, limit + 1 - len(rows), sort=sort)
            rows += [(*row, None) for row in session.execute(query)]
    found = rows[:limit]
    last = Cursor(found[-1][1], found[-1][2], found[-1][3]) if len(rows) > limit and found else None
    return Page(np.array([row[0] for row in found], np.int64), last)


def path_query(session: Session, tree: Filter, after: Cursor | None, limit: int, *, sort: Sort = "path") -> Any:
    """Photos by path. In an order by score, those are the ones that have no score."""
    condition = where(tree, session)
    if sort != "path":
        condition = and_(condition, not_(_scored(session, sort)))
    query = select(Image.id, Image.folder_id, Image.relative_path).where(condition)
    if after is not None:
        query = query.where(_place() > _place_of(after))
    return query.order_by(Image.folder_id, Image.relative_path).limit(limit)


def scored_query(session: Session, tree: Filter, sort: Sort, after: Cursor | None, limit: int) -> Any:
    """Photos by their best value, through the index of the values.

    Each photo appears with the best of its captions alone: the one that no other of its captions beats.
    """
    gallery, value, condition = meta.shown_gallery(session), _value(Score, sort), where(tree, session)
    few = None if tree == EVERYTHING else _few(session, tree, condition)
    query = select(Image.id, Image.folder_id, Image.relative_path, value)
    # Plus nothing keeps SQLite from using an index on a column. Where the filter leaves few photos, it starts from
    # those and sorts; else it walks through the values in their order, looking up caption and photo of each.
    if few is not None:
        condition, value = Image.id.in_(among(few)), value + 0
        query = query.join_from(Image, Caption, Caption.image_id == Image.id + 0)
        query = query.join(Score, Score.caption_id == Caption.id + 0)
    else:
        query = query.join_from(Score, Caption, Caption.id == Score.caption_id + 0)
        query = query.join(Image, Image.id == Caption.image_id + 0)
    query = query.where(
        Score.gallery_id == gallery, value.is_not(None), Caption.live, Caption.state != "rejected"
    ).where(condition, not_(_beaten(gallery, sort)))
    if after is not None:
        further = value > after.value if sort == "weakest" else value < after.value
        bound = value >= after.value if sort == "weakest" else value <= after.value
        query = query.where(bound, or_(further, and_(value == after.value, _place() > _place_of(after))))
    order = value.asc() if sort == "weakest" else value.desc()
    return query.order_by(order, Image.folder_id, Image.relative_path).limit(limit)


def _few(session: Session, tree: Filter, condition: ColumnElement[bool]) -> np.ndarray | None:
    """The photos for which the filter holds, if they are few; a sample tells at once when they are many."""
    enough = RARE // _SAMPLED
    sample = select(Image.id).where(Image.id % _SAMPLED == 0, condition).limit(enough)
    if len(fetch_ids(session, sample)) >= enough:
        return None
    ids = fetch_ids(session, select(Image.id).where(meant(tree)))
    found = ids[mask(tree, ids, session)]
    return found if len(found) <= 2 * RARE else None


def _place() -> Any:
    return tuple_(Image.folder_id, Image.relative_path)


def _place_of(cursor: Cursor) -> Any:
    path = literal(cursor.relative_path, Image.relative_path.type)
    return tuple_(literal(cursor.folder_id, Integer()), path)


def _value(score: Any, sort: Sort) -> Any:
    return score.distinctiveness if sort == "distinctiveness" else score.clip_s


def _beaten(gallery: int, sort: Sort) -> ColumnElement[bool]:
    """Whether another caption of the same photo has a higher value, or the same and is older."""
    caption, score = aliased(Caption), aliased(Score)
    mine, its = _value(Score, sort), _value(score, sort)
    other = select(1).select_from(caption)
    other = other.join(score, and_(score.caption_id == caption.id + 0, score.gallery_id == gallery))
    better = or_(its > mine, and_(its == mine, caption.id < Caption.id))
    same_photo = caption.image_id == Caption.image_id
    return exists(other.where(same_photo, caption.live, caption.state != "rejected", better).correlate(Caption, Score))


def _scored(session: Session, sort: Sort) -> ColumnElement[bool]:
    """Whether a photo has a value to be sorted by."""
    caption, score, gallery = aliased(Caption), aliased(Score), meta.shown_gallery(session)
    has_value = _value(score, sort).is_not(None)
    one = select(1).select_from(caption)
    one = one.join(score, and_(score.caption_id == caption.id + 0, score.gallery_id == gallery))
    one = one.where(caption.image_id == Image.id, caption.live, caption.state != "rejected", has_value)
    return exists(one.correlate(Image))
