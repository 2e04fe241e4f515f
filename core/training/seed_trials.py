"""What the seeds themselves tell: folds where few can be held out, and whether more of them would help.

Everything here trains stage 1 on copies and throws them away.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from core.captioner.captioner import IGNORE, Captioner, pad
from core.encoders.encoder import Encoder
from core.jobs import JobContext
from core.metrics.bootstrap import RESAMPLES, Difference, paired_bootstrap
from core.training.adaptation import FOLDS
from core.training.compute import numpy_rng, precision_of
from core.training.data import CaptionedVectors, TrainingData
from core.training.enough import FEWEST_HELD, answer
from core.training.lm_training import begin
from core.training.messages import FOLDING
from core.training.presets import Preset
from core.training.stage1 import Stage1
from core.training.state import Progress
from core.training.steps import Environment

SHARES = (0.25, 0.5, 0.75, 1.0)
_FEWEST_FOR_CURVE = 16
_T_TWO_DEGREES = 4.303
"""Student's t of two degrees of freedom, 95%: a line through four points has two."""
_ROWS = 64


@dataclass(frozen=True)
class Trainer:
    """How stage 1 is trained here: from copies of ``captioner``, which is not changed.

    ``preset``: with what of the language model learns decided (:func:`core.training.adaptation.decided`). ``place``:
    which of how many trainings one is, for the progress, which ``title`` names.
    """

    captioner: Captioner
    encoder: Encoder
    preset: Preset
    ctx: JobContext
    seed: int = 0
    fresh: bool = False
    title: str = "Trying stage 1"
    place: tuple[int, int] = (0, 1)

    def losses(self, data: TrainingData, judged: CaptionedVectors, patience: int | None = None) -> np.ndarray:
        """Nats a token of every photo of ``judged`` at each evaluation, the first before training: ``[e, n]``.

        ``patience``: evaluations without a better mean after which it ends; fewer rows then.
        """
        found: list[np.ndarray] = []
        for captioner in self.stages_of(data):
            found.append(photo_losses(captioner, judged))
            means = [float(one.mean()) for one in found]
            if patience is not None and len(means) - 1 - int(np.argmin(means)) >= patience:
                break
        return np.array(found)

    def stages_of(self, data: TrainingData) -> Iterator[Captioner]:
        """One captioner again and again: before training, where an evaluation is due, at the end."""
        captioner = copy.deepcopy(self.captioner)
        begin(captioner, self.preset.lm, self.seed)
        precision = precision_of(self.preset.precision, captioner.device)
        nobody = cast(Any, None)  # nothing is judged or written on the way
        env = Environment(captioner, nobody, nobody, self.ctx, self.seed, precision)
        stage = Stage1(data, self.encoder, self.preset.stage1, env, fresh=self.fresh)
        number, of = self.place
        yield captioner
        for step in range(stage.steps):
            self.ctx.check_cancelled()
            self.ctx.progress(number * stage.steps + step, of * stage.steps, self.title)
            stage.step(step, Progress(step=step))
            if (step + 1) % stage.evaluate_every == 0 or step + 1 == stage.steps:
                yield captioner


@torch.no_grad()
def photo_losses(captioner: Captioner, photos: CaptionedVectors) -> np.ndarray:
    """``[n]``: nats a token of people's captions of each photo, the end token included."""
    owner, captions = photos.pairs()
    rows = captioner.encode(captions, captioner.max_tokens)
    sums, counts = np.zeros(len(photos)), np.zeros(len(photos))
    for start in range(0, len(rows), _ROWS):
        ids = pad(rows[start : start + _ROWS])
        part = owner[start : start + _ROWS]
        images = torch.from_numpy(photos.images[part]).to(captioner.device)
        losses = captioner.token_losses(images, ids.to(captioner.device)).float().cpu().numpy()
        lengths = (ids != IGNORE).sum(dim=1).numpy()
        np.add.at(sums, np.repeat(part, lengths), losses)
        np.add.at(counts, part, lengths)
    return sums / np.maximum(counts, 1)


# -- folds ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FoldJudgement:
    """Stage 1 judged on every labelled photo by models that did not learn from it.

    ``evaluation``: after which of a training's evaluations the mean was lowest; ``change``: nats a token, later minus
    before, so that below 0 is better.
    """

    folds: int
    photos: int
    before: float
    after: float
    evaluation: int
    change: Difference

    @property
    def sentence(self) -> str:
        more = "no more" if self.change.value >= 0 else "more" if self.change.high < 0 else "perhaps more"
        return (
            f"In {self.folds} trainings, each without some of your {self.photos} captioned photos, stage 1 told the "
            f"photos left out {more} in your words than before: {self.after:.2f} nats a word piece, it was "
            f"{self.before:.2f} (change {self.change.value:+.2f} [{self.change.low:+.2f}, {self.change.high:+.2f}])."
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FoldJudgement:
        """The reverse of ``dataclasses.asdict``, also through JSON."""
        return cls(**{**values, "change": Difference(**values["change"])})


def judge_by_folds(
    trainer: Trainer,
    data: TrainingData,
    folds: int = FOLDS,
    made: Sequence[np.ndarray] = (),
    keep: Callable[[Sequence[np.ndarray]], None] | None = None,
) -> FoldJudgement:
    """k-fold: each labelled photo is left out of one of ``folds`` trainings, and judged there.

    The same number of steps counts for all folds, the one that is best on average: it is one choice for all photos. A
    fold ends early by the patience of stage 1.
    ``made``: losses ``[e, n]`` of the first folds, as an earlier call has handed them to ``keep``.
    """
    everything = joined(data.seeds, data.held_seeds)
    order = numpy_rng(trainer.seed, "folds", 0).permutation(len(everything))
    parts = [part for part in np.array_split(order, folds) if len(part)]
    losses = list(made)
    for number in range(len(losses), len(parts)):
        rest = np.setdiff1d(order, parts[number])
        one = replace(trainer, title=FOLDING, place=(number, len(parts)))
        left_out, patience = chosen(everything, parts[number]), trainer.preset.stage1.patience
        losses.append(one.losses(_with_seeds(data, chosen(everything, rest)), left_out, patience))
        if keep is not None:
            keep(losses)
    columns = np.zeros((max(map(len, losses)), len(everything)))
    for part, found in zip(parts, losses, strict=True):  # one that ended early stays as bad as it was
        columns[:, part] = np.concatenate([found, np.repeat(found[-1:], len(columns) - len(found), axis=0)])
    means = columns.mean(axis=1)
    best = int(means[1:].argmin()) + 1
    change = paired_bootstrap(columns[0], columns[best])
    return FoldJudgement(len(parts), len(everything), float(means[0]), float(means[best]), best, change)


# -- more seeds -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedCurve:
    """Held-out loss by the number of seeds, and what twice as many would change, in nats a token (below 0: better).

    ``gain`` is ``None`` where it cannot be told.
    """

    points: tuple[tuple[int, float], ...]
    gain: Difference | None
    sentence: str


def seed_curve(trainer: Trainer, data: TrainingData) -> SeedCurve:
    """Stage 1 at shares of the seeds, on the same held-out captions, and a look ahead."""
    count, held = len(data.seeds), len(data.held_seeds)
    if count < _FEWEST_FOR_CURVE or held < FEWEST_HELD:
        return SeedCurve((), None, "Whether more captions would help cannot be told yet: there are too few to try.")
    order = numpy_rng(trainer.seed, "shares", 0).permutation(count)
    sizes = [max(1, round(share * count)) for share in SHARES]
    rows = []
    for number, size in enumerate(sizes):
        one = replace(trainer, title="Trying stage 1 with fewer seeds", place=(number, len(sizes)))
        found = one.losses(_with_seeds(data, chosen(data.seeds, np.sort(order[:size]))), data.held_seeds)
        rows.append(found[int(found.mean(axis=1).argmin())])
    losses = np.array(rows)
    points = tuple((size, float(one.mean())) for size, one in zip(sizes, losses, strict=True))
    gain = look_ahead(sizes, losses, seed=trainer.seed)
    return SeedCurve(points, gain, _curve_sentence(count, gain))


def look_ahead(sizes: Sequence[int], losses: np.ndarray, *, seed: int = 0) -> Difference:
    """What doubling the largest of ``sizes`` would change, from ``losses`` ``[sizes, photos]``.

    A line through mean loss against log2 of the size (losses fall about as a power of the data, arXiv 1712.00409, which
    over one doubling is near a line); its slope is the change. The interval joins the bootstrap over photos with how
    far the points are from a line, which says that each size was trained once.
    """
    x = np.log2(np.asarray(sizes, dtype=np.float64))
    centred = x - x.mean()
    spread = float((centred**2).sum())
    slopes = centred @ losses / spread  # [photos]: slopes are linear in the losses
    value = float(slopes.mean())
    residuals = losses.mean(axis=1) - losses.mean() - value * centred
    rows = np.random.default_rng(seed).integers(0, losses.shape[1], size=(RESAMPLES, losses.shape[1]))
    drawn = slopes[rows].mean(axis=1)
    from_line = math.sqrt(float((residuals**2).sum()) / max(1, len(x) - 2) / spread)
    half = math.hypot(1.96 * float(drawn.std()), _T_TWO_DEGREES * from_line)
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1
    return Difference(value, value - half, value + half, float(min(1.0, 2 * tail / (RESAMPLES + 1))))


def _curve_sentence(count: int, gain: Difference) -> str:
    told = f"{gain.value:+.2f} nats a word piece, between {gain.low:+.2f} and {gain.high:+.2f}"
    answered = answer(gain)
    if answered == "helps":
        return f"Twice as many captions ({2 * count}) would tell held-out photos more in your words: about {told}."
    if answered == "little":
        return f"Twice as many captions ({2 * count}) would change little: about {told}."
    return f"Whether more captions would help cannot be told from these: twice as many would change {told}."


def joined(one: CaptionedVectors, other: CaptionedVectors) -> CaptionedVectors:
    """The photos of both; they share none."""
    return CaptionedVectors(
        np.concatenate([one.ids, other.ids]),
        np.concatenate([one.images, other.images]),
        (*one.captions, *other.captions),
    )


def chosen(photos: CaptionedVectors, places: np.ndarray) -> CaptionedVectors:
    return CaptionedVectors(photos.ids[places], photos.images[places], tuple(photos.captions[i] for i in places))


def _with_seeds(data: TrainingData, seeds: CaptionedVectors) -> TrainingData:
    nobody = chosen(data.held_seeds, np.zeros(0, np.int64))
    return replace(data, seeds=seeds, held_seeds=nobody)
