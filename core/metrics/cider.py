"""CIDEr and CIDEr-D (Vedantam, Zitnick, Parikh 2015), as the COCO caption evaluation computes them.

g_n is the tf-idf vector of a sentence's n-grams, with raw counts as term frequency and
idf = log(number of photos) - log(max(1, photos one of whose references has the n-gram)). The document frequencies are
those of the references scored unless others are given; values with different frequencies must not be compared.

CIDEr-D(c) = 10/m · sum_r exp(-(l_c - l_r)^2 / (2 · 6^2))
             · 1/4 · sum_{n=1..4} min(g_n(c), g_n(r))·g_n(r) / (|g_n(c)| |g_n(r)|)

CIDEr leaves out the clipping (min) and the length penalty. Words are not stemmed. The factor 10 is part of a caption's
score; reports print 100 times the mean of it, as papers do ("108.35"). What papers call CIDEr on COCO is CIDEr-D.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.document_frequencies import DocumentFrequencies, frequencies_of
from core.metrics.ngrams import MAX_N, Ngram, count_ngrams, require_pairs
from core.metrics.tokenize import tokenize

SIGMA = 6.0
SCALE = 10.0


@dataclass(frozen=True)
class TfIdf:
    """The weights of a sentence's n-grams, n = 1..4 in one table, the norm for each n, and its words."""

    weights: dict[Ngram, float]
    norms: tuple[float, ...]
    length: int


class NgramSpace:
    """Where sentences are vectors of weighted n-grams; one space for all that are compared."""

    def __init__(self, frequencies: DocumentFrequencies) -> None:
        self.label = frequencies.label
        self._unseen = frequencies.log_photos
        self._idf = frequencies.idf()

    def vector(self, sentence: str) -> TfIdf:
        return self.weigh(*_count(sentence))

    def weigh(self, counts: Counter[Ngram], length: int) -> TfIdf:
        """The vector of a sentence of ``length`` words with these n-grams."""
        weights = {ngram: count * self._idf.get(ngram, self._unseen) for ngram, count in counts.items()}
        squares = [0.0] * MAX_N
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight * weight
        return TfIdf(weights, tuple(math.sqrt(square) for square in squares), length)


def similarity(caption: TfIdf, reference: TfIdf, *, clip_and_penalise: bool) -> float:
    """Mean cosine over n = 1..4, 0..1; ``clip_and_penalise``: as CIDEr-D, which is not symmetric."""
    products = [0.0] * MAX_N
    for ngram, weight in caption.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            products[len(ngram) - 1] += (min(weight, other) if clip_and_penalise else weight) * other
    total = 0.0
    for product, norm, other_norm in zip(products, caption.norms, reference.norms, strict=True):
        if norm and other_norm:
            total += product / (norm * other_norm)
    if clip_and_penalise:
        total *= math.exp(-((caption.length - reference.length) ** 2) / (2 * SIGMA**2))
    return total / MAX_N


class CiderD:
    """Scores captions against fixed references; built once, then cheap enough to be a reward.

    ``references[i]`` holds the references of photo ``i``; ``frequencies`` are those of the references where none are
    given. ``clip_and_penalise=False`` makes it the original CIDEr.
    """

    def __init__(
        self,
        references: Sequence[Sequence[str]],
        *,
        frequencies: DocumentFrequencies | None = None,
        clip_and_penalise: bool = True,
    ) -> None:
        if any(len(group) == 0 for group in references):
            raise ValueError("every photo needs at least one reference")
        counted = [[_count(sentence) for sentence in group] for group in references]
        self._space = NgramSpace(frequencies or frequencies_of([counts for counts, _ in group] for group in counted))
        self._clip = clip_and_penalise
        self._references = [[self._space.weigh(counts, length) for counts, length in group] for group in counted]

    def __len__(self) -> int:
        return len(self._references)

    @property
    def label(self) -> str:
        """Where the document frequencies come from."""
        return self._space.label

    def score(self, captions: Sequence[str], photos: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """``[n]`` scores in 0..10. ``photos[j]`` is the photo that ``captions[j]`` is about (default: photo ``j``)."""
        owners = range(len(captions)) if photos is None else [int(photo) for photo in photos]
        if len(captions) != len(owners):
            raise ValueError(f"{len(captions)} captions but {len(owners)} photos")
        known = {caption: self._space.vector(caption) for caption in set(captions)}
        return np.array([self._one(known[c], self._references[p]) for c, p in zip(captions, owners, strict=True)])

    def _one(self, caption: TfIdf, references: list[TfIdf]) -> float:
        values = [similarity(caption, reference, clip_and_penalise=self._clip) for reference in references]
        return SCALE * sum(values) / len(values)


def cider_d(
    captions: Sequence[str], references: Sequence[Sequence[str]], frequencies: DocumentFrequencies | None = None
) -> np.ndarray:
    """CIDEr-D of each caption, ``[n]``, in 0..10; ``references[i]`` belongs to ``captions[i]``."""
    require_pairs(captions, references)
    return CiderD(references, frequencies=frequencies).score(captions)


def cider(
    captions: Sequence[str], references: Sequence[Sequence[str]], frequencies: DocumentFrequencies | None = None
) -> np.ndarray:
    """The original CIDEr of each caption, ``[n]``, in 0..10: no clipping, no length penalty."""
    require_pairs(captions, references)
    return CiderD(references, frequencies=frequencies, clip_and_penalise=False).score(captions)


def _count(sentence: str) -> tuple[Counter[Ngram], int]:
    words = tokenize(sentence)
    return count_ngrams(words), len(words)
