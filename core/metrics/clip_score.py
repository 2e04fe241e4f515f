"""CLIP-S and RefCLIP-S (Hessel et al. 2021, "CLIPScore"), and the same form of PAC-S (Sarto et al. 2023).

CLIP-S(x, c) = 2.5 · max(cos(image, "A photo depicts " + caption), 0).
RefCLIP-S(x, c) = harmonic mean of CLIP-S and max_r max(cos(caption, reference), 0); the second term has no factor 2.5,
as in the authors' own script. Other code multiplies it; the two must never be mixed.
PAC-S(x, c) = 2.0 · max(cos(image, "A photo depicts " + caption), 0) with vectors of an encoder whose projections were
tuned on generated positives. With any other encoder it is CLIP-S times 0.8 and tells nothing new.
Fit = 2.5 · cos(image, "A photo depicts " + caption): what CLIP-S is made of, and what orders and rewards captions.
Where true pairs have negative cosines (SigLIP), CLIP-S is 0 for all captions of a photo.
All functions take vectors of unit length and the cosines of such.
"""

from __future__ import annotations

import numpy as np

WEIGHT = 2.5
PAC_WEIGHT = 2.0


def fit(cosines: np.ndarray) -> np.ndarray:
    """2.5·cos, any shape: CLIP-S before what is negative becomes 0."""
    return WEIGHT * cosines


def clip_s(cosines: np.ndarray) -> np.ndarray:
    """CLIP-S from the cosines of images and captions, any shape."""
    return WEIGHT * np.maximum(cosines, 0.0)


def pac_s(cosines: np.ndarray) -> np.ndarray:
    """PAC-S from the cosines of images and captions, any shape, 0..2."""
    return PAC_WEIGHT * np.maximum(cosines, 0.0)


def row_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines ``[n]`` of matching unit rows of ``a`` and ``b``, both ``[n, dim]``."""
    return np.einsum("nd,nd->n", a, b)


def ref_clip_s(
    scores: np.ndarray, captions: np.ndarray, references: np.ndarray, reference_owner: np.ndarray
) -> np.ndarray:
    """RefCLIP-S ``[n]``; RefPAC-S where ``scores`` are PAC-S.

    ``scores`` ``[n]`` are the captions' CLIP-S, ``captions`` ``[n, dim]`` their unit text vectors, ``references``
    ``[m, dim]`` the references' (made with the same prompt), ``reference_owner[j]`` the caption that ``j`` belongs to.
    """
    best = np.zeros(len(captions))
    np.maximum.at(best, reference_owner, row_cosines(captions[reference_owner], references))
    total = scores + best
    return np.divide(2 * scores * best, total, out=np.zeros_like(total), where=total > 0)
