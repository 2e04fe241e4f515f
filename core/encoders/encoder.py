"""What every encoder of photos and sentences offers, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
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
