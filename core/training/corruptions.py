"""Captions spoiled on purpose: what a grammar head learns to tell from real ones, without any annotation.

The five operations are those of Cho et al. 2022 (arXiv 2205.13115): repeat, delete, insert, swap, shuffle. A sixth
makes the word list that a similarity reward drifts to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.metrics.guards import BAD_ENDINGS

_LONGEST = 3
"""Words of what is repeated or deleted, times it is repeated, words inserted, pairs swapped: one to so many."""
_LITTLE_WORDS = BAD_ENDINGS | {
    "and", "are", "as", "be", "by", "from", "has", "have", "her", "into", "is", "it", "its", "near", "or", "over",
    "she", "some", "their", "there", "these", "they", "through", "under", "was", "were", "while", "who",
}  # fmt: skip
_MARKS = ".!?"


def corrupt(caption: str, vocabulary: Sequence[str], rng: np.random.Generator) -> str:
    """``caption`` spoiled by one of the five operations, chosen at random among those that change it.

    ``vocabulary``: words to insert. A capital at the beginning and a mark at the end stay where they were, so that
    they do not give the spoiled one away. An empty caption stays empty.
    """
    capital, words, mark = _taken_apart(caption)
    if not words:
        return caption
    operations: list[Callable[[], list[str]]] = [
        lambda: _repeated(words, rng),
        lambda: _shortened(words, rng),
        lambda: _filled(words, vocabulary or words, rng),
        lambda: _swapped(words, rng),
        lambda: [words[i] for i in rng.permutation(len(words))],
    ]
    for i in rng.permutation(len(operations)):
        spoiled = operations[i]()
        if spoiled != words:
            break
    else:
        spoiled = [*words, words[-1]]
    return _put_together(capital, spoiled, mark)


def word_list(caption: str) -> str:
    """The words of ``caption`` that carry meaning, one after the other ("dog park ball")."""
    capital, words, mark = _taken_apart(caption)
    kept = [word for word in words if word.lower() not in _LITTLE_WORDS]
    return _put_together(capital, kept or words, mark)


def vocabulary_of(captions: Sequence[str]) -> list[str]:
    """The different words of ``captions`` in alphabetical order, as :func:`corrupt` inserts them."""
    return sorted({word for caption in captions for word in _taken_apart(caption)[1]})


def _repeated(words: list[str], rng: np.random.Generator) -> list[str]:
    start, end = _some(words, rng)
    times = int(rng.integers(1, _LONGEST + 1))
    return words[:end] + times * words[start:end] + words[end:]


def _shortened(words: list[str], rng: np.random.Generator) -> list[str]:
    start, end = _some(words, rng)
    return (words[:start] + words[end:]) or words


def _filled(words: list[str], vocabulary: Sequence[str], rng: np.random.Generator) -> list[str]:
    filled = list(words)
    for _ in range(int(rng.integers(1, _LONGEST + 1))):
        filled.insert(int(rng.integers(len(filled) + 1)), str(vocabulary[int(rng.integers(len(vocabulary)))]))
    return filled


def _swapped(words: list[str], rng: np.random.Generator) -> list[str]:
    swapped = list(words)
    for _ in range(int(rng.integers(1, _LONGEST + 1))):
        a, b = rng.integers(len(swapped), size=2)
        swapped[a], swapped[b] = swapped[b], swapped[a]
    return swapped


def _some(words: list[str], rng: np.random.Generator) -> tuple[int, int]:
    """Where one to three words that follow each other begin and end."""
    length = min(int(rng.integers(1, _LONGEST + 1)), len(words))
    start = int(rng.integers(len(words) - length + 1))
    return start, start + length


def _taken_apart(caption: str) -> tuple[bool, list[str], str]:
    """Whether it begins with a capital that only stands for the beginning, its words, the mark at its end."""
    body = caption.strip()
    mark = body[-1] if body and body[-1] in _MARKS else ""
    words = body.removesuffix(mark).split()
    capital = bool(words) and words[0][:1].isupper() and not words[0][1:2].isupper()
    if capital:
        words[0] = words[0][:1].lower() + words[0][1:]
    return capital, words, mark


def _put_together(capital: bool, words: Sequence[str], mark: str) -> str:
    text = " ".join(words)
    return (text[:1].upper() + text[1:] if capital else text) + mark
