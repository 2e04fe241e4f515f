"""The loop that both stages run in: steps, evaluations, the best weights so far, stopping and going on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from core.captioner.captioner import Captioner
from core.captioner.checkpoint import save_captioner
from core.jobs import Cancelled, JobContext
from core.training.compute import Precision
from core.training.evaluate import Evaluation, Judge
from core.training.messages import MetricRow, Samples, StageStarted
from core.training.runfolder import METRICS, SAMPLES, RunFolder, StageOutcome
from core.training.state import Progress, Weights, copy_of, load_state, put_back, save_state, trained_weights

SAVE_EVERY_S = 60.0
"""A crash costs at most so much training; saving depends on the clock, the result does not."""
_PACED_STEPS = 4
"""So many steps tell how fast a stage is; the first of them, which is slower, does not count."""
_MARGIN = 0.95
"""Of the time left, what a stage with a time limit plans to use."""


@dataclass(frozen=True)
class Environment:
    """What a stage works with besides its data and settings. ``deadline``: of ``time.monotonic``, or ``None``."""

    captioner: Captioner
    judge: Judge
    run: RunFolder
    ctx: JobContext
    seed: int
    precision: Precision
    resume: bool = False
    deadline: float | None = None
    with_lm: bool = True


@dataclass(frozen=True)
class StepResult:
    """Means of one step; see :class:`MetricRow`."""

    loss: float | None
    reward: float | None = None
    kl: float | None = None


class Paced(Protocol):
    """Something of so many steps."""

    steps: int
    evaluate_every: int

    def shorten(self, steps: int) -> None:
        """End after ``steps``, with learning rates that come down by then: there is no time for more."""
        ...


class Stage(Paced, Protocol):
    """What a stage adds to the loop."""

    number: int
    title: str
    optimiser: torch.optim.Optimizer

    def step(self, step: int, progress: Progress) -> StepResult:
        """Train once. Raises ``Cancelled`` before any weight has changed."""
        ...

    def consider(self, evaluation: Evaluation, progress: Progress) -> float:
        """The score of a model with this evaluation (higher is better); may set ``progress.stopped`` to a reason."""
        ...


def run_stage(stage: Stage, env: Environment) -> StageOutcome:
    """Train to the end, leave the best weights in the captioner and its checkpoint in the run folder.

    When cancelled, the state is saved so that going on gives what an unbroken training would have given, and the best
    model so far lies in the stage's folder.
    """
    wanted = stage.steps
    best, progress = _begin(stage, env)
    env.ctx.partial(StageStarted(stage.number, wanted, progress.step))
    started = time.monotonic() - progress.seconds
    try:
        _loop(stage, env, best, progress, lambda: time.monotonic() - started)
    except Cancelled:
        progress.seconds = time.monotonic() - started
        _save_unfinished(stage, env, best, progress)
        raise
    if stage.steps < wanted and not progress.stopped:
        progress.stopped = f"{stage.steps} of {wanted} steps fitted in the time given"
    if progress.step >= wanted:
        progress.stopped = ""  # at its last step it has ended anyway
    put_back(env.captioner, best)
    save_captioner(env.captioner, env.run.stage(stage.number), with_lm=env.with_lm)
    seconds = time.monotonic() - started
    outcome = StageOutcome(progress.step, max(0, progress.best_step), seconds, progress.stopped, progress.values)
    env.run.write_outcome(stage.number, outcome)
    env.run.forget_state(stage.number)
    return outcome


def _begin(stage: Stage, env: Environment) -> tuple[Weights, Progress]:
    file = env.run.state(stage.number)
    if env.resume and file.is_file():
        best, progress = load_state(file, env.captioner, stage.optimiser)
        env.run.forget_rows_after(stage.number, progress.step)
        return best, progress
    env.run.forget_state(stage.number)
    env.run.forget_rows_after(stage.number, -1)
    return copy_of(trained_weights(env.captioner)), Progress()


def _loop(stage: Stage, env: Environment, best: Weights, progress: Progress, elapsed: Callable[[], float]) -> None:
    saved = time.monotonic()
    judging, training = 0.0, list[float]()
    while True:
        if env.run.asked_to_end and not progress.stopped:
            progress.stopped = "it was ended by hand"
        began = time.monotonic()
        due = progress.step % stage.evaluate_every == 0 or progress.step == stage.steps or bool(progress.stopped)
        if due and progress.judged != progress.step:
            _judge(stage, env, best, progress)
            judging = time.monotonic() - began
        if progress.step >= stage.steps or progress.stopped:
            return
        env.ctx.check_cancelled()
        began = time.monotonic()
        result = stage.step(progress.step, progress)
        progress.step += 1
        training.append(time.monotonic() - began)
        if env.deadline is not None and len(training) == _PACED_STEPS:
            fit_in_time(stage, env.deadline, progress.step, statistics.median(training[1:]), judging)
        env.ctx.progress(progress.step, stage.steps, stage.title)
        row = MetricRow(stage.number, progress.step, result.loss, result.reward, result.kl)
        env.ctx.partial(row)
        env.run.add_row(METRICS, _plain(row))
        if env.deadline is not None and time.monotonic() > env.deadline:
            progress.stopped = "the time given was over"
        if time.monotonic() - saved > SAVE_EVERY_S:
            progress.seconds = elapsed()
            save_state(env.run.state(stage.number), env.captioner, stage.optimiser, best, progress)
            saved = time.monotonic()


def fit_in_time(stage: Paced, deadline: float, done: int, step_s: float, judge_s: float) -> None:
    """Shorten the stage to the steps, and the evaluations between them, that end before the deadline."""
    left = _MARGIN * (deadline - time.monotonic()) - judge_s
    fitting = done + max(1, int(left / (step_s + judge_s / stage.evaluate_every)))
    if fitting < stage.steps:
        stage.shorten(fitting)


def _judge(stage: Stage, env: Environment, best: Weights, progress: Progress) -> None:
    # All that can be cancelled comes first: what follows changes the progress, and must not happen twice.
    evaluation = env.judge(env.captioner)
    samples = Samples(progress.step, env.judge.samples(env.captioner))
    score = stage.consider(evaluation, progress)
    if score > progress.best_score:
        progress.best_score, progress.best_step = score, progress.step
        best.update(copy_of(trained_weights(env.captioner)))
    row = MetricRow(stage.number, progress.step, values=evaluation.values)
    env.ctx.partial(row)
    env.ctx.partial(samples)
    env.run.add_row(METRICS, _plain(row))
    env.run.add_row(SAMPLES, {"stage": stage.number, "step": progress.step, "captions": dict(samples.items)})
    progress.judged = progress.step


def _save_unfinished(stage: Stage, env: Environment, best: Weights, progress: Progress) -> None:
    now = copy_of(trained_weights(env.captioner))
    put_back(env.captioner, best)
    save_captioner(env.captioner, env.run.stage(stage.number), with_lm=env.with_lm)
    put_back(env.captioner, now)
    save_state(env.run.state(stage.number), env.captioner, stage.optimiser, best, progress)


def _plain(row: MetricRow) -> dict[str, object]:
    values = {"loss": row.loss, "reward": row.reward, "kl": row.kl, **row.values}
    return {"stage": row.stage, "step": row.step, **{name: v for name, v in values.items() if v is not None}}
