"""Text vectors by caption: a policy says the same things again and again, each is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from core.encoders.encoder import Encoder


class CaptionVectors:
    """Remembers the vectors of the ``limit`` captions used last. ``prompt=True``: as scores are defined."""

    def __init__(self, encoder: Encoder, *, prompt: bool, limit: int = 50_000) -> None:
        self._encoder, self._prompt, self._limit = encoder, prompt, limit
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()

    def __call__(self, captions: Sequence[str]) -> np.ndarray:
        """Unit rows float32 ``[n, dim]``."""
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode_texts(new, prompt=self._prompt), strict=True))
        for caption in captions:
            self._known.move_to_end(caption)
        result = np.stack([self._known[c] for c in captions]) if captions else np.zeros((0, self._encoder.dim))
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return result.astype(np.float32, copy=False)
