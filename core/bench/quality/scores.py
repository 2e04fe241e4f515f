"""Captions of the scored photos, judged: against people's sentences, by the encoder, by the judge, by the guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.bench.quality.material import Material, Photos
from core.metrics.bleu import BleuCounts, bleu_counts
from core.metrics.bootstrap import Difference, compare, paired_bootstrap
from core.metrics.cider import cider_d
from core.metrics.clip_score import clip_s, row_cosines
from core.metrics.guards import guard_summary
from core.metrics.retrieval import ranks


@dataclass(frozen=True)
class Scores:
    """A figure a photo, so that two rows are compared photo by photo. ``cider`` is CIDEr-D times 100, with document
    frequencies of the scored references; ``clip_s`` is of the encoder that gives rewards; ``r1``, ``r5`` (percent) and
    ``mrr`` are of the judge, in the gallery of all scored photos."""

    captions: tuple[str, ...]
    cider: np.ndarray
    bleu: BleuCounts
    clip_s: np.ndarray
    r1: np.ndarray
    r5: np.ndarray
    mrr: np.ndarray

    def summary(self) -> dict[str, float]:
        guards = guard_summary(self.captions)
        return {
            "cider": float(self.cider.mean()),
            "bleu4": 100 * float(self.bleu.bleu()[3]),
            "clip_s": float(self.clip_s.mean()),
            "r1": float(self.r1.mean()),
            "r5": float(self.r5.mean()),
            "mrr": float(self.mrr.mean()),
            **{name: guards[name] for name in ("unique_ratio", "rep2", "immediate_repeat", "bad_ending", "length")},
        }


def score(material: Material, dataset: str, photos: Photos, captions: Sequence[str]) -> Scores:
    """Score ``captions[i]`` of photo i of the dev split ``photos``."""
    encoder, judge = material.encoder, material.judge
    found = ranks(
        judge.texts(captions) @ judge.images(material.judge_features(dataset, "dev")).T, np.arange(len(photos))
    )
    return Scores(
        tuple(captions),
        100 * cider_d(captions, photos.references),
        bleu_counts(captions, photos.references),
        clip_s(row_cosines(encoder.encode_texts(captions), photos.vectors)),
        100 * found.hits(1),
        100 * found.hits(5),
        found.reciprocal(),
    )


def gain(name: str, before: Sequence[Scores], after: Sequence[Scores]) -> Difference:
    """``after`` minus ``before`` in one figure, photo by photo, each photo's figures averaged over the random seeds."""
    mean = lambda rows: np.mean([getattr(one, name) for one in rows], axis=0)  # noqa: E731
    return paired_bootstrap(mean(before), mean(after))


def share(part: Sequence[Scores], whole: Sequence[Scores], name: str = "cider") -> Difference:
    """The mean of ``part`` as a share of that of ``whole``, with its interval over photos."""
    a, b = (np.mean([getattr(one, name) for one in rows], axis=0) for rows in (part, whole))
    return compare(len(a), lambda rows: float(a[rows].mean() / max(1e-9, b[rows].mean())))
