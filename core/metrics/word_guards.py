"""Two guards that need to know what kind of word a word is: lists of nouns, and words that nothing supports.

Both are rules over English word lists (:mod:`core.metrics.english`), not a part-of-speech tagger, which would be a
model of its own to install. Compare them between sets of captions; the figure alone says little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.english import ADJECTIVES, FUNCTION_WORDS, content_words, is_verb
from core.metrics.stemming import stem
from core.metrics.tokenize import tokenize

NOUNS_IN_A_ROW = 4


@dataclass(frozen=True)
class Unsupported:
    """A ``word`` of a caption that no seed has and that fits its own photo no better than photos on the average.

    ``own`` is the cosine of the word to the caption's photo, ``average`` its mean cosine to all photos at hand.
    """

    word: str
    own: float
    average: float


def is_noun_list(caption: str) -> bool:
    """Whether a caption reads like keywords: no verb or auxiliary, or four nouns in a row.

    A noun is, by rule, any word that is no function word, no listed adjective, no number and no verb.
    """
    words = tokenize(caption)
    in_a_row = longest = 0
    for word in words:
        other = word in FUNCTION_WORDS or word in ADJECTIVES or not word[0].isalpha() or is_verb(word)
        in_a_row = 0 if other else in_a_row + 1
        longest = max(longest, in_a_row)
    return longest >= NOUNS_IN_A_ROW or not any(map(is_verb, words))


def noun_list_rate(captions: Sequence[str]) -> float:
    """Share of captions that :func:`is_noun_list`, 0..1. People write noun phrases too: compare with the seeds'."""
    return float(np.mean([is_noun_list(caption) for caption in captions])) if captions else 0.0


def unseen_words(captions: Sequence[str], seeds: Sequence[str]) -> list[list[str]]:
    """For each caption its content words whose stem occurs in no seed, in order, each once."""
    known = {stem(word) for text in seeds for word in content_words(text)}
    return [list(dict.fromkeys(w for w in content_words(c) if stem(w) not in known)) for c in captions]


def unsupported_words(
    unseen: Sequence[Sequence[str]], vocabulary: Sequence[str], words: np.ndarray, images: np.ndarray
) -> list[list[Unsupported]]:
    """A list to review, for each caption: its ``unseen`` words whose cosine to its photo is not above their average.

    ``words`` ``[v, dim]`` are unit vectors of ``vocabulary``, ``images`` ``[n, dim]`` those of the captions' photos.
    The word's own average is the measure because words differ in how near they are to any photo. One photo alone has
    no average to differ from: every unseen word is listed.
    """
    place = {word: index for index, word in enumerate(vocabulary)}
    average = words @ images.mean(axis=0)
    found: list[list[Unsupported]] = []
    for image, said in zip(images, unseen, strict=True):
        rows = [(word, float(words[place[word]] @ image), float(average[place[word]])) for word in said]
        found.append([Unsupported(word, own, mean) for word, own, mean in rows if own <= mean + 1e-6])
    return found
