"""What every encoder of photos and sentences offers, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.images.preprocess import Preprocess


class Encoder(Protocol):
    """Photos and sentences as vectors of one space; rows are L2-normalised float32.

    ``id`` is the model's name, ``fingerprint`` a sha256 of weights and preprocessing that vectors, checkpoints and
    bundles carry; ``prompt`` stands before a caption when it is scored.
    """

    id: str
    fingerprint: str
    dim: int
    preprocess: Preprocess
    prompt: str

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        """``[B, 3, H, W]`` float32, preprocessed, to unit rows ``[B, dim]``."""
        ...

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Sentences to unit rows ``[n, dim]``; ``prompt`` puts :attr:`prompt` before each of them."""
        ...


STARTER_SCALE = 22.146
"""What the starter multiplied cosines with when it learned to tell pairs apart; settings are written for it."""


def sharpness(encoder: Encoder) -> float:
    """How many times as much a difference of cosines means to ``encoder`` as to the starter, to two digits.

    By the scales that both learned with, whether by a softmax (CLIP, EVA, MobileCLIP: 100, so about 4.5) or pair by
    pair by a sigmoid (SigLIP: about 115, so about 5.2); 1 where an encoder does not say.
    """
    scale = getattr(encoder, "logit_scale", None)
    return 1.0 if scale is None else round(float(scale) / STARTER_SCALE, 2)


@dataclass(frozen=True)
class TooLong:
    """So many ``captions`` have more than ``reads`` tokens, which is what an encoder reads, prompt included."""

    captions: int = 0
    reads: int = 0

    def sentence(self, of: str = "", counts: str = "no score") -> str:
        """``of``: "of your ", where a person wrote them. Empty where there are none."""
        if not self.captions:
            return ""
        word = "captions" if of or self.captions != 1 else "caption"
        return (
            f"{self.captions:,} {of}{word} {'is' if self.captions == 1 else 'are'} longer than the encoder reads "
            f"({self.reads} word pieces); what comes after counts in {counts}."
        )


NONE_TOO_LONG = TooLong()


def too_long(encoder: Encoder, captions: Sequence[str]) -> TooLong:
    """How many of ``captions`` have more tokens than ``encoder`` reads; none where it cannot say."""
    count = getattr(encoder, "count_too_long", None)
    longer = 0 if count is None or not captions else count(captions)
    return TooLong(longer, getattr(encoder, "context_length", 0)) if longer else NONE_TOO_LONG


def said_too_long(encoder: Encoder, captions: Sequence[str]) -> str:
    """A sentence about captions that are learned from and have more tokens than ``encoder`` reads; empty where none
    has, or it cannot say."""
    return too_long(encoder, captions).sentence("of your ", "no score and no reward")
