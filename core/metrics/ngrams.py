"""Counting n-grams, shared by the metrics that compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MAX_N = 4
Ngram = tuple[str, ...]


def count_ngrams(words: Sequence[str], max_n: int = MAX_N) -> Counter[Ngram]:
    """How often each n-gram of 1 to ``max_n`` words occurs."""
    counts: Counter[Ngram] = Counter()
    for n in range(1, max_n + 1):
        counts.update(zip(*(words[i:] for i in range(n)), strict=False))
    return counts


def require_pairs(captions: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    """Refuse a caption without references or the reverse: a programming error, not a person's."""
    if len(captions) != len(references):
        raise ValueError(f"{len(captions)} captions but {len(references)} sets of references")
    if any(len(group) == 0 for group in references):
        raise ValueError("every caption needs at least one reference")
