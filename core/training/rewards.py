"""Rewards: plain functions of captions and what is known about them. The higher the better; penalties are negative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.errors import UserError
from core.metrics.clip_score import clip_s, fit, row_cosines
from core.metrics.contrastive import log_sum_exp
from core.metrics.guards import ends_badly, immediate_repeats, repeats
from core.metrics.tokenize import tokenize
from core.training.presets import RewardWeights
from core.training.references import References

T = TypeVar("T")


@dataclass(frozen=True)
class RewardContext:
    """What a step knows of its captions: ``samples`` of each of B photos, photo by photo, R = B·samples in all.

    ``images`` ``[B, dim]`` and ``texts`` ``[R, dim]`` are unit rows, ``finished`` ``[R]`` whether the caption ended by
    itself; ``length_mean`` and ``length_spread`` are those of the seeds, in words.

    What only some rewards need: ``references`` of labelled photos and ``labelled`` ``[B]``, which of them each photo
    is (-1: none); ``log_p`` ``[R]``, the mean log-probability of a caption's tokens for a language model that sees no
    photo, and ``usual``, where it is low; ``grammatical`` ``[R]``, the grammar head's probability that it is real.
    """

    images: np.ndarray
    texts: np.ndarray
    finished: np.ndarray
    samples: int
    length_mean: float
    length_spread: float
    contrastive_scale: float = 25.0
    references: References | None = None
    labelled: np.ndarray | None = None
    log_p: np.ndarray | None = None
    usual: float = 0.0
    grammatical: np.ndarray | None = None

    def labelled_rows(self) -> np.ndarray:
        """``labelled`` of each caption, ``[R]``."""
        return np.repeat(needed(self.labelled, "labelled"), self.samples)


Reward = Callable[[Sequence[str], RewardContext], np.ndarray]


@dataclass(frozen=True)
class KnownReward:
    """``score`` gives ``[R]``, the higher the better. The weight of a ``penalty`` is in units of its own; any other
    reward may be divided by its spread (:mod:`core.training.scoring`)."""

    score: Reward
    penalty: bool


REWARDS: dict[str, KnownReward] = {}
"""All rewards by the names that weights and settings have for them; :func:`reward` adds one."""


def reward(name: str, *, penalty: bool = False) -> Callable[[Reward], Reward]:
    """Make a function the reward ``name``; ``docs/extending.md`` shows how, step by step."""
    if name in REWARDS or not name.isidentifier():
        raise ValueError(f"'{name}' is taken, or no name for a reward")

    def added(score: Reward) -> Reward:
        REWARDS[name] = KnownReward(score, penalty)
        return score

    return added


@reward("clip_s")
def clip_score(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """2.5·cos: CLIP-S, but captions with a negative cosine do not tie at 0."""
    return fit(_cosines(context))


@reward("contrastive")
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


@reward("ref_clip_s")
def ref_clip_score(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """RefCLIP-S with the seeds of the caption's photo as references; 0 for all captions of a photo without any."""
    references = needed(context.references, "references")
    return references.ref_clip_s(clip_s(_cosines(context)), context.texts, context.labelled_rows())


@reward("cider")
def cider(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """CIDEr-D (0..10) against the seeds of the caption's photo; 0 for all captions of a photo without any."""
    return needed(context.references, "references").cider_d(captions, context.labelled_rows())


@reward("fluency")
def fluency(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """min(0, mean log p - usual): nats per token by which a caption is less usual than nearly all seeds."""
    return np.minimum(0.0, needed(context.log_p, "log_p") - context.usual)


@reward("grammar")
def grammar(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """The probability, 0..1, that the caption is a sentence and not a spoiled one."""
    return np.asarray(needed(context.grammatical, "grammatical"), np.float64)


@reward("repetition", penalty=True)
def repetition(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-(2·repeated trigrams + repeated bigrams) of each caption."""
    words = [tokenize(caption) for caption in captions]
    return -np.array([2.0 * repeats(row, 3) + repeats(row, 2) for row in words])


@reward("stutter", penalty=True)
def stutter(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-(words that follow themselves)."""
    return -np.array([float(immediate_repeats(tokenize(caption))) for caption in captions])


@reward("bad_ending", penalty=True)
def bad_ending(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-1 for a caption whose last word leaves it open ("a dog with a")."""
    return -np.array([float(ends_badly(tokenize(caption))) for caption in captions])


@reward("no_end", penalty=True)
def no_end(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-1 for a caption that did not end by itself."""
    return -(~np.asarray(context.finished, bool)).astype(np.float64)


@reward("length", penalty=True)
def length(captions: Sequence[str], context: RewardContext) -> np.ndarray:
    """-max(0, |words - mean| - 2·spread)/spread, mean and spread of the seeds: free within two spreads."""
    words = np.array([len(tokenize(caption)) for caption in captions], np.float64)
    spread = max(context.length_spread, 1.0)
    return -np.maximum(0.0, np.abs(words - context.length_mean) - 2 * spread) / spread


def _cosines(context: RewardContext) -> np.ndarray:
    """Of each caption and its photo, ``[R]``."""
    return row_cosines(np.repeat(context.images, context.samples, axis=0), context.texts)


def reward_parts(captions: Sequence[str], context: RewardContext, weights: RewardWeights) -> Mapping[str, np.ndarray]:
    """Each reward that has a weight, ``[R]``, before weighting.

    Raises:
        UserError: a weight is for a reward that is not here: the training was begun with another Seedcap.
    """
    parts = {}
    for name in weights.named():
        if name not in REWARDS:
            raise UserError(f"There is no reward '{name}'.", f"Here are: {', '.join(REWARDS)}.")
        parts[name] = REWARDS[name].score(captions, context)
    return parts


def total_reward(
    captions: Sequence[str], context: RewardContext, weights: RewardWeights
) -> tuple[np.ndarray, Mapping[str, float]]:
    """The weighted sum ``[R]``, and the mean of each part before weighting."""
    total, weight = np.zeros(len(captions)), weights.named()
    parts = reward_parts(captions, context, weights)
    for name, part in parts.items():
        total += weight[name] * part
    return total, {name: float(part.mean()) for name, part in parts.items()}


def leave_one_out(rewards: np.ndarray, samples: int) -> np.ndarray:
    """RLOO advantages ``[R]``: each reward less the mean of the others of its photo; they sum to 0 per photo."""
    grouped = rewards.reshape(-1, samples)
    if samples == 1:
        return np.zeros_like(rewards)
    return ((grouped - grouped.mean(axis=1, keepdims=True)) * samples / (samples - 1)).reshape(-1)


def needed(value: T | None, name: str) -> T:
    """What a reward cannot do without; a context that lacks it was put together wrongly."""
    if value is None:
        raise ValueError(f"the reward context has no '{name}'")
    return value
