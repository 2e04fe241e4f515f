"""Whether more seeds would help, told by trainings that there were: how they did on photos that none of them learned.

No torch: the window asks, too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.library.records import RunRow
from core.library.runs import DONE
from core.metrics.bootstrap import Difference, paired_bootstrap
from core.training.data import CaptionedVectors
from core.training.runfolder import write_text

SEEDS = "seeds.json"
FEWEST_HELD = 4
"""Held-out photos below which nothing is told."""
_LEAST_RATIO = 1.25
"""Of the numbers of seeds of two trainings; nearer ones say nothing about twice as many."""
_LITTLE = 0.02

Answer = Literal["helps", "little", "unclear"]
Settings = tuple[Any, ...]


@dataclass(frozen=True)
class SeedsTold:
    """``seeds.json`` of a run. ``losses``: nats a token of stage 1's model by held-out photo and its captions;
    ``gain``: what twice as many seeds would change in that, where it was measured by trainings with fewer."""

    seeds: int
    losses: Mapping[str, float]
    gain: Difference | None = None


@dataclass(frozen=True)
class MoreSeeds:
    """What twice as many labelled photos as the ``seeds`` of the newest training, those held out among them, would do;
    ``None``: nothing has been measured yet."""

    seeds: int
    answer: Answer | None


def keys_of(photos: CaptionedVectors) -> list[str]:
    """One name a photo, another one when its captions are: only the same captions are compared."""
    digests = (hashlib.sha256("\n".join(captions).encode()).hexdigest()[:16] for captions in photos.captions)
    return [f"{image_id}:{digest}" for image_id, digest in zip(photos.ids.tolist(), digests, strict=True)]


def write_told(run: Path, told: SeedsTold) -> None:
    write_text(run / SEEDS, json.dumps(asdict(told), indent=2))


def read_told(run: Path) -> SeedsTold | None:
    """``None`` where the training was before there was such a file, learned from sentences alone, or it is damaged."""
    try:
        document = json.loads((run / SEEDS).read_text(encoding="utf-8"))
        losses = {str(key): float(loss) for key, loss in document["losses"].items()}
        gain = document.get("gain")
        return SeedsTold(int(document["seeds"]), losses, gain and Difference(**gain))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def more_seeds(runs: Sequence[RunRow]) -> MoreSeeds | None:
    """What is known after the trainings ``runs``, the newest first; ``None`` where none says how many it learned from.

    The newest tells it, by trainings with fewer of its seeds where those were made; else beside the earlier one with
    the fewest seeds that had the same settings, on the photos held out of both: a line through the mean losses against
    log2 of the numbers, as in :func:`core.training.seed_trials.look_ahead`. With two points nothing says how much a
    training's own chance weighs; the interval is of the photos.
    """
    told = [(run, one) for run in runs if run.status == DONE and (one := read_told(run.folder)) is not None]
    if not told:
        return None
    run, newest = told[0]
    labelled = newest.seeds + len(newest.losses)
    if newest.gain is not None:
        return MoreSeeds(labelled, answer(newest.gain))
    earlier = [one for other, one in told[1:] if _settings(other) == _settings(run)]
    return MoreSeeds(labelled, _beside(newest, earlier))


def _beside(newest: SeedsTold, earlier: Sequence[SeedsTold]) -> Answer | None:
    for one in sorted(earlier, key=lambda told: told.seeds):
        both = sorted(newest.losses.keys() & one.losses.keys())
        if 0 < one.seeds * _LEAST_RATIO <= newest.seeds and len(both) >= FEWEST_HELD:
            doublings = math.log2(newest.seeds / one.seeds)
            fewer, more = (np.array([told.losses[key] for key in both]) / doublings for told in (one, newest))
            return answer(paired_bootstrap(fewer, more))
    return None


def answer(gain: Difference) -> Answer:
    """``gain``: what twice as many seeds would change, nats a token, below 0 better. Certain and tiny is little."""
    return "little" if gain.low > -_LITTLE else "helps" if gain.high < 0 else "unclear"


def _settings(run: RunRow) -> Settings:
    request = run.config.get("request", {})
    return run.encoder_fingerprint, *(request.get(name) for name in ("preset", "lm", "text_file", "overrides"))
