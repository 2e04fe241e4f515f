"""Cheap detectors of captions that please a scorer and nobody else: repeats, cut endings, one sentence for all."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from core.metrics.tokenize import tokenize

BAD_ENDINGS = frozenset(
    ["with", "in", "on", "of", "a", "at", "to", "for", "an", "this", "his", "her", "that", "the"]
)  # a sentence that ends with one of them was cut
COMMON_WORDS, STRUNG_IN_A_ROW = 20, 5


def repeats(words: Sequence[str], n: int) -> int:
    """How many n-grams repeat an earlier one of the same caption."""
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) - len(set(grams))


def immediate_repeats(words: Sequence[str]) -> int:
    """How often a word follows itself."""
    return sum(a == b for a, b in itertools.pairwise(words))


def ends_badly(words: Sequence[str]) -> bool:
    """Whether the last word leaves the sentence open; an empty caption does too."""
    return not words or words[-1] in BAD_ENDINGS


def common_words(sentences: Sequence[str]) -> frozenset[str]:
    """The 20 words that occur in most sentences: those that join the others, and what is spoken of most."""
    counts = Counter(word for text in sentences for word in set(tokenize(text)))
    return frozenset(sorted(counts, key=lambda word: (-counts[word], word))[:COMMON_WORDS])


def strung_rate(captions: Sequence[str], common: Collection[str]) -> float:
    """Share of captions, 0..1, that string words together as keywords are: five in a row none of which is ``common``.

    The guard of practice in place of nouns in a row (:func:`core.metrics.word_guards.noun_list_rate`), which takes
    lists of English words. People do it too: compare with their share, and with the same ``common``.
    """
    runs = [[len(list(run)) for rare, run in itertools.groupby(_rare(text, common)) if rare] for text in captions]
    return float(np.mean([max(one, default=0) >= STRUNG_IN_A_ROW for one in runs])) if captions else 0.0


def _rare(caption: str, common: Collection[str]) -> list[bool]:
    return [word not in common for word in tokenize(caption)]


def no_end_rate(finished: Sequence[bool]) -> float:
    """Share of captions that reached the token cap without an end token; ``finished[i]``: it came to its own end."""
    return float(1.0 - np.mean(finished)) if len(finished) else 0.0


def length_ratio(captions: Sequence[str], seeds: Sequence[str]) -> float:
    """Mean words of the captions over mean words of the seeds; outside 0.6..1.4 the length has drifted."""
    mean, wanted = (float(np.mean([len(tokenize(text)) for text in texts] or [0])) for texts in (captions, seeds))
    return mean / wanted if wanted else 0.0


def rep_n(captions: Sequence[str], n: int) -> np.ndarray:
    """``[captions]``: the share of a caption's n-grams that repeat an earlier one, 0..1; 0 where it has none."""
    rows = [tokenize(caption) for caption in captions]
    return np.array([repeats(words, n) / max(1, len(words) - n + 1) for words in rows])


def unique_ratio(captions: Sequence[str]) -> float:
    """Distinct captions per caption, 0..1; case, punctuation and spaces make no difference."""
    return len({tuple(tokenize(caption)) for caption in captions}) / max(1, len(captions))


def guard_summary(captions: Sequence[str]) -> dict[str, float]:
    """Every guard of a set of captions: shares in 0..1, ``length`` in words, ``vocabulary`` in distinct words."""
    if not captions:
        raise ValueError("there are no captions to judge")
    rows = [tokenize(caption) for caption in captions]
    return {
        "unique_ratio": unique_ratio(captions),
        "rep1": float(rep_n(captions, 1).mean()),
        "rep2": float(rep_n(captions, 2).mean()),
        "rep3": float(rep_n(captions, 3).mean()),
        "immediate_repeat": float(np.mean([immediate_repeats(words) > 0 for words in rows])),
        "bad_ending": float(np.mean([ends_badly(words) for words in rows])),
        "length": float(np.mean([len(words) for words in rows])),
        "vocabulary": float(len({word for words in rows for word in words})),
    }
