"""What goes into a training job and what comes out of it while it runs and at its end; plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.marking import tr

LOADING, LOOKING = tr("Loading the models"), tr("Looking at the photos")
FOLDING = tr("Trying stage 1 without some of your captions")
DRAWING, READING = tr("Captioning photos to practise with"), tr("Reading these captions")
TRYING = tr("Trying whether these captions help")
BEFORE_PRACTICE = DRAWING, READING, TRYING
FINISHING = COMPARING, REPORTING = tr("Comparing with the model in use"), tr("Writing the report")
"""What a job says it does before the stages, between them, and after them."""

GateState = Literal["green", "amber", "red"]
Kept = Literal["before", "stage1", "stage2"]
"""Which model a training ended with; ``before``: the one it began with, as nothing was better."""


@dataclass(frozen=True)
class TrainRequest:
    """What ``train`` is asked to do.

    ``library``: its folder. ``stages``: ``"1"``, ``"2"`` or ``"12"``; ``"2"`` goes on from the library's current model.
    ``text_file``: sentences, one a line, for text-only practice. ``overrides``: settings of the preset by dotted name,
    e.g. ``{"stage2.steps": 50}``. ``device``: see :mod:`core.devices`; a training may go on on another one.
    """

    library: Path
    preset: str = "recommended"
    encoder: str = "starter"
    lm: str = "starter"
    text_file: Path | None = None
    stages: str = "12"
    limit_minutes: float | None = None
    resume: bool = False
    seed: int = 0
    overrides: Mapping[str, object] = field(default_factory=dict)
    device: str = "auto"


@dataclass(frozen=True)
class StageStarted:
    """A stage (1 or 2) begins, or goes on after ``done`` steps, and will take at most so many in all."""

    stage: int
    total_steps: int
    done: int = 0


@dataclass(frozen=True)
class MetricRow:
    """Where a stage is. ``loss`` in nats per token; ``reward`` mean over captions; ``kl`` in nats per caption.

    ``values`` holds what an evaluation measured at this step; it is empty between evaluations.
    """

    stage: int
    step: int
    loss: float | None = None
    reward: float | None = None
    kl: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """Captions of the same few photos as training goes on: ``(image_id, caption)``."""

    step: int
    items: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class GateRow:
    """One guard in words a person can check."""

    name: str
    state: GateState
    sentence: str


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the whole training has ended; ``slow``: steps take much longer than was planned."""

    seconds: float
    slow: bool = False


@dataclass(frozen=True)
class StageResult:
    """A model judged on held-out photos: clip_s, r1 (percent), mrr, cider, nll, unique_ratio, rep2, length and more."""

    values: Mapping[str, float]
    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class OwnCaptions:
    """Whether the encoder knows such photos: of ``captions`` by a person ``found`` find theirs among the first five of
    ``photos``."""

    captions: int
    found: int
    photos: int

    @property
    def few(self) -> bool:
        """Whether those are fewer than an encoder finds that knows such photos. Captions of Flickr8k find theirs by the
        starter's to 0.7 (of 400 photos) and 0.9 (of 100); those of aerial photos, unknown to it, to 0.3 (of either)."""
        return self.found < 0.4 * self.captions


@dataclass(frozen=True)
class TrainReport:
    """How a training ended: which model is kept, why, and what was measured on photos that it never learned from.

    ``held_seeds``: those of the held-out photos that have captions. ``learned_wording``: whether stage 1, where it ran,
    told held-out captions better than before. ``page``: an HTML file about the run, where it could be written.
    ``own_captions``: ``None`` where too few can tell.
    """

    run_id: str
    folder: Path
    kept: Kept
    reason: str
    results: Mapping[str, StageResult]
    gates: tuple[GateRow, ...]
    seeds: int
    held_out: int
    unlabelled: int
    seconds: float
    notes: tuple[str, ...] = ()
    learned_wording: bool = True
    page: Path | None = None
    held_seeds: int = 0
    own_captions: OwnCaptions | None = None
