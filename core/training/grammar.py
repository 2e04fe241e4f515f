"""A head that tells sentences from spoiled ones, fitted in closed form on features of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.guards import ends_badly, immediate_repeats, repeats
from core.metrics.tokenize import tokenize
from core.training.corruptions import corrupt, vocabulary_of, word_list

MOST_SENTENCES = 400
"""Real ones that a head is fitted on; more tell it nothing new and cost time."""
_SPOILED_EACH = 5
_PENALTY, _PENALTY_OF_LAST = 0.3, 0.001
_ITERATIONS = 30


@dataclass(frozen=True)
class GrammarHead:
    """Logistic regression on features ``[n, f]``, standardised by ``mean`` and ``spread`` ``[f]``."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    bias: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The probability, 0..1, that each row is of a real sentence, ``[n]``."""
        return _sigmoid((features - self.mean) / self.spread @ self.weights + self.bias)


def fit_head(real: np.ndarray, spoiled: np.ndarray) -> GrammarHead:
    """Fit on features of real ``[a, f]`` and spoiled ``[b, f]`` sentences; both kinds count alike.

    Newton's method on the logistic loss with a squared penalty: the same numbers every time, and no rate to choose. The
    last feature, the one known to matter (how unlikely the sentence is), may count as much as it must: of a few hundred
    others most are chance where there are a few dozen sentences, and they only correct it.
    """
    rows = np.concatenate([real, spoiled]).astype(np.float64)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    inputs = np.concatenate([(rows - mean) / spread, np.ones((len(rows), 1))], axis=1)
    target = np.concatenate([np.ones(len(real)), np.zeros(len(spoiled))])
    share = np.concatenate([np.full(len(one), 0.5 / max(1, len(one))) for one in (real, spoiled)])
    penalty = np.full(inputs.shape[1], _PENALTY)
    penalty[-2:] = _PENALTY_OF_LAST, 1e-6  # and the bias
    weights = np.zeros(inputs.shape[1])
    for _ in range(_ITERATIONS):
        found = _sigmoid(inputs @ weights)
        slope = inputs.T @ (share * (found - target)) + penalty * weights
        curvature = (inputs.T * (share * found * (1 - found))) @ inputs + np.diag(penalty)
        change = np.linalg.solve(curvature, slope)
        weights -= change
        if np.abs(change).max() < 1e-8:
            break
    return GrammarHead(mean, spread, weights[:-1], float(weights[-1]))


def examples(
    sentences: Sequence[str], gone_wrong: Sequence[str], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Real and spoiled sentences to fit a head on.

    Spoiled are several versions of each real one, its words as a list, and ``gone_wrong``: what a model said that a
    guard took for wrong.
    """
    real = list(dict.fromkeys(one for one in sentences if one.strip()))
    if len(real) > MOST_SENTENCES:
        real = [real[i] for i in sorted(rng.permutation(len(real))[:MOST_SENTENCES])]
    vocabulary, known = vocabulary_of(real), set(real)
    spoiled = [corrupt(one, vocabulary, rng) for one in real for _ in range(_SPOILED_EACH)]
    spoiled += [word_list(one) for one in real]
    return real, [one for one in dict.fromkeys([*spoiled, *gone_wrong]) if one not in known]


def looks_wrong(caption: str, finished: bool) -> bool:
    """Whether a guard takes the caption for wrong: it never ends, stutters, repeats itself or breaks off."""
    words = tokenize(caption)
    return not finished or ends_badly(words) or immediate_repeats(words) > 0 or repeats(words, 3) > 0


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))
