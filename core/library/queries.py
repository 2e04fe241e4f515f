"""Questions to the library. Lists of photos are arrays of ids; rows are fetched by windows of ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sqlalchemy import ColumnElement, String, and_, bindparam, case, func, or_, select, text
from sqlalchemy.orm import Session

from core.library import meta
from core.library.candidate_order import BY_SCORE, in_order
from core.library.filters.compiler import USABLE, fetch_ids, is_among, mask, meant
from core.library.filters.nodes import Filter
from core.library.filters.parser import parse
from core.library.library import Library
from core.library.records import CaptionRow, Counts, ImageRow, ScoreRow, Seed
from core.library.runs import current_run, runs, set_current_run
from core.library.tables import Caption, Folder, Image, Score, Split

__all__ = [
    "candidate_order", "captions_of", "contents", "counts", "current_run", "failed_images", "folder_counts", "folders",
    "image_ids", "image_rows", "images_of", "outdated", "runs", "score_sharpness", "seeds", "set_current_run",
    "uncaptioned", "unlabelled",
]  # fmt: skip

TO_REVIEW = "state:candidate NOT state:accepted"
"""The filter of photos that wait for a decision."""
PhotoState = Literal["seed", "accepted", "candidate", "rejected"]
Sort = Literal["path", "score", "weakest", "distinctiveness", "given"]


def image_ids(
    library: Library,
    *,
    has_caption: bool | None = None,
    text: str | Sequence[str] | None = None,
    filter: str | Filter | None = None,
    ids: Iterable[int] | None = None,
    sort: Sort = "path",
) -> np.ndarray:
    """Ids of the usable photos (readable, not missing, not removed) that meet every condition given, as int64 ``[n]``.

    ``has_caption``: with or without any live caption that is not rejected. ``text``: every word of it (or, for a
    sequence, every phrase) is in the path or in one live caption.
    ``filter``: what :mod:`core.library.filters` understands (a ``FilterError`` when it does not); one that asks for
    failed, missing or removed files finds those too. ``ids``: only these. ``sort``: by path; by the best ``score`` or
    ``distinctiveness`` of a photo, highest first, or ``weakest`` score first, photos without one always last;
    ``given``: in the order of ``ids``.
    """
    given = None if ids is None else np.fromiter(ids, np.int64)
    if sort == "given" and given is None:
        raise ValueError("sort='given' needs ids")
    words = text.split() if isinstance(text, str) else list(text or ())
    tree = parse(filter) if isinstance(filter, str) else filter
    base = USABLE if tree is None else meant(tree)
    with library.session() as session:
        # One plain question a condition, joined here: a hundred thousand times faster than asking for each photo.
        found = fetch_ids(session, select(Image.id).where(base).order_by(Image.folder_id, Image.relative_path))
        if tree is not None:
            found = found[mask(tree, found, session)]
        if has_caption is not None:
            captioned = is_among(found, fetch_ids(session, _captioned(Caption.state.in_(("accepted", "candidate")))))
            found = found[captioned if has_caption else ~captioned]
        for word in words:
            found = found[is_among(found, _with_word(session, word))]
        if given is not None:
            found = given[is_among(given, found)] if sort == "given" else found[is_among(found, given)]
        return _sorted(session, found, sort)


def _captioned(condition: ColumnElement[bool]) -> Any:
    return select(Caption.image_id).where(Caption.live, condition).distinct()


def _in_state(state: PhotoState) -> ColumnElement[bool]:
    if state == "seed":
        return and_(Caption.state == "accepted", Caption.is_seed)
    if state not in ("accepted", "candidate", "rejected"):
        raise ValueError(f"There is no state {state!r}")
    return Caption.state == state


def _with_word(session: Session, word: str) -> np.ndarray:
    pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    in_name = fetch_ids(session, select(Image.id).where(Image.relative_path.like(pattern, escape="\\")))
    in_caption = fetch_ids(session, _captioned(Caption.text.like(pattern, escape="\\")))
    return np.concatenate([in_name, in_caption])


def _sorted(session: Session, found: np.ndarray, sort: Sort) -> np.ndarray:
    if sort in ("path", "given") or not len(found):
        return found
    value = Score.distinctiveness if sort == "distinctiveness" else Score.clip_s
    query = (
        select(Caption.image_id, value)
        .join(Score, and_(Score.caption_id == Caption.id, meta.shown_scores(session)))
        .where(Caption.live, Caption.state != "rejected", value.is_not(None))
    )
    cursor = session.connection().execute(query).cursor
    pairs = np.array(cursor.fetchall() if cursor else [], np.float64).reshape(-1, 2)
    scored = pairs[:, 0].astype(np.int64)
    best = np.full(max(found.max(), scored.max(initial=0)) + 1, -np.inf)
    np.maximum.at(best, scored, pairs[:, 1])
    values = best[found]
    # Stable, so that photos with equal scores, and those without one, stay in the order of their paths.
    key = np.where(np.isinf(values), np.inf, values if sort == "weakest" else -values)
    return found[np.argsort(key, kind="stable")]


_PRESENT = and_(Image.missing_since.is_(None), Image.removed_at.is_(None))
_UNUSABLE = or_(Image.error.is_not(None), Image.missing_since.is_not(None), Image.removed_at.is_not(None))


def among(ids: Iterable[int]) -> Any:
    """A sub-select of any number of ids in one bound value: SQLite limits the number of variables."""
    values = json.dumps([int(one) for one in ids])
    return text("SELECT value FROM json_each(:among)").bindparams(bindparam("among", values, unique=False))


def image_rows(library: Library, ids: Iterable[int]) -> list[ImageRow]:
    """The photos with these ids, in this order; an id that is not there (any more) is left out."""
    wanted = [int(one) for one in ids]
    with library.session() as session:
        found = {row.id: row for row in _images(session, Image.id.in_(among(wanted)))}
    return [found[one] for one in wanted if one in found]


def failed_images(library: Library) -> list[ImageRow]:
    """Files that cannot be used as photos, each with its reason, by path."""
    with library.session() as session:
        return _images(session, and_(Image.error.is_not(None), _PRESENT))


def images_of(library: Library, *, usable: bool = True) -> list[ImageRow]:
    """Every photo, by path; ``usable=False``: missing, failed and removed ones too."""
    with library.session() as session:
        return _images(session, USABLE if usable else Image.id.is_not(None))


def contents(library: Library) -> list[tuple[int, str]]:
    """``(image_id, content_hash)`` of every usable photo, by path."""
    query = select(Image.id, Image.content_hash).where(USABLE).order_by(Image.folder_id, Image.relative_path)
    with library.session() as session:
        return [(one, content_hash) for one, content_hash in session.execute(query)]


def ids_by_content(library: Library, hashes: Iterable[str]) -> dict[str, list[int]]:
    """The usable photos with each of these content hashes, copies included; a hash of none is left out."""
    values = bindparam("hashes", json.dumps(list(hashes)), unique=False)
    wanted = text("SELECT value FROM json_each(:hashes)").bindparams(values)
    query = select(Image.content_hash, Image.id).where(USABLE, Image.content_hash.in_(wanted)).order_by(Image.id)
    found: dict[str, list[int]] = {}
    with library.session() as session:
        for content_hash, image_id in session.execute(query):
            found.setdefault(content_hash, []).append(image_id)
    return found


def texts_ever(library: Library, image_ids: Iterable[int]) -> dict[int, set[str]]:
    """All that was ever said of these photos, edited and replaced captions included."""
    found: dict[int, set[str]] = {}
    with library.session() as session:
        for one, said in session.execute(
            select(Caption.image_id, Caption.text).where(Caption.image_id.in_(among(image_ids)))
        ):
            found.setdefault(one, set()).add(said)
    return found


def _images(session: Session, condition: ColumnElement[bool]) -> list[ImageRow]:
    columns = (
        Image.id, Folder.path, Image.relative_path, Image.content_hash, Image.width, Image.height, Image.missing_since,
        Image.error, Image.removed_at,
    )  # fmt: skip
    query = select(*columns).join(Folder).where(condition).order_by(Image.folder_id, Image.relative_path)
    return [
        ImageRow(one, root, relative, content_hash, width, height, missing is not None, error, removed is not None)
        for one, root, relative, content_hash, width, height, missing, error, removed in session.connection().execute(
            query
        )
    ]


def captions_of(library: Library, image_ids: Iterable[int]) -> dict[int, list[CaptionRow]]:
    """The live captions of each photo, best first: seeds, accepted, candidates by score (or in the order that was
    chosen for them: :mod:`core.library.candidate_order`), rejected.

    Every id asked for is a key, with an empty list when it has no caption.
    """
    wanted = [int(one) for one in image_ids]
    result: dict[int, list[CaptionRow]] = {one: [] for one in wanted}
    with library.session() as session:
        for row in _captions(session, Caption.image_id.in_(among(wanted))):
            result[row.image_id].append(row)
    return result


def all_captions(library: Library, *, states: Sequence[str] = ("accepted", "candidate")) -> dict[int, list[CaptionRow]]:
    """The live captions in these states of every usable photo that has any, best first."""
    usable = select(Image.id).where(USABLE)
    result: dict[int, list[CaptionRow]] = {}
    with library.session() as session:
        for row in _captions(session, and_(Caption.image_id.in_(usable), Caption.state.in_(states))):
            result.setdefault(row.image_id, []).append(row)
    return result


def _captions(session: Session, condition: ColumnElement[bool]) -> list[CaptionRow]:
    place = case((Caption.is_seed, 0), (Caption.state == "accepted", 1), (Caption.state == "candidate", 2), else_=3)
    query = (
        select(
            Caption.id, Caption.image_id, Caption.text, Caption.author, Caption.run_id, Caption.state, Caption.is_seed,
            Caption.created_at, Caption.mean_log_prob, Score.clip_s, Score.rank, Score.gallery_size, Score.plain_rank,
            Score.distinctiveness,
        )
        .outerjoin(Score, and_(Score.caption_id == Caption.id, meta.shown_scores(session)))
        .where(condition, Caption.live)
        .order_by(Caption.image_id, place, Score.clip_s.desc().nulls_last(), Caption.id)
    )  # fmt: skip
    result: list[CaptionRow] = []
    for row in session.connection().execute(query):
        values: tuple[Any, ...] = tuple(row)
        score = None if values[9] is None else ScoreRow(*values[9:])
        result.append(CaptionRow(*values[:8], score=score, mean_log_prob=values[8]))
    chosen = chosen_order(session)
    if chosen == BY_SCORE:
        return result
    photos, sharpness = groupby(result, key=lambda row: row.image_id), _score_sharpness(session)
    return [row for _, captions in photos for row in in_order(tuple(captions), chosen, sharpness)]


def candidate_order(library: Library) -> float:
    """The order that is chosen for candidates, from 0 (the likeliest wording first) to 1 (the best score first)."""
    with library.session() as session:
        return chosen_order(session)


def score_sharpness(library: Library) -> float:
    """That of the encoder which gave the scores shown, by :func:`core.encoders.encoder.sharpness`."""
    with library.session() as session:
        return _score_sharpness(session)


def _score_sharpness(session: Session) -> float:
    return float(meta.get(session, meta.SCORE_SHARPNESS) or 1.0)


def chosen_order(session: Session) -> float:
    return float(meta.get(session, meta.CANDIDATE_ORDER) or BY_SCORE)


def counts(library: Library) -> Counts:
    """How many photos there are of each kind; see :class:`Counts`."""
    with library.session() as session:
        photos = session.scalar(select(func.count()).select_from(Image).where(USABLE)) or 0
        count = select(func.count()).select_from(Image)
        failed = session.scalar(count.where(Image.error.is_not(None), _PRESENT))
        missing = session.scalar(count.where(Image.missing_since.is_not(None), Image.removed_at.is_(None)))
        removed = session.scalar(count.where(Image.removed_at.is_not(None)))
        captioned = dict.fromkeys(("seed", "candidate", "accepted", "rejected"), 0)
        distinct = func.count(Caption.image_id.distinct())
        unusable = select(Image.id).where(_UNUSABLE)
        for state in captioned:
            kind: Any = state
            query = select(distinct).where(Caption.live, _in_state(kind), Caption.image_id.not_in(unusable))
            captioned[state] = session.scalar(query) or 0
    return Counts(
        photos,
        failed or 0,
        captioned["seed"],
        captioned["candidate"],
        captioned["accepted"],
        captioned["rejected"],
        missing or 0,
        removed or 0,
    )


def outdated(library: Library) -> np.ndarray:
    """Ids ``[n]`` of photos to review that the model in use has said nothing about: another one's suggestions wait."""
    return image_ids(library, filter=f"{TO_REVIEW} NOT run:current")


def uncaptioned(library: Library) -> int:
    """How many usable photos have neither an accepted caption nor a candidate."""
    with library.session() as session:
        photos = session.scalar(select(func.count()).select_from(Image).where(USABLE)) or 0
        unusable = select(Image.id).where(_UNUSABLE)
        kept = and_(Caption.live, Caption.state.in_(("accepted", "candidate")), Caption.image_id.not_in(unusable))
        return photos - (session.scalar(select(func.count(Caption.image_id.distinct())).where(kept)) or 0)


def folders(library: Library) -> list[Path]:
    """The photo folders that the library looks after, in the order they were added."""
    with library.session() as session:
        return [Path(path) for path in session.scalars(select(Folder.path).order_by(Folder.id))]


def folder_counts(library: Library) -> list[tuple[str, str, int]]:
    """For each folder with usable photos directly in it: the library's folder, the path below that (empty for itself,
    with ``/`` and none at the end), and how many photos. Names that are no valid text are left out."""
    # What is left of a path when, from its end, everything is taken away that is no slash.
    inside = func.rtrim(Image.relative_path, func.replace(Image.relative_path, "/", ""), type_=String)
    query = (
        select(Image.folder_id, inside.label("inside"), func.count())
        .where(USABLE, func.typeof(Image.relative_path) == "text")
        .group_by(Image.folder_id, inside)
        .order_by(Image.folder_id, inside)
    )
    with library.session() as session:
        roots = {row.id: row.path for row in session.execute(select(Folder.id, Folder.path))}
        return [(roots[one], path.rstrip("/"), number) for one, path, number in session.execute(query)]


def seeds(library: Library) -> list[Seed]:
    """The labelled photos to learn from, by path; copies of a photo are separate entries with the same hash.

    Which of them are held out is for :mod:`core.library.splits` to say.
    """
    query = (
        select(Image.id, Image.content_hash, Caption.text)
        .join(Caption, Caption.image_id == Image.id)
        .where(USABLE, Caption.live, Caption.is_seed)
        .order_by(Image.folder_id, Image.relative_path, Caption.id)
    )
    texts: dict[tuple[int, str], list[str]] = {}
    with library.session() as session:
        for one, content_hash, caption in session.execute(query):
            texts.setdefault((one, content_hash), []).append(caption)
    return [Seed(one, content_hash, tuple(lines)) for (one, content_hash), lines in texts.items()]


def unlabelled(library: Library) -> list[tuple[int, str]]:
    """``(image_id, content_hash)`` of the usable photos without a seed of their own or of a copy, by path.

    Held-out photos were labelled once and are never among them.
    """
    labelled = (
        select(Image.content_hash).join(Caption, Caption.image_id == Image.id).where(Caption.live, Caption.is_seed)
    )
    held_out = select(Split.content_hash).where(Split.part == "held_out")
    query = (
        select(Image.id, Image.content_hash)
        .where(USABLE, Image.content_hash.not_in(labelled), Image.content_hash.not_in(held_out))
        .order_by(Image.folder_id, Image.relative_path)
    )
    with library.session() as session:
        return [(one, content_hash) for one, content_hash in session.execute(query)]
