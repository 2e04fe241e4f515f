"""The order of a photo's candidates: from the likeliest wording to what tells the photo apart, by what is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.captioner.rerank import fluency_weight, order
from core.library.records import CaptionRow

BY_SCORE = 1.0
"""The order where none was chosen: the best CLIP-S first."""


def can_be_ordered(captions: Sequence[CaptionRow]) -> bool:
    """Whether two of a photo's captions or more are candidates with all that an order needs."""
    return len(_places(captions)) > 1


def in_order(captions: Sequence[CaptionRow], distinctive: float, sharpness: float = 1.0) -> tuple[CaptionRow, ...]:
    """A photo's captions with its candidates in the order for a wish from 0 (the likeliest wording) to 1 (the score
    alone), as by :func:`core.captioner.rerank.fluency_weight`. ``sharpness``: of the encoder that scored them.
    Everything else stays in its place, and so does a candidate without a score or of which it is not known how likely
    it was."""
    places = _places(captions)
    chosen = [captions[place] for place in places]
    scores = np.array([one.score.fit if one.score else 0.0 for one in chosen])
    likely = np.array([one.mean_log_prob or 0.0 for one in chosen])
    ordered = list(captions)
    for place, at in zip(places, order(scores, likely, fluency_weight(distinctive, sharpness)), strict=True):
        ordered[place] = chosen[at]
    return tuple(ordered)


def _places(captions: Sequence[CaptionRow]) -> list[int]:
    return [
        at
        for at, one in enumerate(captions)
        if one.state == "candidate" and one.score is not None and one.mean_log_prob is not None
    ]
