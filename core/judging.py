"""A stage judged on photos that were no seeds: its captions against pictures, sentences of people, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.captioner.decoding import DecodingOptions, decode
from core.encoders.encoder import Encoder
from core.jobs import JobContext
from core.metrics.cider import cider_d
from core.metrics.clip_score import clip_s, row_cosines
from core.metrics.guards import guard_summary
from core.metrics.retrieval import ranks
from core.starter.scenes import Scene
from core.starter.truth import score_truth


@dataclass(frozen=True)
class Judged:
    """The photos a stage is scored on: unit vectors ``[n, dim]``, sentences by people, the truth where it is known."""

    images: np.ndarray
    references: tuple[tuple[str, ...], ...]
    scenes: tuple[Scene, ...] | None


@dataclass(frozen=True)
class StageScores:
    """One row a photo, so that two stages can be compared photo by photo; :meth:`summary` has the means."""

    captions: tuple[str, ...]
    clip_s: np.ndarray
    reciprocal_rank: np.ndarray
    r1: float
    cider: np.ndarray
    truth: np.ndarray  # [n, 4]: true, claimed, told, total; empty without truth

    @property
    def precision(self) -> float | None:
        return _share(self.truth, 0, 1)

    @property
    def recall(self) -> float | None:
        return _share(self.truth, 2, 3)

    def summary(self) -> dict[str, float | None]:
        """Percentages for ``r1``, ``cider`` (times 100) and truth, 0..1 for ratios, CLIP-S as it is."""
        guards = guard_summary(self.captions)
        return {
            "clip_s": float(self.clip_s.mean()),
            "r1": self.r1,
            "mrr": float(self.reciprocal_rank.mean()),
            "cider": float(100 * self.cider.mean()) if len(self.cider) else None,
            "truth_precision": self.precision,
            "truth_recall": self.recall,
            "unique_ratio": guards["unique_ratio"],
            "rep2": guards["rep2"],
        }


def score_stage(captions: Sequence[str], judged: Judged, encoder: Encoder) -> StageScores:
    """Score ``captions[i]`` of photo i; CLIP-S with the encoder's prompt, retrieval among the judged photos without."""
    prompted = encoder.encode_texts(captions)
    plain = encoder.encode_texts(captions, prompt=False)
    found = ranks(plain @ judged.images.T, np.arange(len(captions)))
    truth = np.zeros((0, 4))
    if judged.scenes is not None:
        scores = [score_truth(text, scene) for text, scene in zip(captions, judged.scenes, strict=True)]
        truth = np.array([(s.true, s.claimed, s.told, s.total) for s in scores], float)
    return StageScores(
        tuple(captions),
        clip_s(row_cosines(prompted, judged.images)),
        found.reciprocal(),
        found.recall(1),
        cider_d(captions, judged.references) if all(judged.references) else np.zeros(0),
        truth,
    )


def _share(truth: np.ndarray, part: int, whole: int) -> float | None:
    if not len(truth):
        return None
    return float(100 * truth[:, part].sum() / max(1.0, truth[:, whole].sum()))


def caption_all(checkpoint: Path, encoder: Encoder, images: np.ndarray, ctx: JobContext) -> list[str]:
    """Greedy captions of unit vectors ``[n, dim]`` by the captioner in ``checkpoint``."""
    from core.captioner.checkpoint import load_captioner
    from core.captioner.torch_decoder import TorchDecoder

    captioner = load_captioner(checkpoint, encoder.fingerprint)
    options = DecodingOptions(method="greedy")
    found = decode(TorchDecoder(captioner), images, options, ctx)
    return [captioner.decode(hypotheses[0].tokens) for hypotheses in found]
