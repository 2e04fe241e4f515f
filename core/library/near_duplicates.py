"""Near-duplicates: photos with a cosine above 0.97, chains included, are one group, ranked and reviewed as one.

Which group a content belongs to stands beside its vector, so only contents that came in since are compared, with all
others. Memory holds a few numbers for each content, never all vectors: with Q an orthonormal basis of the directions in
which the vectors differ most, ``a·b <= (Qa)·(Qb) + |a - QQa|·|b - QQb|`` (Cauchy-Schwarz). Whole vectors are read for
the pairs alone whose bound is above the threshold; the result is exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import String, cast, func, literal, select, text, update
from sqlalchemy.orm import Session

from core.encoders.search import NEAR_DUPLICATE
from core.encoders.store import VectorStore
from core.jobs import JobContext
from core.library import meta
from core.library.filters.compiler import USABLE, fetch_ids
from core.library.library import Library
from core.library.queries import among
from core.library.tables import Image, Vector

KEPT = 48
"""Directions kept of each vector for the bound."""
_SAMPLE = 2048
_READ = 2048
_ROWS, _COLUMNS = 512, 8192
_MANY = 4096
"""Pairs of one block for which reading their vectors one by one is no longer worth it."""
_WRITE = 1000
_SLACK = 1e-4  # more than float32 rounding of a bound, so that no pair is missed


@dataclass(frozen=True)
class Group:
    """Photos that are near-duplicates of each other, by path; at least two."""

    image_ids: tuple[int, ...]


def update_groups(library: Library, encoder: str, dim: int, ctx: JobContext) -> int:
    """Compare every content that has not been yet; returns how many those were.

    ``encoder``: the fingerprint of the encoder whose vectors are meant, of ``dim`` numbers each. A cancelled or cut off
    update is simply gone on with by the next one.
    """
    _forget_gone(library, encoder)
    hashes, groups = _usable(library, encoder)
    fresh = np.flatnonzero(groups < 0)
    if len(fresh):
        order = np.concatenate([np.flatnonzero(groups >= 0), fresh])  # the known ones first
        hashes, groups = [hashes[one] for one in order], groups[order]
        store = VectorStore(library, encoder, dim)
        roots = _roots(groups)
        _compare(store, hashes, roots, len(hashes) - len(fresh), ctx)
        _write(library, encoder, hashes, groups, roots)
    with library.writing() as session:
        meta.put(session, meta.GROUPS_ENCODER, encoder)
    return len(fresh)


def group_numbers(library: Library, encoder: str, hashes: Sequence[str]) -> np.ndarray:
    """For contents, in order, the index of the first one of the same group: int64 ``[n]``. Copies are one group."""
    places = text("SELECT value FROM json_each(:hashes)").bindparams(hashes=json.dumps(list(dict.fromkeys(hashes))))
    query = select(Vector.content_hash, Vector.group_id).where(Vector.encoder == encoder, Vector.group_id > 0)
    with library.session() as session:
        found: dict[str, int] = {}
        for content_hash, group in session.execute(query.where(Vector.content_hash.in_(places))):
            found[content_hash] = group or 0
    first: dict[int | str, int] = {}
    return np.array([first.setdefault(found.get(one, one), at) for at, one in enumerate(hashes)], np.int64)


def one_of_each(library: Library, image_ids: Iterable[int]) -> np.ndarray:
    """The photos in order, but of each group only the first: int64 ``[n]``. For looking at a group as one."""
    ids = np.fromiter(image_ids, np.int64)
    with library.session() as session:
        keys = _keys(session, ids)
    seen: set[int | str] = set()
    kept = []
    for one in ids.tolist():
        key = keys.get(one, f"#{one}")
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return np.array(kept, np.int64)


def number_of_groups(library: Library, image_ids: Iterable[int]) -> int:
    """How many photos :func:`one_of_each` would leave."""
    with library.session() as session:
        encoder = meta.get(session, meta.GROUPS_ENCODER) or ""
        content = func.nullif(Image.content_hash, "")
        alone = literal("#").concat(cast(Image.id, String))
        query = (
            select(func.count(func.coalesce(func.nullif(Vector.group_id, 0), content, alone).distinct()))
            .select_from(Image)
            .outerjoin(Vector, (Vector.content_hash == Image.content_hash) & (Vector.encoder == encoder))
            .where(Image.id.in_(among(image_ids)))
        )
        return session.scalar(query) or 0


def group_of(library: Library, image_id: int) -> Group | None:
    """The near-duplicates of a photo, itself included; ``None`` when it has none."""
    with library.session() as session:
        encoder = meta.get(session, meta.GROUPS_ENCODER) or ""
        content = select(Image.content_hash).where(Image.id == int(image_id)).scalar_subquery()
        group = session.scalar(select(Vector.group_id).where(Vector.encoder == encoder, Vector.content_hash == content))
        same = select(Vector.content_hash).where(Vector.encoder == encoder, Vector.group_id == (group or -1))
        query = select(Image.id).where(USABLE, Image.content_hash.in_(same.union(select(content))))
        found = tuple(session.scalars(query.order_by(Image.folder_id, Image.relative_path)))
    return Group(found) if len(found) > 1 and int(image_id) in found else None


def groups(library: Library) -> list[Group]:
    """Every group with at least two usable photos, in the order of its first photo's path."""
    with library.session() as session:
        ids = fetch_ids(session, select(Image.id).where(USABLE).order_by(Image.folder_id, Image.relative_path))
        keys = _keys(session, ids)
    members: dict[int | str, list[int]] = {}
    for one in ids.tolist():
        members.setdefault(keys[one], []).append(one)
    return [Group(tuple(photos)) for photos in members.values() if len(photos) > 1]


def _keys(session: Session, ids: np.ndarray) -> dict[int, int | str]:
    """What photos of one group have in common: the group's number, else their content."""
    encoder = meta.get(session, meta.GROUPS_ENCODER) or ""
    query = (
        select(Image.id, func.coalesce(func.nullif(Vector.group_id, 0), Image.content_hash))
        .outerjoin(Vector, (Vector.content_hash == Image.content_hash) & (Vector.encoder == encoder))
        .where(Image.id.in_(among(ids)))
    )
    found: dict[int, int | str] = {}
    for one, key in session.execute(query):
        found[one] = key if key != "" else f"#{one}"
    return found


# --- what is known, and what is not any more ---


def _forget_gone(library: Library, encoder: str) -> None:
    """Contents without a usable photo leave their groups; what they held together is compared again."""
    usable = select(Image.content_hash).where(USABLE)
    mine = Vector.encoder == encoder
    with library.writing() as session:
        gone = session.execute(
            select(Vector.content_hash, Vector.group_id).where(
                mine, Vector.group_id.is_not(None), Vector.content_hash.not_in(usable)
            )
        ).all()
        broken = [group for group in {row.group_id for row in gone} if group]
        session.execute(update(Vector).where(mine, Vector.group_id.in_(among(broken))).values(group_id=None))
        alone = json.dumps([row.content_hash for row in gone])
        values = text("SELECT value FROM json_each(:alone)").bindparams(alone=alone)
        session.execute(update(Vector).where(mine, Vector.content_hash.in_(values)).values(group_id=None))


def _usable(library: Library, encoder: str) -> tuple[list[str], np.ndarray]:
    """Contents of usable photos that have a vector, as they lie on disk; their groups ``[n]``, -1 for none yet."""
    query = (
        select(Vector.content_hash, func.coalesce(Vector.group_id, -1))
        .where(Vector.encoder == encoder, Vector.content_hash.in_(select(Image.content_hash).where(USABLE)))
        .order_by(Vector.shard, Vector.row)
    )
    with library.session() as session:
        rows = session.execute(query).all()
    return [row[0] for row in rows], np.fromiter((row[1] for row in rows), np.int64, len(rows))


# --- comparing ---


def _compare(store: VectorStore, hashes: Sequence[str], roots: np.ndarray, known: int, ctx: JobContext) -> None:
    """Unite in ``roots`` whatever is near; the positions before ``known`` have been compared with each other."""
    reduced = _reduced(store, hashes, ctx)
    total = len(hashes)
    for start in range(known, total, _ROWS):
        ctx.check_cancelled()
        ctx.progress(start - known, total - known, "Comparing the photos")
        stop = min(start + _ROWS, total)
        for left in range(0, stop, _COLUMNS):
            right = min(left + _COLUMNS, stop)
            rows, columns = np.nonzero(reduced[start:stop] @ reduced[left:right].T > NEAR_DUPLICATE - _SLACK)
            rows, columns = rows + start, columns + left
            new = (columns < rows) & (roots[rows] != roots[columns])  # the rest is known already
            rows, columns = rows[new], columns[new]
            if len(rows) > _MANY:
                block = store.get(hashes[start:stop]) @ store.get(hashes[left:right]).T > NEAR_DUPLICATE
                near = block[rows - start, columns - left]
                _unite(roots, rows[near], columns[near])
            elif len(rows):
                near = _cosines(store, hashes, rows, columns) > NEAR_DUPLICATE
                _unite(roots, rows[near], columns[near])
    ctx.progress(total - known, total - known, "Comparing the photos")


def _reduced(store: VectorStore, hashes: Sequence[str], ctx: JobContext) -> np.ndarray:
    """Float32 ``[n, k + 1]`` whose dot products are never below the cosines; or the vectors themselves, where short."""
    sample = np.linspace(0, len(hashes) - 1, min(_SAMPLE, len(hashes))).astype(np.int64)
    seen = store.get([hashes[int(one)] for one in sample])
    if seen.shape[1] <= 2 * KEPT:
        basis = None
        result = np.empty((len(hashes), seen.shape[1]), np.float32)
    else:
        _, directions = np.linalg.eigh((seen.T @ seen).astype(np.float64))
        basis = np.ascontiguousarray(directions[:, -KEPT:], np.float32)
        result = np.empty((len(hashes), KEPT + 1), np.float32)
    for start in range(0, len(hashes), _READ):
        ctx.check_cancelled()
        vectors = store.get(hashes[start : start + _READ])
        if basis is None:
            result[start : start + _READ] = vectors
            continue
        inside = vectors @ basis
        rest = np.square(vectors, dtype=np.float64).sum(axis=1) - np.square(inside, dtype=np.float64).sum(axis=1)
        result[start : start + _READ, :KEPT] = inside
        result[start : start + _READ, KEPT] = np.sqrt(np.maximum(rest, 0))
    return result


def _cosines(store: VectorStore, hashes: Sequence[str], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The cosine of each pair, float32 ``[pairs]``; each vector is read once."""
    if not len(rows):
        return np.empty(0, np.float32)
    places, inverse = np.unique(np.concatenate([rows, columns]), return_inverse=True)
    vectors = store.get([hashes[int(one)] for one in places])
    first, second = inverse[: len(rows)], inverse[len(rows) :]
    return np.einsum("nd,nd->n", vectors[first], vectors[second])


# --- groups ---


def _roots(groups: np.ndarray) -> np.ndarray:
    """For each position the first one of its group, as far as it is known: int64 ``[n]``."""
    roots = np.arange(len(groups))
    first: dict[int, int] = {}
    for at in np.flatnonzero(groups > 0).tolist():
        roots[at] = first.setdefault(int(groups[at]), at)
    return roots


def _root(roots: np.ndarray, one: int) -> int:
    while roots[one] != one:
        one = int(roots[one])
    return one


def _unite(roots: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """Join the groups of each pair; afterwards every position points straight at the first of its group."""
    if not len(rows):
        return
    total = len(roots)
    for pair in np.unique(roots[rows] * total + roots[columns]).tolist():  # of many photos, but few groups
        one, other = _root(roots, pair // total), _root(roots, pair % total)
        roots[max(one, other)] = min(one, other)
    while True:
        further = roots[roots]
        if np.array_equal(further, roots):
            return
        roots[:] = further


def _write(library: Library, encoder: str, hashes: Sequence[str], groups: np.ndarray, roots: np.ndarray) -> None:
    """Groups that have become one first, all at once; then the contents that are new, in short transactions.

    Cut off in between, the contents left are compared again and find their groups.
    """
    sizes = np.bincount(roots, minlength=len(roots))
    shared = roots[sizes[roots] > 1]
    number: dict[int, int] = {}
    for at in np.flatnonzero(groups > 0).tolist():
        number.setdefault(int(roots[at]), int(groups[at]))
    new = [root for root in dict.fromkeys(shared.tolist()) if root not in number]
    mine = Vector.encoder == encoder
    with library.writing() as session:
        next_number = (session.scalar(select(func.max(Vector.group_id)).where(mine)) or 0) + 1
        next_number = max(next_number, int(meta.get(session, meta.NEXT_GROUP) or 1))
        number |= {root: next_number + place for place, root in enumerate(new)}
        meta.put(session, meta.NEXT_GROUP, str(next_number + len(new)))
        for at in np.flatnonzero(groups > 0).tolist():
            into = number[int(roots[at])]
            if into != groups[at]:
                session.execute(update(Vector).where(mine, Vector.group_id == int(groups[at])).values(group_id=into))
                groups[groups == groups[at]] = into
        # One that was alone has found company.
        met = [at for at in np.flatnonzero(groups == 0).tolist() if sizes[roots[at]] > 1]
        _assign(session, encoder, [(hashes[at], number[int(roots[at])]) for at in met])
    fresh = np.flatnonzero(groups < 0).tolist()
    for start in range(0, len(fresh), _WRITE):
        portion = [(hashes[at], number.get(int(roots[at]), 0)) for at in fresh[start : start + _WRITE]]
        with library.writing() as session:
            _assign(session, encoder, portion)


def _assign(session: Session, encoder: str, values: Sequence[tuple[str, int]]) -> None:
    rows = [{"encoder": encoder, "content": content_hash, "group": group} for content_hash, group in values]
    if rows:
        session.connection().execute(
            text("UPDATE vector SET group_id = :group WHERE encoder = :encoder AND content_hash = :content"), rows
        )
