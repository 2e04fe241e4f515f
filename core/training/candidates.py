"""Learning from the best of several captions, drawn once a round: no sampling between the gradients, nothing noisy.

A round goes over the photos ``round_epochs`` times. What is drawn in it lies in the run folder, so that a training that
was stopped goes on with the same captions.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from core.captioner.captioner import IGNORE
from core.disk import sync_file
from core.errors import UserError
from core.metrics.guards import ends_badly, immediate_repeats, repeats
from core.metrics.tokenize import tokenize
from core.training.policy import Batch, PolicyLosses, log_probabilities
from core.training.practice import Moment, Practice, Practised, trimmed
from core.training.rollout import Rollouts

_NOTHING = PolicyLosses(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Candidates:
    """K captions of each of B photos: ``ids`` ``[B, K, L]``, ``finished`` ``[B, K]``, text ``vectors`` ``[B, K, dim]``,
    and ``reference`` ``[B, K]``: log π_ref, 0 where it is not needed."""

    ids: np.ndarray
    finished: np.ndarray
    vectors: np.ndarray
    reference: np.ndarray

    def rollouts(self) -> Rollouts:
        """All captions, photo by photo."""
        ids = torch.from_numpy(self.ids.astype(np.int64)).flatten(0, 1)
        return Rollouts(ids, torch.from_numpy(self.finished).flatten())


class FromCandidates:
    """``best-of-n``: cross-entropy on the winners; ``dico``: the winners against the losers.

    A caption that repeats itself or does not end properly wins nothing, whatever its reward.
    """

    def __init__(self, practice: Practice, *, dico: bool) -> None:
        self._practice, self._dico = practice, dico
        settings = practice.settings
        per_step = min(settings.photos, len(practice.images))
        self._round_steps = max(1, math.ceil(settings.round_epochs * len(practice.images) / per_step))
        self._store = _Store(practice.env.run.candidates, self._round_steps)

    def practise(self, moment: Moment, photos: np.ndarray) -> Practised:
        practice = self._practice
        known = self._store.known(moment.step)
        new = np.array([one for one in photos if int(one) not in known], np.int64)
        if len(new):
            self._store.add(moment.step, new, self._draw(moment, new))
        one = self._store.of(photos)
        sampled = practice.sampled(photos, one.rollouts(), one.vectors.reshape(-1, one.vectors.shape[-1]))
        rewards, parts = practice.score(moment, sampled)
        grouped = rewards.reshape(len(photos), -1)
        passing = passes(sampled.captions, sampled.finished).reshape(grouped.shape)
        best = winners(grouped, passing)
        backward = self._dico_backward if self._dico else self._best_backward
        return Practised(float(rewards.mean()), parts, backward(moment, photos, one, grouped, best), sampled)

    def _best_backward(
        self, moment: Moment, photos: np.ndarray, drawn: Candidates, rewards: np.ndarray, best: np.ndarray
    ) -> PolicyLosses:
        won = np.flatnonzero(best >= 0)
        if not len(won):
            return _NOTHING
        ids = torch.from_numpy(drawn.ids[won, best[won]].astype(np.int64)).to(self._practice.captioner.device)
        return self._practice.backward(moment, photos[won], ids, np.ones(len(won)), 1.0)

    def _dico_backward(
        self, moment: Moment, photos: np.ndarray, drawn: Candidates, rewards: np.ndarray, best: np.ndarray
    ) -> PolicyLosses:
        practice, settings = self._practice, self._practice.settings
        ids = drawn.rollouts().ids.to(practice.captioner.device)
        now = self._log_probabilities(moment, photos, ids, reference=False).reshape(rewards.shape)
        different = (drawn.ids != drawn.ids[np.arange(len(best)), best][:, None]).any(axis=2)
        gamma = loser_shares(rewards, best, different, settings.dico_scale)
        weights = dico_weights(now - drawn.reference, best, gamma, settings.dico_beta)
        # The backward pass divides by the number of tokens; this loss is a mean over photos.
        scale = int((ids != IGNORE).sum()) / len(photos)
        return practice.backward(moment, photos, ids, scale * weights.reshape(-1), 1.0)

    def _draw(self, moment: Moment, photos: np.ndarray) -> Candidates:
        practice = self._practice
        drawn = practice.draw(photos, moment.step)
        shape = (len(photos), practice.settings.samples)
        vectors = practice.vectors(practice.sampled(photos, drawn).captions)
        reference = np.zeros(shape, np.float32)
        if self._dico:
            reference = self._log_probabilities(moment, photos, drawn.ids, reference=True).reshape(shape)
        ids = drawn.ids.cpu().numpy().astype(np.int32).reshape(*shape, -1)
        return Candidates(ids, drawn.finished.cpu().numpy().reshape(shape), vectors.reshape(*shape, -1), reference)

    def _log_probabilities(
        self, moment: Moment, photos: np.ndarray, ids: torch.Tensor, *, reference: bool
    ) -> np.ndarray:
        practice = self._practice
        model = practice.reference if reference else practice.captioner
        assert model is not None
        batch = Batch(practice.embeddings(photos), trimmed(ids), torch.zeros(len(ids)))
        return log_probabilities(model, batch, practice.options(1.0, moment.micro), practice.env.ctx).cpu().numpy()


def passes(captions: Sequence[str], finished: np.ndarray) -> np.ndarray:
    """Which captions ``[R]`` may be learned from: ended by themselves, not in mid-sentence, nothing said twice."""

    def sound(caption: str) -> bool:
        words = tokenize(caption)
        repeated = immediate_repeats(words) + repeats(words, 2)
        return bool(words) and not repeated and not ends_badly(words)

    return np.asarray(finished, bool) & np.array([sound(caption) for caption in captions], bool)


def went_bad(file: Path) -> UserError:
    """What is said of a file of an unfinished training that cannot be read again."""
    return UserError(f"The training cannot go on: {file} is damaged.", "Start a new training.", topic="begin anew")


def winners(rewards: np.ndarray, passing: np.ndarray) -> np.ndarray:
    """The place of the best passing caption of each photo, ``[B]`` of ``[B, K]``; -1 where none passes."""
    best = np.where(passing, rewards, -np.inf).argmax(axis=1)
    return np.where(passing.any(axis=1), best, -1)


def loser_shares(rewards: np.ndarray, best: np.ndarray, different: np.ndarray, scale: float) -> np.ndarray:
    """γ = softmax over the losers of scale·(r_w - r_l), ``[B, K]``; 0 for the winner and for copies of it."""
    rows = np.arange(len(rewards))
    losing = different & (best >= 0)[:, None]
    losing[rows, best] = False
    exponents = np.where(losing, scale * (rewards[rows, best][:, None] - rewards), -np.inf)
    top = np.where(losing.any(axis=1), exponents.max(axis=1), 0.0)
    shares = np.where(losing, np.exp(exponents - top[:, None]), 0.0)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


def dico_weights(moved: np.ndarray, best: np.ndarray, gamma: np.ndarray, beta: float) -> np.ndarray:
    """Minus the gradient of the DiCO loss by each log π, ``[B, K]``.

    L = -log σ(β·[Δ_w - Σ_l γ_l·Δ_l]) of each photo, Δ = log π - log π_ref = ``moved`` ``[B, K]``. A photo without
    losers has no gradient.
    """
    rows, lost = np.arange(len(moved)), gamma.sum(axis=1) > 0
    margin = beta * (moved[rows, best] - (gamma * moved).sum(axis=1))
    slope = np.where(lost, beta / (1 + np.exp(np.clip(margin, -60, 60))), 0.0)
    weights = -slope[:, None] * gamma
    weights[rows, best] += slope
    return weights


class _Store:
    """The candidates of the present round: in memory, and a file for each step that drew some."""

    def __init__(self, folder: Path, round_steps: int) -> None:
        self._folder, self._round_steps = folder, round_steps
        self._round = -1
        self._found: dict[int, tuple[np.ndarray, ...]] = {}

    def known(self, step: int) -> set[int]:
        """The photos that have candidates at ``step``; those of earlier rounds have been dropped."""
        if step // self._round_steps != self._round:
            self._round = step // self._round_steps
            self._found = {}
            for earlier in range(self._round * self._round_steps, step):
                if self._file(earlier).is_file():
                    self._read(self._file(earlier))
        return set(self._found)

    def add(self, step: int, photos: np.ndarray, drawn: Candidates) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / ".partial.npz"
        np.savez(
            partial,
            photos=photos,
            ids=drawn.ids,
            finished=drawn.finished,
            vectors=drawn.vectors,
            reference=drawn.reference,
        )
        sync_file(partial)
        os.replace(partial, self._file(step))  # noqa: PTH105 - the atomic step, spelled as what it is
        self._take(photos, (drawn.ids, drawn.finished, drawn.vectors, drawn.reference))

    def of(self, photos: np.ndarray) -> Candidates:
        """The candidates of ``photos`` in their order."""
        rows = [self._found[int(one)] for one in photos]
        return Candidates(*(np.stack(part) for part in zip(*rows, strict=True)))

    def _file(self, step: int) -> Path:
        return self._folder / f"{step}.npz"

    def _read(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as content:
                parts = tuple(content[name] for name in ("ids", "finished", "vectors", "reference"))
                self._take(content["photos"], parts)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise went_bad(file) from error

    def _take(self, photos: np.ndarray, parts: Sequence[np.ndarray]) -> None:
        for row, photo in enumerate(photos):
            self._found[int(photo)] = tuple(part[row] for part in parts)
