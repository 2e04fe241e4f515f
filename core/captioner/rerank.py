"""Choosing among what a model could say of a photo: how well it fits the photo, and how natural the model finds it."""

from __future__ import annotations

import numpy as np

CONSIDERED = 5
"""Captions a photo among which one is chosen where a person asks for more or less distinctive ones."""
FLUENCY_WEIGHT = 0.3
"""In the middle: what a nat per token weighs against CLIP-S by the starter's encoder."""


def fluency_weight(distinctive: float, sharpness: float) -> float:
    """What a nat per token weighs, for a wish from 0 (the most natural wording) to 1 (the fit to the photo alone).

    ``sharpness``: of the encoder that gives the fit, by :func:`core.encoders.encoder.sharpness`. Where smaller
    differences of cosines mean as much, a nat weighs less against them.
    """
    return 2 * FLUENCY_WEIGHT * (1 - distinctive) / sharpness


def order(fit: np.ndarray, mean_log_probs: np.ndarray, weight: float) -> np.ndarray:
    """Indices ``[n]`` of captions of one photo, best first, by :func:`rerank_scores`; ties stay."""
    return np.argsort(-rerank_scores(fit, mean_log_probs, weight), kind="stable")


def rerank_scores(fit: np.ndarray, mean_log_probs: np.ndarray, weight: float) -> np.ndarray:
    """``fit`` + ``weight`` · mean log p, any shape; higher is better. ``fit``: 2.5·cos, not CLIP-S, in which captions
    with negative cosines tie; ``mean_log_probs`` in nats per token."""
    return fit + weight * mean_log_probs
