"""What the methods of stage 2 have in common: captions drawn and scored, and what a step of any of them gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from core.captioner.captioner import Captioner
from core.encoders.encoder import Encoder
from core.training.compute import torch_rng
from core.training.memory import MicroBatch
from core.training.policy import Batch, PolicyLosses, PolicyOptions, policy_backward
from core.training.presets import Stage2Settings
from core.training.rollout import Rollouts, Sampler
from core.training.scoring import Sampled, Scorer
from core.training.state import Progress
from core.training.steps import Environment


@dataclass(frozen=True)
class Practised:
    """A step: the mean reward of what was drawn, the means of its parts, the losses, and what was scored."""

    reward: float
    parts: Mapping[str, float]
    losses: PolicyLosses
    sampled: Sampled | None = None


@dataclass(frozen=True)
class Moment:
    """Where practice is: this step of so many. ``beta``: weight of the KL to the model that stage 2 began with;
    ``micro``: how many captions the memory has room for at once."""

    step: int
    steps: int
    beta: float
    micro: MicroBatch
    progress: Progress


class Method(Protocol):
    """How a caption's score becomes a gradient."""

    def practise(self, moment: Moment, photos: np.ndarray) -> Practised:
        """Add the gradient of a step on the photos at positions ``photos`` ``[B]`` to the captioner's weights.

        Raises ``Cancelled`` at any time.
        """
        ...


class Practice:
    """The captioner, and what it is rewarded for. ``reference``: the model stage 2 began with, or ``None``."""

    def __init__(
        self, scorer: Scorer, encoder: Encoder, settings: Stage2Settings, env: Environment, reference: Captioner | None
    ) -> None:
        self.encoder, self.settings, self.env = encoder, settings, env
        self.images, self.captioner, self.reference = scorer.images, env.captioner, reference
        self.max_tokens = min(settings.max_tokens, env.captioner.max_tokens)
        self._scorer = scorer
        self._sampler: Sampler | None = None

    def embeddings(self, photos: np.ndarray) -> torch.Tensor:
        """Unit rows ``[B, dim]`` on the captioner's device."""
        return torch.from_numpy(self.images[photos]).to(self.captioner.device)

    def draw(self, photos: np.ndarray, step: int, *, greedy: bool = False, purpose: str = "stage2-samples") -> Rollouts:
        """``settings.samples`` captions of each photo, or the greedy one."""
        settings = self.settings
        if self._sampler is None or self._sampler.dtype != self.env.precision.dtype:
            self._sampler = Sampler(self.captioner, self.env.precision.dtype)
        self._sampler.refresh()
        samples, temperature = (1, 0.0) if greedy else (settings.samples, settings.temperature)
        draws = torch_rng(self.env.seed, purpose, step)
        images = torch.from_numpy(self.images[photos])
        return self._sampler.sample(images, samples, temperature, self.max_tokens, draws, self.env.ctx)

    def sampled(self, photos: np.ndarray, rollouts: Rollouts, vectors: np.ndarray | None = None) -> Sampled:
        """Captions drawn, as many of each photo, photo by photo; ``vectors`` ``[R, dim]`` of them, if known."""
        captions = [self.captioner.decode(tokens) for tokens in rollouts.token_lists()]
        return Sampled(captions, photos, rollouts.finished.cpu().numpy(), vectors)

    def vectors(self, captions: Sequence[str]) -> np.ndarray:
        """Text vectors ``[n, dim]`` as rewards use them. Exact scores are for judging; a reward is noisy anyway."""
        with self.env.precision.autocast():
            return self._scorer.vectors(captions)

    def score(self, moment: Moment, sampled: Sampled) -> tuple[np.ndarray, Mapping[str, float]]:
        """Rewards ``[R]``, and the means of their parts."""
        with self.env.precision.autocast():
            return self._scorer.score(sampled, moment.step, moment.steps, moment.progress)

    def backward(
        self, moment: Moment, photos: np.ndarray, ids: torch.Tensor, advantages: np.ndarray, temperature: float
    ) -> PolicyLosses:
        """:func:`policy_backward` of captions ``ids`` ``[R, L]`` with the weights ``advantages`` ``[R]``."""
        weights = torch.from_numpy(advantages.astype(np.float32)).to(self.captioner.device)
        batch = Batch(self.embeddings(photos), trimmed(ids), weights)
        reference = self.reference if self.settings.beta > 0 else None
        options = self.options(temperature, moment.micro, moment.beta)
        return policy_backward(self.captioner, reference, batch, options, self.env.ctx)

    def options(self, temperature: float, micro: MicroBatch, beta: float = 0.0) -> PolicyOptions:
        return PolicyOptions(temperature, beta, micro, self.env.precision, self.settings.entropy)


def trimmed(ids: torch.Tensor) -> torch.Tensor:
    """Without the columns on the right that are padding in every row."""
    used = (ids >= 0).any(dim=0)
    return ids[:, : int(used.nonzero().max()) + 1]
