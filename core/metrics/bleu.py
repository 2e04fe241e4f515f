"""BLEU-1 to BLEU-4 of a corpus, as the COCO caption evaluation defines them.

Papineni et al. 2002: modified n-gram precision, counts clipped by the maximum over the references and summed over the
corpus; brevity penalty from the summed closest reference lengths (of two equally close, the shorter).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.ngrams import MAX_N, Ngram, count_ngrams, require_pairs
from core.metrics.tokenize import tokenize

_TINY, _SMALL = 1e-15, 1e-9  # keep a precision of 0/0 finite, with the values of the reference implementation


@dataclass(frozen=True)
class BleuCounts:
    """What BLEU sums, a row per caption, so that any subset or resample of a corpus can be scored."""

    matches: np.ndarray  # [n, 4] clipped n-gram matches (or as many columns as n-gram lengths were counted)
    guesses: np.ndarray  # [n, 4] n-grams in the caption
    length: np.ndarray  # [n] words
    reference_length: np.ndarray  # [n] words of the closest reference

    def bleu(self, rows: np.ndarray | None = None) -> np.ndarray:
        """BLEU-1..4, each in 0..1, of the whole corpus or of ``rows`` (indices, repeats allowed)."""
        pick = slice(None) if rows is None else rows
        matches, guesses = self.matches[pick].sum(axis=0), self.guesses[pick].sum(axis=0)
        precision = (matches + _TINY) / (guesses + _SMALL)
        scores = np.cumprod(precision) ** (1.0 / np.arange(1, len(precision) + 1))
        ratio = (self.length[pick].sum() + _TINY) / (self.reference_length[pick].sum() + _SMALL)
        return scores * np.exp(1 - 1 / ratio) if ratio < 1 else scores


def bleu_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> BleuCounts:
    """Count each caption against its own references; ``references[i]`` belongs to ``captions[i]``."""
    require_pairs(captions, references)
    return count_words([tokenize(c) for c in captions], [[tokenize(r) for r in group] for group in references])


def count_words(captions: Sequence[list[str]], references: Sequence[Sequence[list[str]]]) -> BleuCounts:
    """The same of captions that are split into words already."""
    rows = [_row(caption, group) for caption, group in zip(captions, references, strict=True)]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 2 * MAX_N + 2)
    return BleuCounts(table[:, :MAX_N], table[:, MAX_N : 2 * MAX_N], table[:, -2], table[:, -1])


def sentence_bleu(counts: BleuCounts) -> np.ndarray:
    """BLEU of each caption alone with the longest n-grams counted, ``[n]`` in 0..1, not smoothed."""
    return np.array([counts.bleu(np.array([row]))[-1] for row in range(len(counts.length))])


def _row(caption: list[str], references: Sequence[list[str]]) -> list[int]:
    allowed: Counter[Ngram] = Counter()
    for reference in references:
        allowed |= count_ngrams(reference)
    closest = min((abs(len(r) - len(caption)), len(r)) for r in references)[1]
    return [*clipped_matches(caption, allowed, MAX_N), len(caption), closest]


def clipped_matches(caption: list[str], allowed: Mapping[Ngram, int], max_n: int) -> list[int]:
    """For n = 1..``max_n`` the matches, each n-gram at most as often as ``allowed``; then the n-grams there are."""
    matches = [0] * max_n
    for ngram, count in count_ngrams(caption, max_n).items():
        matches[len(ngram) - 1] += min(count, allowed.get(ngram, 0))
    return [*matches, *(max(0, len(caption) - n) for n in range(max_n))]
