"""The figures that a report prints for captions with references; the one place that says what is scaled how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.bleu import bleu_counts
from core.metrics.bootstrap import Interval, bootstrap, bootstrap_mean
from core.metrics.cider import cider, cider_d
from core.metrics.rouge import rouge_l


@dataclass(frozen=True)
class ReferenceScores:
    """All times 100, as papers print them. ``cider`` is CIDEr-D, ``cider_original`` the first definition, both with the
    document frequencies of the references scored."""

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    cider: float
    cider_original: float
    bleu4_interval: Interval
    cider_interval: Interval


def reference_scores(captions: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0) -> ReferenceScores:
    """Score ``captions[i]`` against ``references[i]``; intervals from a bootstrap over the captions."""
    counts = bleu_counts(captions, references)
    bleu = 100 * counts.bleu()
    cider_rows = 100 * cider_d(captions, references)
    return ReferenceScores(
        bleu1=float(bleu[0]),
        bleu2=float(bleu[1]),
        bleu3=float(bleu[2]),
        bleu4=float(bleu[3]),
        rouge_l=float(100 * rouge_l(captions, references).mean()),
        cider=float(cider_rows.mean()),
        cider_original=float(100 * np.mean(cider(captions, references))),
        bleu4_interval=bootstrap(len(captions), lambda rows: float(100 * counts.bleu(rows)[3]), seed=seed),
        cider_interval=bootstrap_mean(cider_rows, seed=seed),
    )
