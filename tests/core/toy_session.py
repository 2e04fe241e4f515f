"""A decoder session without a model: logits are a fixed random function of the photo and the words so far."""

from __future__ import annotations

import itertools
import zlib

import numpy as np

from core.captioner.decoding import log_softmax


class ToySession:
    """``vocabulary`` tokens, the last one ends. ``rows_run`` lists how many rows each call ran."""

    def __init__(self, vocabulary: int = 4, sharpness: float = 2.0) -> None:
        self.vocabulary, self.sharpness = vocabulary, sharpness
        self.end_token_id = vocabulary - 1
        self.rows_run: list[int] = []

    def logits(self, photo: float, words: tuple[int, ...]) -> np.ndarray:
        seed = zlib.crc32(repr((round(float(photo), 3), words)).encode())
        return (self.sharpness * np.random.default_rng(seed).normal(size=self.vocabulary)).astype(np.float32)

    def prefill(self, embeddings):
        return self._run([(float(row[0]), ()) for row in embeddings])

    def step(self, cache, tokens):
        return self._run([(photo, (*words, int(t))) for (photo, words), t in zip(cache, tokens, strict=True)])

    def select(self, cache, rows):
        return [cache[int(row)] for row in rows]

    def _run(self, cache):
        self.rows_run.append(len(cache))
        return np.stack([self.logits(*one) for one in cache]), cache

    def score(self, photo: float, tokens: tuple[int, ...], finished: bool) -> float:
        """The log-probability of a whole caption, token by token."""
        sequence = (*tokens, self.end_token_id) if finished else tokens
        return sum(
            float(log_softmax(self.logits(photo, sequence[:i])[None])[0, token]) for i, token in enumerate(sequence)
        )

    def every_caption(self, max_tokens: int):
        """All token rows that can come out: ended ones of up to ``max_tokens`` with the end, and unfinished ones."""
        words = range(self.vocabulary - 1)
        for length in range(max_tokens):
            yield from ((tokens, True) for tokens in itertools.product(words, repeat=length))
        yield from ((tokens, False) for tokens in itertools.product(words, repeat=max_tokens))
