"""A filter as SQL. Two ways to ask, with the same meaning:

* :func:`where`: one condition on ``image``, for walking through the photos in an order and stopping when a page is
  full. Each leaf is either a set of ids to start from or a question to each photo. Which is faster depends on how many
  photos it holds for, so up to ``RARE`` of them are counted first: a rare condition is a set, a common one a question.
* :func:`mask`: for a whole list. Each leaf is one plain query for ids, and the tree is computed on boolean arrays.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from operator import eq, ge, gt, le, lt
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    true,
    union,
)
from sqlalchemy.orm import Session, aliased

from core.library import meta
from core.library.filters import functions, nodes
from core.library.filters.evaluator import moments, nanoseconds
from core.library.filters.nodes import Filter, Leaf
from core.library.tables import Caption, Folder, Image, Run, Score
from core.library.words import ascii_lower, words

RARE = 4000
"""Up to so many rows it is faster to fetch and sort them all than to ask photo after photo."""
USABLE = and_(Image.error.is_(None), Image.missing_since.is_(None))

_FTS = table("caption_fts", column("rowid"), column("caption_fts"))


@dataclass(frozen=True)
class Question:
    """``check``: a condition on ``image``. ``ids``: the same as a SELECT of the photos' ids. ``probe``: a SELECT with
    at least as many rows as ``ids`` would visit; ``None`` where ``ids`` has to look at every photo anyway."""

    check: ColumnElement[bool]
    ids: Any
    probe: Any | None


@dataclass(frozen=True)
class Context:
    """What a filter's meaning depends on besides the photos."""

    gallery: int
    folders: tuple[tuple[int, str], ...]
    runs: tuple[str, ...]
    current_run: str | None


def context(session: Session) -> Context:
    current = meta.get(session, meta.CURRENT_RUN)
    return Context(
        meta.shown_gallery(session),
        tuple((one, path) for one, path in session.execute(select(Folder.id, Folder.path))),
        tuple(session.scalars(select(Run.id))),
        current if current and session.get(Run, current) is not None else None,
    )


def where(node: Filter, session: Session) -> ColumnElement[bool]:
    """The filter as a condition on ``image``, with the photos that are meant at all."""
    condition = _where(node, session, context(session))
    return condition if nodes.wants_unusable(node) else and_(USABLE, condition)


def _where(node: Filter, session: Session, known: Context) -> ColumnElement[bool]:
    if isinstance(node, nodes.Not):
        return not_(_where(node.item, session, known))
    if isinstance(node, nodes.And):
        return and_(true(), *(_where(item, session, known) for item in node.items))
    if isinstance(node, nodes.Or):
        return or_(false(), *(_where(item, session, known) for item in node.items))
    asked = question(node, known)
    if asked.probe is not None:
        seen = session.scalar(select(func.count()).select_from(asked.probe.limit(RARE + 1).subquery())) or 0
        if seen <= RARE:
            return Image.id.in_(asked.ids)
    return asked.check


def mask(node: Filter, ids: np.ndarray, session: Session, known: Context | None = None) -> np.ndarray:
    """For which of the photos ``ids`` the filter holds: boolean ``[n]``. Which are meant at all is for the caller."""
    known = known or context(session)
    if isinstance(node, nodes.Not):
        return ~mask(node.item, ids, session, known)
    if isinstance(node, nodes.And):
        parts = [mask(item, ids, session, known) for item in node.items]
        return np.logical_and.reduce(parts) if parts else np.ones(len(ids), bool)
    if isinstance(node, nodes.Or):
        return np.logical_or.reduce([mask(item, ids, session, known) for item in node.items])
    return is_among(ids, fetch_ids(session, question(node, known).ids))


def fetch_ids(session: Session, query: Any) -> np.ndarray:
    """The single column of a query, int64 ``[n]``, past SQLAlchemy's rows, which would take most of the time."""
    cursor = session.connection().execute(query).cursor
    return np.fromiter(chain.from_iterable(cursor.fetchall() if cursor else ()), np.int64)


def is_among(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of ``ids`` are among ``wanted``: boolean ``[n]``. Ids are positive and dense, so a table is fastest."""
    if not len(ids) or not len(wanted):
        return np.zeros(len(ids), bool)
    found = np.zeros(max(ids.max(), wanted.max()) + 1, bool)
    found[wanted] = True
    return found[ids]


def question(leaf: Leaf, known: Context) -> Question:
    """One condition in SQL."""
    match leaf:
        case nodes.Words():
            return _words(leaf)
        case nodes.State(value):
            return _state(value)
        case nodes.Number():
            return _number(leaf, known)
        case nodes.InFolder(text):
            return _of_image(or_(false(), *(_in_folder(one, path, text) for one, path in known.folders)))
        case nodes.Author(value):
            return _of_captions(Caption.author == value)
        case nodes.ByRun(text):
            return _of_captions(and_(Caption.author == "run", _by_run(text, known)))
        case nodes.Date():
            return _date(leaf)


def _of_image(condition: ColumnElement[bool], *, indexed: bool = False) -> Question:
    ids = _images(condition)
    return Question(condition, ids, ids if indexed else None)


def _of_captions(condition: ColumnElement[bool]) -> Question:
    """Photos with a live caption for which the condition holds."""
    ids = _captioned(condition)
    return Question(_has_caption(condition), ids, ids)


# The query around a condition may itself speak of captions; so it is always said what a sub-select shares with it.


def _captioned(condition: ColumnElement[bool]) -> Any:
    return select(Caption.image_id).where(Caption.live, condition).correlate(None)


def _has_caption(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Caption.image_id == Image.id, Caption.live, condition).correlate(Image)


def _images(condition: ColumnElement[bool]) -> Any:
    return select(Image.id).where(condition).correlate(None)


# --- words ---


def _words(node: nodes.Words) -> Question:
    in_name = _name_has(node.text)
    wanted = words(node.text)
    if not wanted:  # signs alone, an emoji: no index knows them
        said = func.instr(Caption.text, node.text) > 0
        ids = union(_captioned(said), _images(in_name))
        return Question(Image.id.in_(ids), ids, None)
    phrase = '"' + " ".join(wanted) + '"' + ("" if node.exact else " *")
    hits = select(_FTS.c.rowid).where(_FTS.c.caption_fts.op("MATCH")(phrase)).correlate(None)
    ids = union(select(Caption.image_id).where(Caption.id.in_(hits)).correlate(None), _images(in_name))
    has_words = getattr(func, functions.HAS_WORDS)
    says = has_words(Caption.text, Caption.search_text, " ".join(wanted), 0 if node.exact else 1)
    return Question(or_(in_name, _has_caption(says)), ids, hits)


def _name_has(text: str) -> ColumnElement[bool]:
    if text.isascii():
        # CAST: a name that is not Unicode is stored as bytes, which LIKE refuses in some builds of SQLite.
        return cast(Image.relative_path, String).like(f"%{_escaped(text)}%", escape="\\")
    return getattr(func, functions.NAME_HAS)(Image.relative_path, text).is_(True)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _in_folder(folder_id: int, path: str, text: str) -> ColumnElement[bool]:
    """The photos of one folder of the library for which :func:`evaluator.folder_has` holds."""
    root = path.replace(os.sep, "/").rstrip("/")
    here = Image.folder_id + 0 == folder_id  # plus nothing: the photos stay in their order
    if not text.isascii():
        return and_(here, getattr(func, functions.FOLDER_HAS)(root, Image.relative_path, text).is_(True))
    small, text = ascii_lower(f"{root}/"), text.lower()
    if text in small[:-1]:
        return here
    name = cast(Image.relative_path, String)
    inside = [name.like(f"%{_escaped(text)}%/%", escape="\\")]
    # The text may begin in the folder's own name and go on below it.
    for at in range(1, len(text)):
        if text[at - 1] == "/" and small.endswith(text[:at]):
            inside.append(name.like(f"{_escaped(text[at:])}%/%", escape="\\"))
    return and_(here, or_(*inside))


# --- states, authors, runs ---


def _state(value: str) -> Question:
    if value == "failed":
        return _of_image(Image.error.is_not(None), indexed=True)
    if value == "missing":
        return _of_image(Image.missing_since.is_not(None), indexed=True)
    kept = Caption.state.in_(("accepted", "candidate"))
    if value == "none":
        return Question(not_(_has_caption(kept)), _images(Image.id.not_in(_captioned(kept))), None)
    if value == "changed":
        older = _has_caption(and_(kept, Caption.created_at < Image.changed_at))
        return _of_image(and_(Image.changed_at.is_not(None), older), indexed=True)
    if value == "seed":
        return _of_captions(and_(Caption.state == "accepted", Caption.is_seed))
    return _of_captions(Caption.state == value)


def _by_run(text: str, known: Context) -> ColumnElement[bool]:
    name = text.lower()
    if name == "starter" or (name == "current" and known.current_run is None):
        return Caption.run_id.is_(None)
    if name == "current":
        return Caption.run_id == known.current_run
    return Caption.run_id.in_([run for run in known.runs if run.lower().startswith(name)])


# --- numbers and dates ---


def _compared(left: Any, operator: str, right: float | int) -> ColumnElement[bool]:
    compare = {"<": lt, "<=": le, ">": gt, ">=": ge, "=": eq}[operator]
    return compare(left, right)


def _number(node: nodes.Number, known: Context) -> Question:
    """The best value of a photo meets a bound when one of its values does and, where the bound is on the other side,
    none is better: so the index of the values answers, and nothing is computed for each photo."""
    name = "clip_s" if node.field == "score" else "rank"
    better = ">" if node.field == "score" else "<"
    if node.operator.startswith(better):
        spoiled_by = None
    elif node.operator == "=":
        spoiled_by = better
    else:  # on the worse side: no value may be at the bound or better than it allows
        spoiled_by = better if node.operator.endswith("=") else better + "="

    gallery, value = known.gallery, getattr(Score, name)
    bound = _compared(value, node.operator, node.value)
    ids = select(Caption.image_id).join(Score, Score.caption_id == Caption.id).correlate(None)
    ids = ids.where(Score.gallery_id == gallery, bound, Caption.live, Caption.state != "rejected")
    check = _one_scored(gallery, name, node.operator, node.value, Image)
    if spoiled_by is not None:
        check = and_(check, not_(_one_scored(gallery, name, spoiled_by, node.value, Image)))
        ids = ids.where(not_(_one_scored(gallery, name, spoiled_by, node.value, Caption)))
    return Question(check, ids, select(Score.caption_id).where(Score.gallery_id == gallery, bound))


def _one_scored(gallery: int, name: str, operator: str, bound: float, of: Any) -> ColumnElement[bool]:
    """Whether a caption of the photo (``of``: the image or a caption of it) has a value on this side of the bound."""
    caption, score = aliased(Caption), aliased(Score)
    photo = Image.id if of is Image else Caption.image_id
    # Plus nothing keeps SQLite from any other way than from the photo's few captions to the score of each.
    mine = select(1).select_from(caption).join(score, score.caption_id == caption.id + 0)
    mine = mine.where(score.gallery_id == gallery, _compared(getattr(score, name) + 0, operator, bound))
    return exists(mine.where(caption.image_id == photo, caption.live, caption.state != "rejected").correlate(of))


def _date(node: nodes.Date) -> Question:
    since, before = moments(node)
    if node.field == "date":

        def within(time: Any) -> ColumnElement[bool]:
            low = true() if since is None else time >= nanoseconds(since)
            return and_(low, true() if before is None else time < nanoseconds(before))

        ids = _images(within(Image.mtime_ns))
        return Question(within(Image.mtime_ns + 0), ids, ids)  # asked of a photo, it is no way to find photos
    kind = Caption.created_at.type
    bounds = [] if since is None else [Caption.created_at >= literal(since, kind)]
    bounds += [] if before is None else [Caption.created_at < literal(before, kind)]
    return _of_captions(and_(*bounds))
