"""The methods of stage 2 by name.

* ``leave-one-out``: policy gradient, the baseline being the other captions drawn of the photo (RLOO).
* ``self-critical``: policy gradient, the baseline being the photo's greedy caption (SCST, arXiv 1612.00563).
* ``straight-through``: the gradient of the similarity itself, through the words drawn (arXiv 2306.15111).
* ``best-of-n``: cross-entropy on the best of several captions drawn once a round.
* ``dico``: the best of them against the others, measured from the model stage 2 began with (DiCO's loss).
"""

from __future__ import annotations

import numpy as np
import torch

from core.captioner.captioner import Captioner
from core.training.candidates import FromCandidates
from core.training.practice import Method, Moment, Practice, Practised
from core.training.presets import Method as MethodName
from core.training.presets import Stage2Settings
from core.training.rewards import leave_one_out
from core.training.rollout import Rollouts
from core.training.stage1 import has_large_lm
from core.training.straight_through import StraightThrough

_SMALLEST_DEVIATION = 0.02
"""Advantages are not blown up where all captions of a batch are about equally good."""


def chosen_method(settings: Stage2Settings, captioner: Captioner) -> MethodName:
    """What ``auto`` stands for: where a gradient step of all captions drawn takes long, the best ones are enough."""
    if settings.method != "auto":
        return settings.method
    return "best-of-n" if has_large_lm(captioner) and captioner.device.type == "cpu" else "leave-one-out"


def needs_reference(settings: Stage2Settings, captioner: Captioner) -> bool:
    """Whether a copy of the model that stage 2 begins with is needed."""
    return settings.beta > 0 or chosen_method(settings, captioner) == "dico"


def make_method(practice: Practice) -> Method:
    """The method that the settings ask for.

    Raises:
        UserError: it cannot be used with this encoder or with these rewards.
    """
    name = chosen_method(practice.settings, practice.captioner)
    if name == "straight-through":
        return StraightThrough(practice)
    if name in ("best-of-n", "dico"):
        return FromCandidates(practice, dico=name == "dico")
    return PolicyGradient(practice, greedy_baseline=name == "self-critical")


class PolicyGradient:
    """Samples, their rewards above a baseline, and the score-function gradient."""

    def __init__(self, practice: Practice, *, greedy_baseline: bool) -> None:
        self._practice, self._greedy_baseline = practice, greedy_baseline

    def practise(self, moment: Moment, photos: np.ndarray) -> Practised:
        practice, settings = self._practice, self._practice.settings
        drawn = judged = practice.draw(photos, moment.step)
        if self._greedy_baseline:
            judged = with_greedy(drawn, practice.draw(photos, moment.step, greedy=True))
        sampled = practice.sampled(photos, judged)
        rewards, parts = practice.score(moment, sampled)
        if self._greedy_baseline:
            rewards, advantages = above_last(rewards, settings.samples + 1)
        else:
            advantages = leave_one_out(rewards, settings.samples)
        if settings.normalise_advantage:
            advantages = advantages / max(float(advantages.std()), _SMALLEST_DEVIATION)
        advantages = np.clip(advantages, -settings.advantage_clip, settings.advantage_clip)
        losses = practice.backward(moment, photos, drawn.ids, advantages, settings.temperature)
        return Practised(float(rewards.mean()), parts, losses, sampled)


def with_greedy(drawn: Rollouts, greedy: Rollouts) -> Rollouts:
    """The greedy caption of each photo after those drawn of it, so that all are scored alike."""
    photos = len(greedy.ids)
    ids = torch.cat([drawn.ids.view(photos, -1, drawn.ids.shape[1]), greedy.ids[:, None]], dim=1)
    finished = torch.cat([drawn.finished.view(photos, -1), greedy.finished[:, None]], dim=1)
    return Rollouts(ids.flatten(0, 1), finished.flatten())


def above_last(rewards: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Of groups of ``samples`` rewards all but the last, and how far they are above it: ``[R]`` each."""
    grouped = rewards.reshape(-1, samples)
    return grouped[:, :-1].reshape(-1), (grouped[:, :-1] - grouped[:, -1:]).reshape(-1)
