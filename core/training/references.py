"""The captions that people wrote of labelled photos, in the form in which rewards compare with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.metrics.cider import CiderD
from core.metrics.clip_score import ref_clip_s
from core.training.texts import TextEncoder, text_vectors


class References:
    """Scores captions against the references of their own photo; a photo without any gives 0.

    A constant for all captions of a photo moves none of them: such a photo takes no part in what is learned from
    references.
    """

    def __init__(self, captions: Sequence[Sequence[str]], encoder: TextEncoder) -> None:
        """``captions[i]`` are those of labelled photo ``i``; ``encoder`` the one that scores."""
        self._cider = CiderD(captions)
        self._vectors = text_vectors(encoder, [one for group in captions for one in group], prompt=True)
        ends = np.cumsum([len(group) for group in captions]).tolist()
        self._rows = [np.arange(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def cider_d(self, captions: Sequence[str], labelled: np.ndarray) -> np.ndarray:
        """CIDEr-D ``[n]`` in 0..10. ``labelled`` ``[n]``: which labelled photo each is about, -1 where none."""
        scores, known = np.zeros(len(captions)), np.flatnonzero(labelled >= 0).tolist()
        scores[known] = self._cider.score([captions[i] for i in known], labelled[known])
        return scores

    def ref_clip_s(self, clip_s: np.ndarray, texts: np.ndarray, labelled: np.ndarray) -> np.ndarray:
        """RefCLIP-S ``[n]`` of captions with these CLIP-S ``[n]`` and unit text vectors ``[n, dim]``."""
        scores, known = np.zeros(len(texts)), np.flatnonzero(labelled >= 0).tolist()
        rows = [self._rows[int(photo)] for photo in labelled[known]]
        if rows:
            owner = np.repeat(np.arange(len(known)), [len(one) for one in rows])
            references = self._vectors[np.concatenate(rows)]
            scores[known] = ref_clip_s(clip_s[known], texts[known], references, owner)
        return scores
