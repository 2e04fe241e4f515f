"""The reward of sampled captions: everything that its parts need to know, the scale of each, and when it counts.

Composition: total = sum over rewards of weight · rise(step) / spread · reward. ``spread`` is the reward's standard
deviation among the captions of one photo, measured once on captions of the model stage 2 begins with and then frozen;
it is 1 for penalties, whose weights are in units of their own, and where nothing is calibrated. The contrastive reward
compares cosines at the encoder's own scale, and where similarity is not calibrated, its weight is in differences of the
starter's cosines: it is multiplied by :func:`core.encoders.encoder.sharpness`, unless the preset is a published one,
whose weights are for CLIP's own numbers (docs/decisions/0037).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.encoders.encoder import Encoder, sharpness
from core.errors import UserError
from core.metrics.tokenize import tokenize
from core.training.data import TrainingData
from core.training.grammar import GrammarHead, looks_wrong
from core.training.presets import RewardWeights, Stage2Settings
from core.training.references import References
from core.training.rewards import REWARDS, RewardContext, needed, reward_parts, total_reward
from core.training.state import Progress
from core.training.steps import Environment
from core.training.texts import TextEncoder, text_vectors
from core.training.tower import TunedTower, tune_tower
from core.training.wording import Wording

_SMALLEST_SPREAD = 0.02
"""A reward in which captions of a photo hardly differ is not blown up."""
_OF_COSINES = ("clip_s", "ref_clip_s")
"""Rewards whose differences are those of cosines, which mean as much as the encoder learned to mean by them."""
_MOST_GONE_WRONG = 400


@dataclass(frozen=True)
class Sampled:
    """R captions of B photos, photo by photo. ``photos`` ``[B]``: positions among those practised on; ``finished``
    ``[R]``: whether a caption came to its end; ``vectors`` ``[R, dim]``: of the captions, where they are known."""

    captions: Sequence[str]
    photos: np.ndarray
    finished: np.ndarray
    vectors: np.ndarray | None = None

    @property
    def samples(self) -> int:
        """Captions of each photo."""
        return len(self.captions) // max(1, len(self.photos))


class Scorer:
    """Scores what stage 2 samples. What takes learning (a language model of sentences alone, a grammar head, a tuned
    text tower) is learned when it is made, from the seeds and the sentences, the same each time."""

    def __init__(self, data: TrainingData, encoder: Encoder, settings: Stage2Settings, env: Environment) -> None:
        weights = settings.rewards
        self._settings, self._env = settings, env
        seeds = data.seeds.pairs()[1]
        lengths = [len(tokenize(caption)) for caption in seeds] or [10]
        self.length_mean, self.length_spread = float(np.mean(lengths)), float(np.std(lengths))
        self.images = practised_on(data, settings)
        self.sharpness = sharpness(encoder)
        self._first_labelled = len(self.images) - len(data.seeds)
        self._tower: TunedTower | None = None
        if settings.tower_steps > 0:
            self._tower = tune_tower(encoder, data, settings.tower_steps, env)
        self._text_encoder: TextEncoder = self._tower or encoder
        compares = (weights.ref_clip_s or weights.cider) and len(data.seeds)
        self._references = References(data.seeds.captions, self._text_encoder) if compares else None
        self._wording: Wording | None = None
        if weights.fluency or self._has_own_head:
            sentences = [*seeds, *data.texts]
            if not sentences:
                raise UserError("There is no sentence to learn wording from.", "Write captions for a few photos first.")
            self._wording = Wording(sentences, seeds or sentences, data.nothing, env)
        self._head: GrammarHead | None = None
        self._head_of = -1
        self._spreads: dict[str, float] = {}

    def calibrate(self, batches: Sequence[Sampled]) -> None:
        """Take the spread of each reward from these captions, of the model stage 2 begins with; it stays."""
        self._use_head(0, ())
        found: dict[str, list[np.ndarray]] = {}
        for sampled in batches:
            context = self._context(sampled)
            for name, part in reward_parts(sampled.captions, context, self._settings.rewards).items():
                found.setdefault(name, []).append(part.reshape(-1, sampled.samples))
        for name, parts in found.items():
            if not REWARDS[name].penalty:
                least = _SMALLEST_SPREAD / (self.sharpness if name in _OF_COSINES else 1.0)
                self._spreads[name] = max(_spread(np.concatenate(parts)), least)

    def vectors(self, captions: Sequence[str]) -> np.ndarray:
        """Text vectors ``[n, dim]`` of the encoder, or tower, that gives the rewards."""
        return text_vectors(self._text_encoder, captions, prompt=True)

    def frozen(self) -> Mapping[str, float]:
        """What was measured at the beginning, for the record: ``spread_NAME``, ``usual_log_p``."""
        values = {f"spread_{name}": value for name, value in self._spreads.items()}
        return values | ({"usual_log_p": self._wording.usual} if self._wording else {})

    def weights(self, step: int, steps: int) -> RewardWeights:
        """The weights of this step of so many, divided by the spreads, or as the encoder's scale has them."""
        settings = self._settings
        # A stage cut short by the clock has its similarity in full by its middle all the same.
        rising = {
            "clip_s": _rise(step, min(settings.clip_ramp, steps // 2)),
            "contrastive": _rise(step, round(settings.contrastive_ramp * steps)),
        }
        not_measured = [name for name in _OF_COSINES if settings.in_starter_units and name not in self._spreads]
        rising |= {name: rising.get(name, 1.0) * self.sharpness for name in not_measured}
        changed = {
            name: settings.rewards.of(name) * rising.get(name, 1.0) / self._spreads.get(name, 1.0)
            for name in {*rising, *self._spreads}
        }
        return settings.rewards.with_weights(changed)

    def score(
        self, sampled: Sampled, step: int, steps: int, progress: Progress
    ) -> tuple[np.ndarray, Mapping[str, float]]:
        """The reward ``[R]`` of each caption in this step, and the mean of each part before weighting."""
        period = self._period(step)
        self._use_head(period, [text for when, text in progress.gone_wrong if when < period])
        return total_reward(sampled.captions, self._context(sampled), self.weights(step, steps))

    def remember(self, sampled: Sampled, step: int, progress: Progress) -> None:
        """Keep what went wrong in ``progress``, for the next time the grammar head learns.

        With the progress, as a training that goes on must learn from the very same.
        """
        if not self._has_own_head:
            return
        period = self._period(step)
        known = {text for _, text in progress.gone_wrong}
        room = _MOST_GONE_WRONG - sum(when == period for when, _ in progress.gone_wrong)
        ended = zip(sampled.captions, sampled.finished, strict=True)
        wrong = dict.fromkeys(caption for caption, end in ended if caption and looks_wrong(caption, bool(end)))
        progress.gone_wrong += [(period, caption) for caption in wrong if caption not in known][:room]

    def _use_head(self, period: int, gone_wrong: Sequence[str]) -> None:
        """The grammar head of a period: it learns anew, with what went wrong in the periods before."""
        if self._has_own_head and self._head_of != period:
            self._head = needed(self._wording, "wording").grammar_head(gone_wrong[-_MOST_GONE_WRONG:], period)
            self._head_of = period

    @property
    def _has_own_head(self) -> bool:
        return self._settings.rewards.grammar > 0 and self._tower is None

    def _period(self, step: int) -> int:
        return step // max(1, self._settings.grammar_refresh)

    def _context(self, sampled: Sampled) -> RewardContext:
        settings, weights = self._settings, self._settings.rewards
        log_p = grammatical = None
        if self._wording is not None:
            reading = self._wording.read(sampled.captions)
            log_p = reading.log_p
            grammatical = self._head(reading.features) if self._head else None
        if self._tower is not None and weights.grammar:
            grammatical = self._tower.grammatical(sampled.captions)
        return RewardContext(
            images=self.images[sampled.photos],
            texts=self.vectors(sampled.captions) if sampled.vectors is None else sampled.vectors,
            finished=sampled.finished,
            samples=sampled.samples,
            length_mean=self.length_mean,
            length_spread=self.length_spread,
            contrastive_scale=settings.contrastive_scale * self.sharpness,
            references=self._references,
            labelled=np.maximum(sampled.photos - self._first_labelled, -1),
            log_p=log_p,
            usual=self._wording.usual if self._wording else 0.0,
            grammatical=grammatical,
        )


def practised_on(data: TrainingData, settings: Stage2Settings) -> np.ndarray:
    """The photos ``[n, dim]`` that stage 2 draws from, those of the seeds last.

    Raises:
        UserError: only labelled photos are wanted, and there are fewer than two.
    """
    if not settings.labelled_only:
        return data.practice_images
    if len(data.seeds) < 2:
        raise UserError(
            "This preset practises on photos with captions, and there are too few.",
            "Write captions for a few photos, or choose another preset.",
        )
    return data.seeds.images


def _spread(values: np.ndarray) -> float:
    """Standard deviation within rows ``[photos, samples]``, pooled; of all values where there is one a photo."""
    if values.shape[1] == 1:
        return float(values.std())
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def _rise(step: int, length: int) -> float:
    return min(1.0, (step + 1) / length) if length > 0 else 1.0
