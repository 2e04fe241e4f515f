"""Judging a captioner on photos it never learned from: greedy captions, CLIP-S, can they find their photo, guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from core.captioner.captioner import Captioner, pad
from core.captioner.decoding import DecodingOptions, Hypothesis, decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.encoder import Encoder
from core.jobs import JobContext
from core.metrics.cider import CiderD
from core.metrics.clip_score import clip_s, fit
from core.metrics.guards import guard_summary, no_end_rate
from core.metrics.retrieval import ranks
from core.training.data import CaptionedVectors, TrainingData
from core.training.texts import text_vectors

_ROWS = 64


@dataclass(frozen=True)
class Evaluation:
    """Captions of the judged photos with a row of figures each, so that two models compare photo by photo."""

    captions: tuple[str, ...]
    fit: np.ndarray  # [n] 2.5·cos, what models are compared by
    reciprocal_rank: np.ndarray  # [n]
    hit: np.ndarray  # [n] found first, 0..1
    cider: np.ndarray  # [held-out seeds], times 100; empty without them
    values: Mapping[str, float]

    @property
    def clip_s(self) -> np.ndarray:
        """What is shown of :attr:`fit`, ``[n]``: 0 where that is negative."""
        return np.maximum(self.fit, 0.0)

    def merit(self, sharpness: float) -> np.ndarray:
        """What stage 2 is to raise, ``[n]``: the fit, by the starter's scale, and how the photo is found."""
        return sharpness * self.fit + self.reciprocal_rank


class Judge:
    """Evaluates captioners on the same photos, with the same scorer and the same idea of plain English.

    ``reference`` is the captioner before any training here: captions are checked for fluency by how likely it finds
    them for a photo of nothing in particular (the mean vector), so that only the wording counts.
    """

    def __init__(
        self, data: TrainingData, encoder: Encoder, reference: Captioner, max_tokens: int, ctx: JobContext
    ) -> None:
        self._held_seeds = data.held_seeds
        self._own = (data.held_seeds if len(data.held_seeds) else data.seeds).pairs()[1]
        judged = data.judged_images
        self.on_practice = len(judged) == 0  # nothing could be held out
        self._images = data.practice_images if self.on_practice else judged
        self._encoder, self._reference, self._ctx = encoder, reference, ctx
        # Failures must show: what decoding for people prevents (repeats) is allowed here.
        self._options = DecodingOptions(method="greedy", max_tokens=max_tokens, no_repeat_ngram=0)
        self._nothing = data.nothing
        self._cider = CiderD(self._held_seeds.captions) if len(self._held_seeds) else None
        self._samples = data.sample_photos()

    @property
    def images(self) -> np.ndarray:
        """The judged photos, unit rows ``[n, dim]``: the held-out seeds first."""
        return self._images

    @cached_property
    def seed_nll(self) -> float | None:
        """How unusual the person's own captions are, as ``fluency_nll`` is of a model's; those held out where there are
        any, ``None`` where there is no caption."""
        return self._fluency(self._own) if self._own else None

    @property
    def options(self) -> DecodingOptions:
        return self._options

    def __call__(self, captioner: Captioner, seen: np.ndarray | None = None) -> Evaluation:
        """``seen``: the judged photos, unit rows ``[n, dim]``, as the captioner's own encoder sees them, where that is
        another one than judges here."""
        images = self._images if seen is None else seen
        found = self._captions(captioner, images)
        captions = [captioner.decode(one.tokens) for one in found]
        judged = self.of_captions(captions, [one.finished for one in found])
        if not len(self._held_seeds):
            return judged
        held = replace(self._held_seeds, images=images[: len(self._held_seeds)])
        nll, word_nll = caption_nll(captioner, held)
        return replace(judged, values={**judged.values, "nll": nll, "word_nll": word_nll})

    def of_captions(self, captions: Sequence[str], finished: Sequence[bool]) -> Evaluation:
        """The same for captions however they were made: one for each of the first judged photos, not one too many."""
        texts = text_vectors(self._encoder, captions, prompt=True)
        similarities = texts @ self._images.T
        own = np.arange(len(captions))
        place = ranks(similarities, own)
        cosines = similarities[own, own]
        cider = np.zeros(0)
        if self._cider is not None and not self.on_practice:
            cider = 100 * self._cider.score(list(captions[: len(self._held_seeds)]))
        values = {
            "clip_s": float(clip_s(cosines).mean()),
            **{name: value for name, value in place.summary().items() if name in ("r1", "r5", "mrr")},
            **guard_summary(captions),
            "no_end": no_end_rate(finished),
            "fluency_nll": self._fluency(captions),
        }
        if len(cider):
            values["cider"] = float(cider.mean())
        return Evaluation(tuple(captions), fit(cosines), place.reciprocal(), place.hits(1), cider, values)

    def samples(self, captioner: Captioner) -> tuple[tuple[int, str], ...]:
        """Captions of the sample photos, for people to watch."""
        ids, images = self._samples
        found = self._captions(captioner, images)
        return tuple((int(one), captioner.decode(h.tokens)) for one, h in zip(ids, found, strict=True))

    def _captions(self, captioner: Captioner, images: np.ndarray) -> list[Hypothesis]:
        return [best for best, *_ in decode(TorchDecoder(captioner), images, self._options, self._ctx)]

    @torch.no_grad()
    def _fluency(self, captions: Sequence[str]) -> float:
        """Nats per token of the captions for the reference that sees nothing in particular."""
        rows = self._reference.encode(captions, self._reference.max_tokens)
        nothing = torch.from_numpy(self._nothing.astype(np.float32))
        losses = []
        for start in range(0, len(rows), _ROWS):
            ids = pad(rows[start : start + _ROWS]).to(self._reference.device)
            losses.append(self._reference.token_losses(nothing.expand(len(ids), -1).to(ids.device), ids))
        return float(torch.cat(losses).mean())


@torch.no_grad()
def caption_nll(captioner: Captioner, photos: CaptionedVectors) -> tuple[float, float]:
    """Nats a token of people's captions of ``photos``, the end token included, and nats a word.

    Tokens of two language models are not alike; words are the same for all of them.
    """
    owner, captions = photos.pairs()
    rows = captioner.encode(captions, captioner.max_tokens)
    losses = []
    for start in range(0, len(rows), _ROWS):
        ids = pad(rows[start : start + _ROWS]).to(captioner.device)
        images = torch.from_numpy(photos.images[owner[start : start + _ROWS]]).to(captioner.device)
        losses.append(captioner.token_losses(images, ids))
    nats = torch.cat(losses)
    words = sum(len(caption.split()) for caption in captions)
    return float(nats.mean()), float(nats.sum()) / max(1, words)
