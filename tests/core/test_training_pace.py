"""Stages with a time limit: they plan for it, so that their learning rates have come down by its end."""

from __future__ import annotations

import time

import pytest

from core.training.steps import fit_in_time


class AStage:
    def __init__(self) -> None:
        self.steps, self.evaluate_every = 100, 10

    def shorten(self, steps: int) -> None:
        self.steps = steps


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)


def test_a_stage_takes_the_steps_that_fit_with_their_evaluations():
    stage = AStage()
    fit_in_time(stage, 1000 + 10, done=4, step_s=0.5, judge_s=1.0)
    assert stage.steps == 4 + 14  # (0.95 · 10 s - 1 s for the last evaluation) / (0.5 s + a tenth of 1 s)


def test_a_stage_with_time_enough_stays_as_it_is():
    stage = AStage()
    fit_in_time(stage, 1000 + 1000, done=4, step_s=0.5, judge_s=1.0)
    assert stage.steps == 100


def test_a_stage_that_is_late_already_takes_one_more_step():
    stage = AStage()
    fit_in_time(stage, 1000 - 50, done=4, step_s=0.5, judge_s=1.0)
    assert stage.steps == 5
