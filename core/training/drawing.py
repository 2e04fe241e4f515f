"""How many captions are drawn before practice, as sentences for the mapper; no torch.

:mod:`core.training.sentences` draws them, :mod:`core.training.time_left` says beforehand how long that takes.
"""

from __future__ import annotations

SAMPLES = 4
"""Captions drawn of a photo."""
MOST_OF_A_LARGE_LM = 1500
"""On a processor, where a published model draws some ten a second on two cores."""


def of_people(most: int, captions: int) -> int:
    """How many of so many captions by people are among ``most`` sentences: half of these at most."""
    return min(most // 2, captions)


def photos_to_draw(most: int, captions: int, photos: int, *, slowly: bool) -> int:
    """Of how many of ``photos`` without captions the rest of ``most`` sentences is drawn; ``slowly``: by a large
    language model on a processor."""
    rest = most - of_people(most, captions)
    if slowly:
        rest = min(rest, MOST_OF_A_LARGE_LM)
    return min(photos, -(-rest // SAMPLES))
