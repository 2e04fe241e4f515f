"""In how many photos an n-gram is said: what CIDEr weighs words by.

idf(n-gram) = log(photos) - log(max(1, photos one of whose references has it)); Vedantam, Zitnick, Parikh 2015, as the
COCO caption evaluation computes it. They come from the references that are scored, or from a larger corpus, so that
figures of small sets can be compared with each other. The two are different metrics: a figure is only worth something
together with the :attr:`DocumentFrequencies.label` of the frequencies behind it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.metrics.ngrams import Ngram, count_ngrams
from core.metrics.tokenize import tokenize


@dataclass(frozen=True)
class DocumentFrequencies:
    """``photos``: how many photos were counted; ``counts``: n-gram of 1 to 4 words to how many of them have it.

    An n-gram of one photo weighs the same as one never seen, so ``counts`` may leave it out.
    """

    label: str
    photos: int
    counts: Mapping[Ngram, int]

    @property
    def log_photos(self) -> float:
        """The idf of an n-gram that no photo has, or one."""
        return math.log(max(1, self.photos))

    def idf(self) -> dict[Ngram, float]:
        """The weight of each n-gram in :attr:`counts`; all others weigh :attr:`log_photos`."""
        return {ngram: self.log_photos - math.log(photos) for ngram, photos in self.counts.items()}


def label_of_scored(photos: int) -> str:
    """How reports name the frequencies of the references that are scored."""
    return f"the references scored, {photos:,} photos"


def count_documents(references: Sequence[Sequence[str]], label: str | None = None) -> DocumentFrequencies:
    """Count captions of people; ``references[i]`` are all those of photo ``i``."""
    return frequencies_of(([count_ngrams(tokenize(text)) for text in group] for group in references), label)


def frequencies_of(counted: Iterable[Sequence[Counter[Ngram]]], label: str | None = None) -> DocumentFrequencies:
    """The same from n-grams that are counted already, photo by photo."""
    counts: Counter[Ngram] = Counter()
    photos = 0
    for group in counted:
        photos += 1
        counts.update({ngram for caption in group for ngram in caption})
    return DocumentFrequencies(label or label_of_scored(photos), photos, counts)
