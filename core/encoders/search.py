"""Nearest vectors by brute force, in chunks: a hundred thousand photos take milliseconds a query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAR_DUPLICATE = 0.97
"""Photos with a cosine above this are the same photo to a person: one group, one rank."""
_CHUNK_CELLS = 1 << 24
_COVER_POOL = 4096


def top_k(query: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` rows of unit ``vectors`` ``[n, dim]`` nearest to the unit ``query`` ``[dim]``, best first.

    Returns their indices (int64) and cosines (float32), ``min(k, n)`` of each; equal cosines by lower index.
    """
    cosines = np.asarray(vectors @ query, np.float32)
    order = _best(cosines[None], min(k, len(cosines)))[0]
    return order, cosines[order]


def neighbours(vectors: np.ndarray, k: int, near_duplicate: float = NEAR_DUPLICATE) -> np.ndarray:
    """For each row of unit ``vectors`` ``[n, dim]`` its ``k`` nearest others, best first: int64 ``[n, k]``.

    Neither the row itself nor near-duplicates (cosine above ``near_duplicate``) count. Where fewer than ``k`` are left,
    the row is filled up with -1.
    """
    count = len(vectors)
    result = np.full((count, k), -1, np.int64)
    if not count or not k:
        return result
    step = max(1, _CHUNK_CELLS // count)
    for start in range(0, count, step):
        stop = min(start + step, count)
        cosines = np.asarray(vectors[start:stop] @ vectors.T, np.float32)
        cosines[cosines > near_duplicate] = -np.inf
        cosines[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        best = _best(cosines, min(k, count))
        valid = np.isfinite(np.take_along_axis(cosines, best, axis=1))
        result[start:stop, : best.shape[1]] = np.where(valid, best, -1)
    return result


def duplicate_groups(vectors: np.ndarray, near_duplicate: float = NEAR_DUPLICATE) -> np.ndarray:
    """A group number for each row of unit ``vectors`` ``[n, dim]``: int64 ``[n]``, the lowest index in its group.

    Rows linked by a chain of near-duplicates are one group.
    """
    count = len(vectors)
    parent = np.arange(count)

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = int(parent[one])
        return one

    step = max(1, _CHUNK_CELLS // max(count, 1))
    for start in range(0, count, step):
        cosines = vectors[start : start + step] @ vectors[start:].T
        for row, column in np.argwhere(cosines > near_duplicate):
            one, other = root(start + int(row)), root(start + int(column))
            parent[max(one, other)] = min(one, other)
    return np.array([root(one) for one in range(count)], np.int64)


def cover(
    vectors: np.ndarray,
    number: int,
    *,
    chosen: Sequence[int] | np.ndarray = (),
    allowed: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Indices of ``number`` rows that together with ``chosen`` cover all of unit ``vectors`` ``[n, dim]``, best first.

    Greedy facility location (Nemhauser, Wolsey & Fisher 1978): each step takes the row that adds most to the sum, over
    all rows, of the cosine to the nearest row taken. Unlike farthest-point selection it prefers typical photos of a
    region to odd ones at its edge. ``allowed``: boolean ``[n]``, which rows may be taken. ``weights`` ``[n]``: how
    much it counts that a row is covered (default: all alike). Above 4,096 rows the gain is estimated on an even sample.
    """
    free = np.ones(len(vectors), bool) if allowed is None else np.asarray(allowed, bool).copy()
    taken = np.asarray(chosen, np.int64)
    free[taken] = False
    options = _even_sample(np.flatnonzero(free), max(_COVER_POOL, number))
    sample = _even_sample(np.arange(len(vectors)), _COVER_POOL)
    witnesses = vectors[sample]
    counts = np.ones(len(sample)) if weights is None else np.asarray(weights, np.float64)[sample]
    nearest = np.full(len(witnesses), -1.0, np.float32)
    if len(taken):
        nearest = (witnesses @ vectors[taken].T).max(axis=1)
    cosines = np.ascontiguousarray(vectors[options] @ witnesses.T, dtype=np.float32)
    picked: list[int] = []
    left = np.ones(len(options), bool)
    for _ in range(min(number, len(options))):
        gains = np.maximum(cosines, nearest) @ counts
        gains[~left] = -np.inf
        best = int(gains.argmax())
        left[best] = False
        picked.append(int(options[best]))
        nearest = np.maximum(nearest, cosines[best])
    return np.array(picked, np.int64)


def _even_sample(indices: np.ndarray, most: int) -> np.ndarray:
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(np.int64)]


def _best(cosines: np.ndarray, k: int) -> np.ndarray:
    """Columns of the ``k`` highest values of each row, highest first, ties by lower column: int64 ``[rows, k]``."""
    if k == 0 or k >= cosines.shape[1]:
        return np.argsort(-cosines, axis=1, kind="stable")[:, :k].astype(np.int64)
    # The k-th value first; of those equal to it the lowest columns are kept, which partitioning alone does not promise.
    bound = -np.partition(-cosines, k - 1, axis=1)[:, k - 1 : k]
    result = np.empty((len(cosines), k), np.int64)
    for row, (values, least) in enumerate(zip(cosines, bound, strict=True)):
        above = np.flatnonzero(values > least)
        equal = np.flatnonzero(values == least)[: k - len(above)]
        columns = np.sort(np.concatenate([above, equal]))
        result[row] = columns[np.argsort(-values[columns], kind="stable")]
    return result
