"""FineCapEval (Cho et al. 2022, "Fine-grained image captioning with CLIP reward"): are the details said?

For each criterion and photo i with phrases P_i of all its annotators:

    score_i = 1/|P_i| · sum_{phrase p} #{stems of p that occur in the caption} / #{stems of p}

and the figure is 100 · the mean over photos. Phrases are lower case, split into words, stemmed, other characters than
letters and digits dropped. How a stem "occurs" has three readings, told apart in every report:

* ``published``: the stem is a substring of the caption as it is, lower case. So the authors' script does it; "happi",
  the stem of "happy", is not found in "happy", and "cat" is found in "cattle".
* ``substring``: the stem is a substring of the caption's stems, joined by spaces.
* ``token``: the stem is one of the caption's stems.

Recall only: long captions and lists win. Length and :attr:`FineScores.precision` stand beside it for that reason. The
"overall" criterion of the paper is the usual text metrics against the annotators' captions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.metrics.english import content_words
from core.metrics.stemming import stem
from core.metrics.tokenize import tokenize

Matching = Literal["published", "substring", "token"]
MATCHINGS: tuple[Matching, ...] = ("published", "substring", "token")
CRITERIA = ("background", "object", "relation")
_OTHER = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True)
class FineRow:
    """What one annotator wrote about a photo: a caption, and phrases for each of :data:`CRITERIA`."""

    image: str
    caption: str
    phrases: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class FineScores:
    """``recall[matching][criterion]`` in percent; ``precision`` in percent: the share of a caption's content words
    that any annotator's caption or phrase has (stems); ``length``, ``annotated_length``: mean words of the captions
    scored and of the annotators'."""

    photos: int
    rows: int
    recall: Mapping[Matching, Mapping[str, float]]
    precision: float
    length: float
    annotated_length: float


def fine_scores(captions: Mapping[str, str], rows: Sequence[FineRow]) -> FineScores:
    """Score ``captions``, by photo, against all rows of these photos; rows of other photos are left out."""
    by_photo: dict[str, list[FineRow]] = {}
    for row in rows:
        if row.image in captions:
            by_photo.setdefault(row.image, []).append(row)
    if not by_photo:
        raise ValueError("no photo has both a caption and a row")
    recall: dict[Matching, dict[str, float]] = {}
    for matching in MATCHINGS:
        recall[matching] = {}
        for criterion in CRITERIA:
            values = [
                phrase_recall([p for row in group for p in row.phrases[criterion]], captions[image], matching)
                for image, group in by_photo.items()
            ]
            recall[matching][criterion] = float(100 * np.mean(values))
    scored = [row for group in by_photo.values() for row in group]
    return FineScores(
        photos=len(by_photo),
        rows=len(scored),
        recall=recall,
        precision=float(100 * np.mean([_precision(captions[image], group) for image, group in by_photo.items()])),
        length=float(np.mean([len(tokenize(captions[image])) for image in by_photo])),
        annotated_length=float(np.mean([len(tokenize(row.caption)) for row in scored])),
    )


def phrase_recall(phrases: Sequence[str], caption: str, matching: Matching) -> float:
    """score_i of the module's formula, 0..1. Without phrases 0, as the authors' script has it; a phrase without a
    letter or digit counts as one that is not found."""
    if not phrases:
        return 0.0
    said = stems(caption)
    held: str | set[str] = {"published": caption.lower(), "substring": " ".join(said), "token": set(said)}[matching]
    total = 0.0
    for phrase in phrases:
        wanted = stems(phrase)
        total += sum(word in held for word in wanted) / max(1, len(wanted))
    return total / len(phrases)


def stems(text: str) -> list[str]:
    """The stems of a text in order, letters and digits only; empty ones dropped."""
    plain = (_OTHER.sub("", stem(word)) for word in tokenize(text))
    return [word for word in plain if word]


def _precision(caption: str, rows: Sequence[FineRow]) -> float:
    said = set(stems(" ".join(content_words(caption))))
    known: set[str] = set()
    for row in rows:
        known.update(stems(row.caption))
        known.update(word for group in row.phrases.values() for phrase in group for word in stems(phrase))
    return len(said & known) / len(said) if said else 0.0
