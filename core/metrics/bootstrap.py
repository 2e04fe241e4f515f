"""How sure a figure is: percentile bootstrap over photos, seeded, paired where two systems are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
COVERAGE = 0.95

Statistic = Callable[[np.ndarray], float]  # of row indices, repeats allowed


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds it in 95 of 100 resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """``b`` minus ``a`` on the same photos, its interval, and a two-sided p for "there is no difference"."""

    value: float
    low: float
    high: float
    p: float


def bootstrap(n: int, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The interval of any statistic of ``n`` rows; it is called with index arrays ``[n]``."""
    draws = np.array([statistic(rows) for rows in _rows(n, resamples, seed)])
    low, high = _percentiles(draws)
    return Interval(float(statistic(np.arange(n))), low, high)


def bootstrap_mean(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The interval of a mean of ``values`` ``[n]``."""
    values = np.asarray(values, dtype=np.float64)
    return bootstrap(len(values), lambda rows: float(values[rows].mean()), resamples=resamples, seed=seed)


def paired_bootstrap(a: np.ndarray, b: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The difference of the means of ``b`` and ``a``, both ``[n]`` over the same photos in the same order."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must match: {a.shape} and {b.shape}")
    gain = b - a
    return compare(len(gain), lambda rows: float(gain[rows].mean()), resamples=resamples, seed=seed)


def compare(n: int, difference: Statistic, *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The interval and p of a difference that is computed from row indices (BLEU, for example, is no mean)."""
    draws = np.array([difference(rows) for rows in _rows(n, resamples, seed)])
    low, high = _percentiles(draws)
    # Counting the figure itself as one of the draws keeps p above 0 and valid with few resamples.
    tail = min((draws <= 0).sum(), (draws >= 0).sum()) + 1
    return Difference(float(difference(np.arange(n))), low, high, float(min(1.0, 2 * tail / (resamples + 1))))


def _rows(n: int, resamples: int, seed: int) -> np.ndarray:
    if n < 1:
        raise ValueError("there is nothing to resample")
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n))


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    edge = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(draws, [edge, 100 - edge])
    return float(low), float(high)
