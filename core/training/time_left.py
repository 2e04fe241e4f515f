"""How long a training takes on this computer: planned from what earlier ones took here, told anew while one runs.

What was measured is kept in the cache folder, for each combination of preset and models. No torch.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields

from core import machine
from core.devices import AUTO, CPU, asked_for
from core.jobs import JobContext
from core.measured import keep_measured, measured
from core.training.adaptation import adapted, folds_of
from core.training.drawing import photos_to_draw
from core.training.messages import DRAWING, FOLDING, LOOKING, MetricRow, StageStarted, TimeLeft, TrainRequest
from core.training.presets import Preset

_KEPT = "training-pace"
ENOUGH_STEPS = 4
"""So many tell how fast a stage is; the first of them, which is slower, does not count."""
ENOUGH_PHOTOS = 8
SLOW = 2.0
"""So many times as long as planned is worth a remark."""
_EVERY_S = 1.0
_SURELY = 0.2
_DRAW = 0.02
"""Drawing sentences of a photo, in steps of stage 2 with the starter models: those draw 80 captions, and learn too."""
# Of the time that the doctor tells for 500 photos, each part's share, as seen in trainings with the starter models.
_SHARES = {"load": 0.1, "look": 0.2, "stage1": 0.3, "stage2": 0.3, "finish": 0.1}


@dataclass(frozen=True)
class Pace:
    """Seconds on one computer: ``load`` before the first step, without the looking; ``look`` a photo; ``stage1`` and
    ``stage2`` a step, its share of the checks included; ``finish`` after the last step; ``draw`` a photo of which
    sentences are drawn before stage 2, the reading of these included."""

    load: float
    look: float
    stage1: float
    stage2: float
    finish: float
    draw: float = 0.0

    def seconds(self, plan: Plan) -> float:
        """Of all that is planned."""
        stages = self.stage1 * (plan.stage1 + plan.folds) + self.stage2 * plan.stage2
        return self.load + self.look * plan.photos + stages + self.draw * plan.drawn + self.finish


@dataclass(frozen=True)
class Plan:
    """What is to do: photos to look at, steps of each stage, photos to draw sentences of between them, and steps of
    stage 1 with seeds left out in turn before."""

    photos: int
    stage1: int
    stage2: int
    drawn: int = 0
    folds: int = 0


@dataclass(frozen=True)
class Material:
    """What a training has to learn from, as far as it is known beforehand: ``photos`` that were not looked at yet,
    ``captions`` by people, photos ``without`` one and ``labelled`` ones."""

    photos: int
    captions: int
    without: int
    labelled: int


@dataclass(frozen=True)
class Paces:
    """What is known of this computer: paces by :func:`name_of`, and the GFLOP/s that were measured, or ``None``."""

    known: Mapping[str, Pace]
    gflops: float | None = None


def plan_of(preset: Preset, request: TrainRequest, material: Material, done: Mapping[int, int] | None = None) -> Plan:
    """The steps that ``request`` takes with ``preset``; on the processor, unless it or ``SEEDCAP_DEVICE`` names another
    device: which one ``auto`` means only torch can say. ``done``: steps of each stage that are behind."""
    done = done or {}
    large = request.lm != TrainRequest.lm
    slowly = large and (asked_for() if request.device == AUTO else request.device) in (AUTO, CPU)
    first = folds = 0
    if "1" in request.stages and not done.get(2):
        stage = adapted(preset, material.captions, large=large, on_processor=slowly).stage1
        fresh = _has_new_mapper(request, preset)
        first = stage.steps + (stage.fresh_steps if fresh else 0)
        if not done.get(1):
            limited = request.limit_minutes is not None
            folds = first * folds_of(stage, material.labelled, fresh=fresh, limited=limited)
    second = preset.stage2.steps if "2" in request.stages and preset.stage2 is not None else 0
    drawn = 0
    if preset.stage2 is not None and second and not done.get(2):
        drawn = photos_to_draw(preset.stage2.sentences, material.captions, material.without, slowly=slowly)
    steps = max(0, first - done.get(1, 0)), max(0, second - done.get(2, 0))
    return Plan(material.photos, *steps, drawn, folds)


def _has_new_mapper(request: TrainRequest, preset: Preset) -> bool:
    """Whether stage 1 begins with text-only practice: the starter's mapper fits its own models alone."""
    return preset.wants_new_mapper or not request.encoder == request.lm == TrainRequest.lm


def name_of(request: TrainRequest) -> str:
    """By what a pace is kept: trainings with the same models and method take the same steps."""
    return " ".join((request.preset, request.encoder, request.lm))


def read_paces() -> Paces:
    """What earlier trainings on this computer have left, and its measured speed; a damaged file is as good as none."""
    rate = machine.kept_rate()
    return Paces(_kept(), None if rate is None else rate.gflops)


def expected(paces: Paces, request: TrainRequest, plan: Plan) -> tuple[float, float] | None:
    """Seconds at least and at most; ``None`` where nothing is known of these models on this computer."""
    if (pace := paces.known.get(name_of(request))) is not None:
        seconds = pace.seconds(plan)
        return seconds * (1 - _SURELY), seconds * (1 + _SURELY)
    if paces.gflops is None or not request.encoder == request.lm == TrainRequest.lm:
        return None
    seconds = pace_of_speed(paces.gflops).seconds(plan)
    return seconds * machine.SPAN[0], seconds * machine.SPAN[1]


def pace_of_speed(gflops: float) -> Pace:
    """A first guess for the starter models, from the rate of matrix products alone."""
    whole, _ = machine.seconds_for_500_photos(machine.GemmRate(gflops, "", ""))
    part = {name: share * whole for name, share in _SHARES.items()}
    step = part["stage2"] / 100
    return Pace(part["load"], part["look"] / 500, part["stage1"] / 100, step, part["finish"], _DRAW * step)


class Steps:
    """The pace of one stage, from the times between its steps; the first holds the check before it as well."""

    def __init__(self, planned: float) -> None:
        self._planned = planned
        self._took: list[float] = []

    def add(self, seconds: float) -> None:
        self._took.append(seconds)

    @property
    def measured(self) -> float | None:
        """Seconds a step with its share of the checks; ``None`` until there are enough."""
        if len(self._took) < ENOUGH_STEPS:
            return None
        # A step after a check holds the check too: the mean counts them as often as they come.
        plain = statistics.median(self._took[1:])
        return max(plain, statistics.fmean(self._took[1:]))

    @property
    def slowness(self) -> float | None:
        """How many times as long as planned."""
        return None if self.measured is None or self._planned <= 0 else self.measured / self._planned


class Forecast:
    """Where a training is in its plan, and what that says of the rest. ``limit_s``: of both stages together."""

    def __init__(
        self, pace: Pace, plan: Plan, limit_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pace, self._limit, self._clock = pace, limit_s, clock
        self._began = self._at = clock()
        self._look_began: float | None = None
        self._looked = self._looked_s = 0.0
        self._stage = 0
        self._stages_began: float | None = None
        self._fold_began: float | None = None
        self._fold_s: float | None = None
        self._folded_before = 0
        self.plan_anew(plan)
        self._draw_began: float | None = None
        self._draw_s: float | None = None
        self._steps = {1: Steps(pace.stage1), 2: Steps(pace.stage2)}
        self._loaded: float | None = None

    def plan_anew(self, plan: Plan) -> None:
        """Before anything of it has begun."""
        self._todo = {1: plan.stage1, 2: plan.stage2}
        self._photos, self._drawn, self._folds = plan.photos, plan.drawn, plan.folds

    def look(self, done: int, total: int) -> None:
        """So many of so many photos were looked at."""
        now = self._clock()
        if self._look_began is None:
            self._look_began = now
        self._looked, self._looked_s, self._photos = done, now - self._look_began, total - done

    def fold(self, done: int, total: int) -> None:
        """So many of so many steps on seeds left out in turn were made."""
        now = self._clock()
        if self._fold_began is None:
            self._fold_began, self._folded_before = now, done
        if done - self._folded_before >= ENOUGH_STEPS:
            self._fold_s = (now - self._fold_began) / (done - self._folded_before)
        self._folds = total - done

    def draw(self, done: int, total: int) -> None:
        """Sentences were drawn of so many of so many photos."""
        now = self._clock()
        if self._draw_began is None:
            self._draw_began = now
        if done >= ENOUGH_PHOTOS:
            self._draw_s = (now - self._draw_began) / done
        self._drawn = total - done

    def begin(self, stage: int, steps: int) -> None:
        """A stage begins with so many steps to do."""
        now = self._clock()
        if self._stages_began is None:
            self._stages_began, self._loaded = now, (self._fold_began or now) - self._began - self._looked_s
        if stage == 2:
            self._todo[1] = self._drawn = 0
        self._stage, self._at, self._photos, self._folds = stage, now, 0, 0
        self._todo[stage] = steps

    def step(self, left: int) -> None:
        """A step was done; so many are left."""
        now = self._clock()
        self._steps[self._stage].add(now - self._at)
        self._at = now
        self._todo[self._stage] = left

    @property
    def left(self) -> float:
        """Seconds until the whole training has ended."""
        now, slow, pace = self._clock(), self.slowness, self._pace
        look = self._looked_s / self._looked if self._looked >= ENOUGH_PHOTOS else pace.look
        stages = sum(self._todo[n] * (self._steps[n].measured or slow * of) for n, of in self._planned)
        stages += self._drawn * (self._draw_s or slow * pace.draw)
        loading = 0.0
        if self._stages_began is not None:
            if self._limit is not None:
                stages = min(stages, max(0.0, self._limit - (now - self._stages_began)))
        elif self._fold_began is None:
            loading = max(0.0, pace.load - (now - self._began - self._looked_s))
        stages += self._folds * (self._fold_s or slow * pace.stage1)
        return loading + self._photos * look + stages + slow * pace.finish

    @property
    def slowness(self) -> float:
        """How many times as long as planned things take; 1 until something is known."""
        known = [found for n in (2, 1) if (found := self._steps[n].slowness) is not None]
        return known[0] if known else 1.0

    @property
    def measured(self) -> Pace:
        """What this training shows; as planned where it did not get that far."""
        return Pace(
            self._pace.load if self._loaded is None else self._loaded,
            self._looked_s / self._looked if self._looked >= ENOUGH_PHOTOS else self._pace.look,
            self._steps[1].measured or self.slowness * self._pace.stage1,
            self._steps[2].measured or self.slowness * self._pace.stage2,
            self._pace.finish if self._stages_began is None else self._finish,
            self._draw_s or self.slowness * self._pace.draw,
        )

    @property
    def learned(self) -> bool:
        """Whether enough steps were done to say how fast this computer is."""
        return any(steps.measured is not None for steps in self._steps.values())

    @property
    def _planned(self) -> tuple[tuple[int, float], ...]:
        return (1, self._pace.stage1), (2, self._pace.stage2)

    @property
    def _finish(self) -> float:
        """Since the last step, where all were done."""
        ended = not any(self._todo.values())
        return self._clock() - self._at if ended else self.slowness * self._pace.finish


class Timed:
    """A job's context that also tells how long the whole training will take (:class:`TimeLeft`), and keeps its pace."""

    def __init__(self, ctx: JobContext, request: TrainRequest, plan: Plan) -> None:
        paces = read_paces()
        self._ctx, self._name = ctx, name_of(request)
        known = paces.known.get(self._name)
        self._plans = known is not None or expected(paces, request, plan) is not None
        limit = None if request.limit_minutes is None else 60 * request.limit_minutes
        self._forecast = Forecast(known or pace_of_speed(paces.gflops or 1.0), plan, limit, time.monotonic)
        self._total = 0
        self._stage = 0
        self._told = float("-inf")
        self.check_cancelled = ctx.check_cancelled

    def plan_anew(self, plan: Plan) -> None:
        """For the device that trains, once it is known which that is; nothing has begun until then."""
        self._forecast.plan_anew(plan)

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        if message == LOOKING and total is not None:
            self._forecast.look(done, total)
        elif message == FOLDING and total is not None:
            self._forecast.fold(done, total)
        elif message == DRAWING and total is not None:
            self._forecast.draw(done, total)
        elif self._stage and total is not None and message.startswith(f"Stage {self._stage}"):
            self._total = total  # a stage with a time limit is shortened on the way
        self._ctx.progress(done, total, message)
        self._tell()

    def partial(self, result: object) -> None:
        if isinstance(result, StageStarted):
            self._stage, self._total = result.stage, result.total_steps
            self._forecast.begin(result.stage, result.total_steps - result.done)
        elif isinstance(result, MetricRow) and not result.values and result.stage == self._stage:
            self._forecast.step(max(0, self._total - result.step))
        self._ctx.partial(result)
        self._tell()

    def keep(self) -> None:
        """Remember the pace for the next training, also after one that was stopped."""
        if self._forecast.learned:
            known = {**_kept(), self._name: self._forecast.measured}
            keep_measured(_KEPT, {name: asdict(pace) for name, pace in known.items()})

    def _tell(self) -> None:
        """Not before anything is known; at most once a second, as each is handed on."""
        now = time.monotonic()
        if now - self._told < _EVERY_S or not (self._plans or self._forecast.learned):
            return
        self._told = now
        slow = self._plans and self._forecast.slowness >= SLOW
        self._ctx.partial(TimeLeft(self._forecast.left, slow))


def _kept() -> dict[str, Pace]:
    """Paces by name, those of another version or hand left out."""
    names, found = {one.name for one in fields(Pace)}, dict[str, Pace]()
    needed = names - {"draw"}  # earlier versions did not measure it
    for name, pace in measured(_KEPT).items():
        if isinstance(pace, dict) and needed <= set(pace) <= names and all(_is_time(one) for one in pace.values()):
            found[name] = Pace(**pace)
    return found


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf
