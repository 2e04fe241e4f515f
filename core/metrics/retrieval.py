"""Can a caption find its photo, and a photo its caption? Ranks, R@k, MRR.

Ties get the mean of the ranks they share, or a model that says the same of every photo would look perfect. R@k counts a
tie by the share of its places that lie within k, which is what breaking it at random would give on average: captions
that are all alike score exactly k/N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIE = 1e-6  # cosines closer than float32 rounding are equal


@dataclass(frozen=True)
class Ranks:
    """For each query, how many of the gallery are nearer than its own and how many are equally near (own left out)."""

    better: np.ndarray
    tied: np.ndarray

    @property
    def mean_rank_of_ties(self) -> np.ndarray:
        """``[n]`` ranks from 1; halves where an odd number is tied."""
        return 1.0 + self.better + self.tied / 2.0

    def hits(self, k: int) -> np.ndarray:
        """``[n]`` in 0..1: the chance that its own is among the first ``k``, ties broken at random."""
        return np.clip((k - self.better) / (self.tied + 1.0), 0.0, 1.0)

    def recall(self, k: int) -> float:
        """R@k in percent."""
        return float(100.0 * self.hits(k).mean())

    def reciprocal(self) -> np.ndarray:
        """``[n]``: 1/rank; its mean is the MRR."""
        return 1.0 / self.mean_rank_of_ties

    def summary(self) -> dict[str, float]:
        """R@1, R@5, R@10 (percent), MRR (0..1), mean and median rank."""
        ranks = self.mean_rank_of_ties
        return {
            "r1": self.recall(1),
            "r5": self.recall(5),
            "r10": self.recall(10),
            "mrr": float(self.reciprocal().mean()),
            "mean_rank": float(ranks.mean()),
            "median_rank": float(np.median(ranks)),
        }


def ranks(similarities: np.ndarray, own: np.ndarray) -> Ranks:
    """Ranks of each row's own column: ``similarities`` ``[n, gallery]``, ``own`` ``[n]`` column indices."""
    target = np.take_along_axis(similarities, np.asarray(own)[:, None], axis=1)
    better = (similarities > target + TIE).sum(axis=1)
    near = (np.abs(similarities - target) <= TIE).sum(axis=1)
    return Ranks(better, near - 1)


def best_own_ranks(similarities: np.ndarray, owner: np.ndarray) -> Ranks:
    """Ranks of each photo's nearest own caption among the captions of the others.

    ``similarities`` ``[photos, captions]``; ``owner[j]`` is the photo of caption ``j``. This is the image-to-text
    protocol for several captions a photo: the photo's other captions are neither hits nor in the way.
    """
    own = np.asarray(owner)[None, :] == np.arange(len(similarities))[:, None]
    if not own.any(axis=1).all():
        raise ValueError("every photo needs at least one caption")
    target = np.where(own, similarities, -np.inf).max(axis=1, keepdims=True)
    others = np.where(own, -np.inf, similarities)
    return Ranks((others > target + TIE).sum(axis=1), (np.abs(others - target) <= TIE).sum(axis=1))


def bag_ranks(captions: np.ndarray, images: np.ndarray, bags: np.ndarray) -> Ranks:
    """Ranks of each caption's own photo among its look-alikes only; ``recall(1)`` is the bag accuracy in percent.

    ``captions`` and ``images`` are matching unit rows ``[n, dim]``; ``bags`` ``[n, k]`` the photo's nearest others by
    index, -1 where there are fewer. Chance is 1/(1 + others).
    """
    target = np.einsum("nd,nd->n", captions, images)
    better, tied = np.zeros(len(bags), np.int64), np.zeros(len(bags), np.int64)
    for column in bags.T:  # one at a time: all bags at once would hold every photo's vector k times
        there = column >= 0
        other = np.einsum("nd,nd->n", captions, images[np.maximum(column, 0)])
        better += there & (other > target + TIE)
        tied += there & (np.abs(other - target) <= TIE)
    return Ranks(better, tied)
