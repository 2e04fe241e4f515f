"""Text vectors of captions, each different one encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class TextEncoder(Protocol):
    """The half of an :class:`core.encoders.encoder.Encoder` that reads sentences."""

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Sentences to unit rows ``[n, dim]``."""
        ...


def text_vectors(encoder: TextEncoder, captions: Sequence[str], *, prompt: bool) -> np.ndarray:
    """Unit rows float32 ``[n, dim]``; ``prompt=True``: as scores are defined.

    Nothing is remembered from call to call: the last bit of a vector depends on what is encoded with it, and a training
    that was stopped must go on to the very same result.
    """
    different = list(dict.fromkeys(captions))
    place = {caption: i for i, caption in enumerate(different)}
    vectors = encoder.encode_texts(different, prompt=prompt)
    return vectors[[place[caption] for caption in captions]] if different else vectors
