"""A filter as SQL. Two ways to ask, with the same meaning:

* :func:`where`: one condition on ``image``, for walking through the photos in an order and stopping when a page is
  full. Each leaf is a set of photos to begin with, a set that each photo is looked up in, or a question to each photo.
  Which is fastest depends on how many photos it holds for, so they are counted first. Of several common ones that hold
  together for few photos, the least common is a set too.
* :func:`mask`: for a whole list. Each leaf is one plain query for ids, and the tree is computed on boolean arrays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from math import inf, prod
from operator import eq, ge, gt, le, lt
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    case,
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
    type_coerce,
    union,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from core.library import meta
from core.library.filters import functions, nodes
from core.library.filters.evaluator import moments, nanoseconds
from core.library.filters.nodes import Filter, Leaf
from core.library.tables import Caption, Folder, Image, Run, Score
from core.library.words import ascii_lower, words

RARE = 4000
"""Up to so many rows it is faster to collect them than to ask photo after photo."""
_COUNTED = 20_000
"""Counting stops here: what holds for more photos is common beside anything."""
_PAGE = 200
"""Photos after which a walk usually ends."""
_FETCHED, _COLLECTED, _SCANNED = 6.0, 4.0, 0.4
"""What it takes to fetch and sort a photo of a set, to collect one for looking up, and to look for words in the name of
one, in photos walked past."""
_KEPT = Image.removed_at.is_(None)
USABLE = and_(Image.error.is_(None), Image.missing_since.is_(None), _KEPT)

_FTS = table("caption_fts", column("rowid"), column("caption_fts"))
_NAMES = table("name_fts", column("rowid"), column("name_fts"))
_MOST_TRIGRAMS = 40
"""So many of a long text are asked for; what they find is compared with all of it."""


@dataclass(frozen=True)
class Question:
    """``check``: a condition on ``image``. ``ids``: the same as a SELECT of the photos' ids. ``probe``: a SELECT with
    at least as many rows as ``ids`` would visit; ``None`` where ``ids`` has to look at every photo anyway.
    ``member``: the same once more, as looking photos up in a set, where ``ids`` has to scan all names: the index of
    names knows three characters in a row, not fewer."""

    check: ColumnElement[bool]
    ids: Any
    probe: Any | None
    member: ColumnElement[bool] | None = None


class Context:
    """What a filter's meaning depends on besides the photos; each part is read when a condition first needs it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def gallery(self) -> int:
        return meta.shown_gallery(self._session)

    @cached_property
    def folders(self) -> list[tuple[int, str]]:
        return [(one, path) for one, path in self._session.execute(select(Folder.id, Folder.path))]

    @cached_property
    def runs(self) -> list[str]:
        return list(self._session.scalars(select(Run.id)))

    @cached_property
    def current_run(self) -> str | None:
        current = meta.get(self._session, meta.CURRENT_RUN)
        return current if current and self._session.get(Run, current) is not None else None


def where(node: Filter, session: Session) -> ColumnElement[bool]:
    """The filter as a condition on ``image``, with the photos that are meant at all."""
    return and_(meant(node), _where(node, session, Context(session)))


def meant(node: Filter) -> ColumnElement[bool]:
    """Which photos a filter is about at all, as a condition on ``image``."""
    if nodes.wants_removed(node):
        return true()
    return _KEPT if nodes.wants_unusable(node) else USABLE


def _where(node: Filter, session: Session, known: Context) -> ColumnElement[bool]:
    if isinstance(node, nodes.Not):
        return not_(_where(node.item, session, known))
    if isinstance(node, nodes.And):
        return and_(true(), *_together(node.items, session, known))
    if isinstance(node, nodes.Or):
        return or_(false(), *(_where(item, session, known) for item in node.items))
    asked = question(node, known)
    count = _seen(asked, session, RARE)
    return _as_set(asked, _Walk(session, [count])) if count <= RARE else asked.check


def _together(items: Sequence[Filter], session: Session, known: Context) -> Iterator[ColumnElement[bool]]:
    """The conditions of an And: the rarest of them a set, where it is rare or the others leave little of it."""
    leaves = [question(item, known) for item in items if isinstance(item, Leaf)]
    seen = [_seen(asked, session, _COUNTED) for asked in leaves]
    least = min(seen, default=inf)
    if least <= _COUNTED:
        walk = _Walk(session, seen)
        if least <= RARE or walk.length > _COLLECTED * least:
            yield _as_set(leaves.pop(seen.index(least)), walk)
    yield from (asked.check for asked in leaves)
    yield from (_where(item, session, known) for item in items if not isinstance(item, Leaf))


def _seen(asked: Question, session: Session, limit: int) -> float:
    """How many rows a leaf visits, at most ``limit + 1``; infinite where it would look at every photo."""
    if asked.probe is None:
        return inf
    return session.scalar(select(func.count()).select_from(asked.probe.limit(limit + 1).subquery())) or 0


def _photos(session: Session) -> int:
    return session.scalar(select(func.max(Image.id))) or 1


class _Walk:
    """A guess how many of all ``photos`` are asked until a page is full, for conditions that hold for ``seen`` photos
    each and are independent of each other: ``length``."""

    def __init__(self, session: Session, seen: Sequence[float]) -> None:
        self.least = min(seen)
        self.photos = _photos(session)
        share = prod(min(1.0, count / self.photos) for count in seen)
        self.length = min(self.photos, _PAGE / share) if share else self.photos


def _as_set(asked: Question, walk: _Walk) -> ColumnElement[bool]:
    """The rarest of the conditions of a walk: begin with its photos, or look up each photo of the walk among them."""
    begin = _FETCHED * walk.least + (0 if asked.member is None else _SCANNED * walk.photos)
    if walk.length > begin:
        return Image.id.in_(asked.ids)
    # Plus nothing: the photos stay in their order.
    return (Image.id + 0).in_(asked.ids) if asked.member is None else asked.member


def mask(node: Filter, ids: np.ndarray, session: Session, known: Context | None = None) -> np.ndarray:
    """For which of the photos ``ids`` the filter holds: boolean ``[n]``. Which are meant at all is for the caller."""
    known = known or Context(session)
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
            return _folder(text, known)
        case nodes.Author(value):
            return _of_captions(Caption.author == value)
        case nodes.ByRun(text):
            return _of_captions(and_(Caption.author == "run", _by_run(text, known)))
        case nodes.Date():
            return _date(leaf)


def _of_image(condition: ColumnElement[bool]) -> Question:
    """Photos with something that few have and an index lists."""
    ids = _images(condition)
    return Question(condition, ids, ids)


def _of_captions(condition: ColumnElement[bool]) -> Question:
    """Photos with a live caption for which the condition holds."""
    ids = _captioned(condition)
    return Question(_has_caption(condition), ids, ids)


# The query around a condition may itself speak of captions; so it is always said what a sub-select shares with it.


def _captioned(condition: ColumnElement[bool]) -> Any:
    return select(Caption.image_id).where(Caption.live, condition).correlate(None)


def _has_caption(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Caption.image_id == Image.id, Caption.live, condition).correlate(Image)


def _images(condition: ColumnElement[bool], hits: Any | None = None) -> Any:
    """Photos for which the condition holds; ``hits``: it holds for none but these (:func:`_name_hits`)."""
    query = select(Image.id).where(condition)
    if hits is not None:  # plus nothing: each hit is looked up among the photos, never the other way about
        found = hits.subquery()
        query = query.join_from(found, Image, Image.id == found.c.rowid + 0)
    return query.correlate(None)


# --- words ---


def _words(node: nodes.Words) -> Question:
    in_name, name_hits = _name_has(node.text), _name_hits([node.text])
    wanted = words(node.text)
    if not wanted:  # signs alone, an emoji: no index knows them
        said = func.instr(Caption.text, node.text) > 0
        ids = union(_captioned(said), _images(in_name, name_hits))
        return Question(Image.id.in_(ids), ids, None)
    phrase = '"' + " ".join(wanted) + '"' + ("" if node.exact else " *")
    hits = select(_FTS.c.rowid).where(_FTS.c.caption_fts.op("MATCH")(phrase)).correlate(None)
    said = select(Caption.image_id).where(Caption.id.in_(hits)).correlate(None)
    check, ids = or_(in_name, _has_caption(_says(wanted, exact=node.exact))), union(said, _images(in_name, name_hits))
    if name_hits is None:
        return Question(check, ids, hits, member=or_((Image.id + 0).in_(said), in_name))
    return Question(check, ids, union_all(hits, name_hits))


def _says(wanted: list[str], *, exact: bool) -> ColumnElement[bool]:
    """Whether a caption has the words side by side. SQLite tells by letters what Python need not be called for."""
    ascii_text, cut_text = func.lower(Caption.text), Caption.search_text
    letters = func.instr(func.coalesce(cut_text, ascii_text), max(wanted, key=len)) > 0
    if len(wanted) > 1:
        has_words = getattr(func, functions.HAS_WORDS)
        return and_(letters, has_words(Caption.text, cut_text, " ".join(wanted), 0 if exact else 1))
    glob, word = "GLOB", wanted[0]
    ends = ("[^a-z0-9]*", " *") if exact else ("*", "*")
    in_ascii = literal(" ").op("||")(ascii_text).op("||")(" ").op(glob)(f"*[^a-z0-9]{word}{ends[0]}")
    in_cut = literal(" ").op("||")(cut_text).op("||")(" ").op(glob)(f"* {word}{ends[1]}")
    return and_(letters, case((cut_text.is_(None), in_ascii), else_=in_cut))


def _name_has(text: str) -> ColumnElement[bool]:
    if text.isascii():
        return _name_like(f"%{_escaped(text)}%")
    return getattr(func, functions.NAME_HAS)(Image.relative_path, text).is_(True)


def _name_like(pattern: str) -> ColumnElement[bool]:
    """LIKE for names. One that is not Unicode is stored as bytes, which LIKE refuses in some builds of SQLite."""
    name, is_bytes = Image.relative_path, func.typeof(Image.relative_path) == "blob"
    in_bytes = and_(is_bytes, cast(name, String).like(pattern, escape="\\"))
    return or_(type_coerce(name, String).like(pattern, escape="\\"), in_bytes)


def _name_hits(texts: Sequence[str]) -> Any | None:
    """A SELECT of the photos in whose names all three-character parts of one of ``texts`` stand: those with the text,
    and a few more. ``None`` where the index cannot tell: nothing shorter is in it, and it folds other scripts its way.
    """
    if not texts or any(len(text) < 3 or not text.isascii() or "\x00" in text for text in texts):
        return None
    phrases = " OR ".join(f"({' AND '.join(_trigrams(text))})" for text in texts)
    return select(_NAMES.c.rowid).where(_NAMES.c.name_fts.op("MATCH")(phrases)).correlate(None)


def _trigrams(text: str) -> list[str]:
    """As the index is asked for them."""
    parts = dict.fromkeys(text[at : at + 3] for at in range(len(text) - 2))
    return ['"' + part.replace('"', '""') + '"' for part in islice(parts, _MOST_TRIGRAMS)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _folder(text: str, known: Context) -> Question:
    """The photos for which :func:`evaluator.folder_has` holds."""
    conditions: list[ColumnElement[bool]] = [false()]
    parts: list[str] = []
    for folder_id, path in known.folders:
        root = path.replace(os.sep, "/").rstrip("/")
        here = Image.folder_id + 0 == folder_id  # plus nothing: the photos stay in their order
        if not text.isascii():
            below = getattr(func, functions.FOLDER_HAS)(root, Image.relative_path, text).is_(True)
            conditions.append(and_(here, below))
            parts.append(text)
        elif text.lower() in ascii_lower(f"{root}/"):
            conditions.append(here)
            parts.append("")  # whatever a photo's own name is
        else:
            begins = _begins_below(root, text)
            rest = "%" if text.endswith("/") else "%/%"  # the text is in the folder's name, not in the file's
            below = [f"%{_escaped(text)}{rest}", *(f"{_escaped(begin)}{rest}" for begin in begins)]
            conditions.append(and_(here, or_(*map(_name_like, below))))
            parts += [text, *begins]
    condition, hits = or_(*conditions), _name_hits(list(dict.fromkeys(parts)))
    return Question(condition, _images(condition, hits), hits)


def _begins_below(root: str, text: str) -> list[str]:
    """With what a photo's name below ``root`` begins where ``text`` begins in the folder's own name and goes on."""
    small, text = ascii_lower(f"{root}/"), text.lower()
    return [text[at:] for at in range(1, len(text)) if text[at - 1] == "/" and small.endswith(text[:at])]


# --- states, authors, runs ---


def _state(value: str) -> Question:
    if value == "failed":
        return _of_image(Image.error.is_not(None))
    if value == "missing":
        return _of_image(Image.missing_since.is_not(None))
    if value == "removed":
        return _of_image(Image.removed_at.is_not(None))
    kept = Caption.state.in_(("accepted", "candidate"))
    if value == "none":
        return Question(not_(_has_caption(kept)), _images(Image.id.not_in(_captioned(kept))), None)
    if value == "changed":
        older = _has_caption(and_(kept, Caption.created_at < Image.changed_at))
        return _of_image(and_(Image.changed_at.is_not(None), older))
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
    node = _as_stored(node)
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


def _as_stored(node: nodes.Number) -> nodes.Number:
    """The same of what is stored, where a score that is shown as 0 may be less than that."""
    if node.field != "score" or node.value > 0:
        return node
    if node.value < 0 or node.operator in (">=", "<"):  # all are above, none is below
        return replace(node, value=-inf)
    return replace(node, operator="<=") if node.operator == "=" else node


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
