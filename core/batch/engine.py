"""From pictures to captions with an open bundle: encode, decode, score; and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from core.batch.records import Candidate
from core.captioner.decoding import DecodingOptions, Hypothesis, decode
from core.captioner.rerank import rerank_scores
from core.images.preprocess import normalised
from core.jobs import JobContext
from core.metrics.clip_score import clip_s, fit
from core.onnx.session import Bundle

PARTS = ("wait", "encode", "generate", "score")
WROTE_NOTHING = "The model wrote no words for this photo."
NOT_FINITE = "The model came to no usable numbers for this photo; a bundle in fp32 may."


@dataclass
class Timers:
    """Seconds spent waiting for decoded photos, encoding them, generating captions, scoring, and writing."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("wait", "encode", "generate", "score"), 0.0)
    )

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start

    @property
    def busy(self) -> float:
        """Seconds in which the model ran."""
        return sum(seconds for what, seconds in self.seconds.items() if what != "wait")

    def shares(self) -> dict[str, float]:
        """Each part's share of all measured time, 0..1."""
        total = sum(self.seconds.values()) or 1.0
        return {name: value / total for name, value in self.seconds.items()}


class CaptionEngine:
    """Captions pictures with one bundle and one set of options.

    ``by_score``: candidates are ordered by 2.5·cos + ``fluency`` · mean log p, not by the model's own probability.
    ``keep``: so many of them are given back (default: all).
    """

    def __init__(
        self,
        bundle: Bundle,
        options: DecodingOptions,
        *,
        by_score: bool,
        fluency: float = 0.0,
        keep: int | None = None,
    ) -> None:
        self.bundle, self.options, self.by_score = bundle, options, by_score
        self._fluency, self._keep = fluency, keep
        self.timers = Timers()

    def embed(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Unit rows ``[n, dim]`` of pictures uint8 ``[H, W, 3]`` (:func:`core.images.preprocess.square`)."""
        if not pixels:
            return np.zeros((0, self._dim), np.float32)
        with self.timers.of("encode"):
            encoder = self.bundle.encoder
            return encoder.encode_images(normalised(np.stack(pixels), encoder.preprocess))

    def caption(
        self, vectors: np.ndarray, seeds: Sequence[int], ctx: JobContext
    ) -> tuple[list[tuple[Candidate, ...]], np.ndarray]:
        """Candidates of each photo, best first, and the text vector ``[n, dim]`` of the first of each (0 where none).

        ``seeds``: a number for each photo that decides what is sampled for it, whatever else is in the batch.
        """
        if not len(vectors):
            return [], np.zeros((0, self._dim), np.float32)
        with self.timers.of("generate"):
            found = decode(self.bundle.decoder, vectors, self.options, ctx, row_seeds=seeds)
        ctx.check_cancelled()
        texts: list[dict[str, Hypothesis]] = []
        for hypotheses in found:
            spelled: dict[str, Hypothesis] = {}
            for hypothesis in hypotheses:
                text = self.bundle.text(hypothesis.tokens)
                if text:
                    spelled.setdefault(text, hypothesis)
            texts.append(spelled)
        with self.timers.of("score"):
            return self._scored(texts, vectors)

    @property
    def _dim(self) -> int:
        return self.bundle.encoder.dim

    def _scored(
        self, texts: Sequence[dict[str, Hypothesis]], images: np.ndarray
    ) -> tuple[list[tuple[Candidate, ...]], np.ndarray]:
        flat = [text for spelled in texts for text in spelled]
        text_vectors = self.bundle.encoder.encode_texts(flat)
        firsts = np.zeros((len(texts), self._dim), np.float32)
        results: list[tuple[Candidate, ...]] = []
        at = 0
        for row, spelled in enumerate(texts):
            own = text_vectors[at : at + len(spelled)]
            at += len(spelled)
            cosines = own @ images[row]
            averages = np.array([one.average for one in spelled.values()])
            wanted = rerank_scores(fit(cosines), averages, self._fluency)
            order = (np.argsort(-wanted, kind="stable") if self.by_score else np.arange(len(spelled)))[: self._keep]
            pairs, scores = list(spelled.items()), clip_s(cosines)
            results.append(
                tuple(Candidate(pairs[i][0], float(scores[i]), pairs[i][1].log_prob, float(averages[i])) for i in order)
            )
            if len(order):
                firsts[row] = own[order[0]]
        return results, firsts
