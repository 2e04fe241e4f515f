"""Rewards: plain functions of captions and what is known about them. The higher the better; penalties are negative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.clip_score import clip_s, row_cosines
from core.metrics.contrastive import log_sum_exp
from core.metrics.guards import ends_badly, immediate_repeats, repeats
from core.metrics.tokenize import tokenize
from core.training.presets import RewardWeights


@dataclass(frozen=True)
class RewardContext:
    """What a step knows of its captions: ``samples`` of each of B photos, photo by photo, R = B·samples in all.

    ``images`` ``[B, dim]`` and ``texts`` ``[R, dim]`` are unit rows, ``finished`` ``[R]`` whether the caption ended by
    itself; ``length_mean`` and ``length_spread`` are those of the seeds, in words.
    """

    images: np.ndarray
    texts: np.ndarray
    finished: np.ndarray
    samples: int
    length_mean: float
    length_spread: float
    contrastive_scale: float = 25.0


Reward = Callable[[Sequence[str], RewardContext], np.ndarray]


def clip_score(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """CLIP-S = 2.5·max(cos, 0)."""
    own = np.repeat(context.images, context.samples, axis=0)
    return clip_s(row_cosines(own, context.texts))


def contrastive(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """Mean of log p(photo | caption) over the photos of the batch and log p(caption | photo) over its captions.

    In the second direction the captions are one of each photo, the i-th sample of all. Clamped to [-4, 0].
    """
    photos, samples = len(context.images), context.samples
    scores = context.contrastive_scale * (context.texts @ context.images.T).reshape(photos, samples, photos)
    own = np.arange(photos)
    to_image = scores - log_sum_exp(scores, axis=2)
    to_text = scores - log_sum_exp(scores, axis=0)
    both = (to_image[own, :, own] + to_text[own, :, own]) / 2
    return np.clip(both.reshape(-1), -4.0, 0.0)


def repetition(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-(2·repeated trigrams + repeated bigrams) of each caption."""
    words = [tokenize(caption) for caption in captions]
    return -np.array([2.0 * repeats(row, 3) + repeats(row, 2) for row in words])


def stutter(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-(words that follow themselves)."""
    return -np.array([float(immediate_repeats(tokenize(caption))) for caption in captions])


def bad_ending(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-1 for a caption whose last word leaves it open ("a dog with a")."""
    return -np.array([float(ends_badly(tokenize(caption))) for caption in captions])


def no_end(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-1 for a caption that did not end by itself."""
    return -(~np.asarray(context.finished, bool)).astype(np.float64)


def length(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-max(0, |words - mean| - 2·spread)/spread, mean and spread of the seeds: free within two spreads."""
    words = np.array([len(tokenize(caption)) for caption in captions], np.float64)
    spread = max(context.length_spread, 1.0)
    return -np.maximum(0.0, np.abs(words - context.length_mean) - 2 * spread) / spread


REWARDS: dict[str, Reward] = {
    "clip_s": clip_score,
    "contrastive": contrastive,
    "repetition": repetition,
    "stutter": stutter,
    "bad_ending": bad_ending,
    "no_end": no_end,
    "length": length,
}


def total_reward(
    captions: Sequence[str], context: RewardContext, weights: RewardWeights
) -> tuple[np.ndarray, Mapping[str, float]]:
    """The weighted sum ``[R]``, and the mean of each part before weighting."""
    total = np.zeros(len(captions))
    means: dict[str, float] = {}
    for name, reward in REWARDS.items():
        weight = getattr(weights, name)
        if weight:
            part = reward(captions, context)
            total += weight * part
            means[name] = float(part.mean())
    return total, means


def leave_one_out(rewards: np.ndarray, samples: int) -> np.ndarray:
    """RLOO advantages ``[R]``: each reward less the mean of the others of its photo; they sum to 0 per photo."""
    grouped = rewards.reshape(-1, samples)
    if samples == 1:
        return np.zeros_like(rewards)
    return ((grouped - grouped.mean(axis=1, keepdims=True)) * samples / (samples - 1)).reshape(-1)
