"""How much likelier a caption makes its own photo than the others of a batch.

log p(x_i | c_i) = s·S_ii - log sum_j exp(s·S_ij), S the cosines of captions (rows) and photos (columns), s the
temperature's inverse, about 100 in CLIP (Dessì et al. 2023, "Cross-domain image captioning with discriminative
finetuning"). It depends on the number of photos: alike captions get log(1/N).
"""

from __future__ import annotations

import numpy as np

SCALE = 100.0
CLAMP = 16.0


def log_p_own_photo(similarities: np.ndarray, scale: float = SCALE) -> np.ndarray:
    """``[n]`` nats, at most 0, of ``similarities`` ``[n, n]``: captions are rows, caption i is of photo i."""
    scaled = scale * np.asarray(similarities, np.float64)
    return np.diagonal(scaled) - log_sum_exp(scaled, axis=1)[:, 0]


def both_directions(similarities: np.ndarray, scale: float = SCALE) -> np.ndarray:
    """``[n]``: both directions averaged, own pair left out of the sums, at most 16, divided by the scale.

    The reward of Chaffin et al. 2024 ("Distinctive image captioning: leveraging ground truth captions in CLIP guided
    reinforcement learning"); needs two pairs. In units of a cosine: positive where the own pair beats all others.
    """
    scaled = scale * np.asarray(similarities, np.float64)
    if len(scaled) < 2:
        raise ValueError("a contrast needs two pairs")
    own = np.diagonal(scaled).copy()
    others = scaled.copy()
    np.fill_diagonal(others, -np.inf)
    to_photo = own - log_sum_exp(others, axis=1)[:, 0]
    to_caption = own - log_sum_exp(others, axis=0)[0]
    return np.minimum((to_photo + to_caption) / 2, CLAMP) / scale


def log_sum_exp(values: np.ndarray, axis: int) -> np.ndarray:
    """log of the sum of exponentials along ``axis``, which stays with length 1."""
    top = values.max(axis=axis, keepdims=True)
    return top + np.log(np.exp(values - top).sum(axis=axis, keepdims=True))
