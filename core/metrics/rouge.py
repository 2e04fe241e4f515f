"""ROUGE-L of captions, as the COCO caption evaluation defines it.

Lin 2004, longest common subsequence: the best precision and the best recall over the references, each for itself,
joined in an F-measure with beta = 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.metrics.ngrams import require_pairs
from core.metrics.tokenize import tokenize

BETA = 1.2


def rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """A score in 0..1 for each caption, ``[n]``; the corpus score is the mean."""
    require_pairs(captions, references)
    pairs = zip(captions, references, strict=True)
    return np.array([_score(tokenize(caption), [tokenize(r) for r in group]) for caption, group in pairs])


def _score(caption: list[str], references: list[list[str]]) -> float:
    common = [longest_common_subsequence(caption, reference) for reference in references]
    precision = max(common) / len(caption) if caption else 0.0
    recall = max((c / len(r) for c, r in zip(common, references, strict=True) if r), default=0.0)
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Its length, by Hyyrö's bit-parallel recurrence: one machine word stands for a column of the usual table."""
    if not a or not b:
        return 0
    positions: dict[str, int] = {}
    for index, word in enumerate(a):
        positions[word] = positions.get(word, 0) | 1 << index
    mask = (1 << len(a)) - 1
    state = mask
    for word in b:
        matched = state & positions.get(word, 0)
        state = (state + matched | state - matched) & mask
    return len(a) - state.bit_count()
