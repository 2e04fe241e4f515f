"""Text vectors of captions, each different one encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.encoders.encoder import Encoder


def text_vectors(encoder: Encoder, captions: Sequence[str], *, prompt: bool) -> np.ndarray:
    """Unit rows float32 ``[n, dim]``; ``prompt=True``: as scores are defined.

    Nothing is remembered from call to call: the last bit of a vector depends on what is encoded with it, and a training
    that was stopped must go on to the very same result.
    """
    different = list(dict.fromkeys(captions))
    place = {caption: i for i, caption in enumerate(different)}
    vectors = encoder.encode_texts(different, prompt=prompt)
    return vectors[[place[caption] for caption in captions]] if different else vectors
