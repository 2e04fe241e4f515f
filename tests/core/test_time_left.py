"""How long a training takes: planned from what is known of this computer, told anew while it runs, kept afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from core import machine, paths
from core.jobs import QuietContext
from core.measured import keep_measured, measured
from core.training import time_left
from core.training.adaptation import adapted
from core.training.messages import DRAWING, LOOKING, MetricRow, StageStarted, TimeLeft, TrainRequest
from core.training.presets import PRESETS
from core.training.time_left import (
    ENOUGH_STEPS,
    Forecast,
    Material,
    Pace,
    Paces,
    Plan,
    Timed,
    expected,
    plan_of,
    read_paces,
)

PACE = Pace(load=30.0, look=0.1, stage1=1.0, stage2=2.0, finish=20.0)
PLAN = Plan(100, 100, 100)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time_left.time, "monotonic", made)
    return made


class Told(QuietContext):
    def __init__(self):
        self.left: list[TimeLeft] = []

    def partial(self, result):
        if isinstance(result, TimeLeft):
            self.left.append(result)


def steps(forecast: Forecast, clock: Clock, number: int, seconds: float, total: int = 100) -> None:
    for step in range(1, number + 1):
        clock.now += seconds
        forecast.step(total - step)


def test_the_plan_counts_all_that_comes_and_nothing_that_is_behind(clock):
    assert PACE.seconds(PLAN) == 30 + 10 + 100 + 200 + 20
    forecast = Forecast(PACE, PLAN, clock=clock)
    assert forecast.left == PACE.seconds(PLAN)
    clock.now += 30
    forecast.look(0, 100)
    clock.now += 10
    forecast.look(100, 100)
    forecast.begin(1, 100)
    assert forecast.left == pytest.approx(100 + 200 + 20)
    steps(forecast, clock, 100, 1.0)
    assert forecast.left == pytest.approx(200 + 20)
    forecast.begin(2, 100)
    steps(forecast, clock, 100, 2.0)
    assert forecast.left == pytest.approx(20)


def test_a_computer_that_is_busy_now_makes_the_rest_longer_too(clock):
    forecast = Forecast(PACE, PLAN, clock=clock)
    forecast.begin(1, 100)
    steps(forecast, clock, 10, 5.0)
    assert forecast.slowness == pytest.approx(5)
    assert forecast.left == pytest.approx(90 * 5 + 100 * 2 * 5 + 20 * 5)


def test_a_training_is_planned_anew_for_the_device_it_runs_on(seedcap_home, tmp_path, clock):
    keep_measured("training-pace", {time_left.name_of(TrainRequest(tmp_path)): asdict(PACE)})
    timed = Timed(told := Told(), TrainRequest(tmp_path), PLAN)
    timed.plan_anew(Plan(0, 400, 100))
    timed.progress(0, None, "Loading the models")
    assert told.left[0].seconds == pytest.approx(30 + 400 + 200 + 20)


def test_a_limit_bounds_what_is_told(clock):
    forecast = Forecast(PACE, PLAN, limit_s=60.0, clock=clock)
    forecast.begin(1, 100)
    assert forecast.left == pytest.approx(60 + 20)
    clock.now += 50
    assert forecast.left == pytest.approx(10 + 20)


def test_what_a_stopped_training_has_behind_it_is_not_planned_again():
    preset = PRESETS["recommended"]
    one, two = adapted(preset, 5, large=False).stage1.steps, preset.stage2.steps
    request, photos, none = TrainRequest(Path()), Material(7, 5, 40, 5), Material(0, 5, 40, 5)
    assert plan_of(preset, request, photos) == Plan(7, one, two, 40, 5 * one)
    assert plan_of(preset, request, none, done={1: 20}) == Plan(0, one - 20, two, 40)
    assert plan_of(preset, request, none, done={1: 60, 2: 5}) == Plan(0, 0, two - 5), "stage 1 had stopped early"
    assert plan_of(PRESETS["clipcap-mlp"], request, none).stage2 == 0


def test_few_captions_are_left_out_in_turn_first(clock):
    preset, request, few = PRESETS["recommended"], TrainRequest(Path()), Material(0, 36, 40, 12)
    assert plan_of(preset, request, few).folds == 5 * adapted(preset, 36, large=False).stage1.steps
    assert plan_of(preset, replace(request, limit_minutes=5.0), few).folds == 0
    assert plan_of(preset, request, replace(few, labelled=25)).folds == 0
    forecast = Forecast(PACE, Plan(0, 100, 100, folds=500), clock=clock)
    assert forecast.left == pytest.approx(30 + 500 + 100 + 200 + 20)
    clock.now += 10
    forecast.fold(0, 500)
    assert forecast.left == pytest.approx(500 + 100 + 200 + 20), "as planned, without the loading that is behind"
    clock.now += 50
    forecast.fold(100, 500)
    assert forecast.left == pytest.approx(400 * 0.5 + 100 + 200 + 20), "as they go"
    forecast.begin(1, 100)
    assert forecast.left == pytest.approx(100 + 200 + 20)
    assert forecast.measured.load == 10, "what is tried beforehand is no loading"


def test_the_plan_counts_a_new_mappers_practice_and_the_sentences_that_are_drawn(monkeypatch):
    preset, request, many = PRESETS["recommended"], TrainRequest(Path()), Material(0, 60, 9000, 60)
    first = preset.stage1
    assert preset.stage2 is not None and preset.stage2.sentences == 6000
    assert plan_of(preset, request, many).drawn == (6000 - 60) // 4
    assert plan_of(preset, request, replace(many, captions=9000)).drawn == 3000 // 4, "half of them are people's"
    other = replace(request, encoder="open_clip:a/b")
    assert plan_of(preset, other, many).stage1 == first.steps + first.fresh_steps
    assert plan_of(replace(preset, new_mapper=True), request, many).stage1 == first.steps + first.fresh_steps
    assert plan_of(preset, replace(other, stages="2"), many).stage1 == 0
    large = replace(request, lm="hf:someone/large", device="cpu")
    slow = adapted(preset, 60, large=True, on_processor=True).stage1
    assert plan_of(preset, large, many) == Plan(0, slow.steps + slow.fresh_steps, preset.stage2.steps, 1500 // 4)
    assert plan_of(preset, replace(large, device="cuda:0"), many).stage1 > slow.steps + slow.fresh_steps
    monkeypatch.setenv("SEEDCAP_DEVICE", "cuda:0")
    assert plan_of(preset, replace(large, device="auto"), many).drawn == (6000 - 60) // 4
    assert plan_of(PRESETS["clipcap-mlp"], request, many).drawn == 0


def test_drawing_sentences_is_planned_measured_and_kept(clock):
    drawing = replace(PACE, draw=0.5)
    plan = replace(PLAN, drawn=100)
    assert drawing.seconds(plan) == PACE.seconds(PLAN) + 50
    forecast = Forecast(drawing, plan, clock=clock)
    assert forecast.left == drawing.seconds(plan)
    forecast.begin(1, 100)
    steps(forecast, clock, 100, 1.0)
    assert forecast.left == pytest.approx(50 + 200 + 20)
    forecast.draw(0, 100)
    clock.now += 60
    forecast.draw(60, 100)
    assert forecast.left == pytest.approx(40 * 1.0 + 200 + 20)
    forecast.begin(2, 100)
    assert forecast.left == pytest.approx(200 + 20)
    assert forecast.measured.draw == pytest.approx(1.0)


def test_a_job_that_draws_is_heard(seedcap_home, tmp_path, clock):
    timed = Timed(Told(), TrainRequest(tmp_path), replace(PLAN, drawn=100))
    timed.progress(0, 100, DRAWING)
    clock.now += 128
    timed.progress(64, 100, DRAWING)
    assert timed._forecast.measured.draw == pytest.approx(2.0)


def test_what_an_earlier_version_kept_still_counts(seedcap_home):
    old = {name: value for name, value in asdict(PACE).items() if name != "draw"}
    keep_measured("training-pace", {"recommended starter starter": old})
    assert read_paces().known["recommended starter starter"] == PACE


def test_nothing_is_promised_of_a_computer_or_models_that_are_not_known(tmp_path):
    request = TrainRequest(tmp_path)
    assert expected(Paces({}), request, PLAN) is None
    low, high = expected(Paces({}, 50.0), request, PLAN) or (0, 0)
    slower, _ = expected(Paces({}, 5.0), request, PLAN) or (0, 0)
    assert 0 < low < high and slower > high
    other = TrainRequest(tmp_path, lm="hf:someone/large")
    assert expected(Paces({}, 50.0), other, PLAN) is None
    known = Paces({time_left.name_of(other): PACE}, 50.0)
    low, high = expected(known, other, PLAN) or (0, 0)
    assert low < PACE.seconds(PLAN) < high


def test_a_training_tells_the_time_left_and_the_next_one_knows_it_before(seedcap_home, tmp_path, clock):
    told, request = Told(), TrainRequest(tmp_path)
    machine.keep_rate(machine.GemmRate(1e6, "made up", "fast"))
    timed = Timed(told, request, PLAN)
    timed.progress(0, None, "Loading the models")
    timed.partial(StageStarted(1, 100))
    for step in range(1, ENOUGH_STEPS + 4):
        clock.now += 3.0
        timed.partial(MetricRow(1, step, loss=1.0))
        timed.partial(MetricRow(1, step, values={"nll": 1.0}))  # a check is no step
    timed.keep()
    assert told.left[0].seconds < told.left[-1].seconds and not told.left[0].slow
    assert told.left[-1].slow, "so fast a computer was to take much less"
    pace = read_paces().known[time_left.name_of(request)]
    assert pace.stage1 == pytest.approx(3.0)
    again = Timed(Told(), request, PLAN)
    again.partial(StageStarted(1, 100))
    assert again._ctx.left[0].seconds > 300  # type: ignore[attr-defined]


def test_of_unknown_models_nothing_is_told_before_some_steps(seedcap_home, tmp_path, clock):
    told = Told()
    timed = Timed(told, TrainRequest(tmp_path, lm="hf:someone/large"), PLAN)
    timed.partial(StageStarted(1, 100))
    assert told.left == []
    for step in range(1, ENOUGH_STEPS + 2):
        clock.now += 2.0
        timed.partial(MetricRow(1, step, loss=1.0))
    assert told.left and not told.left[-1].slow, "slower than what?"


def test_a_training_stopped_at_once_leaves_what_was_known(seedcap_home, tmp_path):
    Timed(Told(), TrainRequest(tmp_path), PLAN).keep()
    assert not measured("training-pace")


def pace(**values) -> str:
    return json.dumps({"a": asdict(Pace(1, 1, 1, 1, 1)) | values})


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"a": 1}', pace(load="x"), '{"a": {}}', pace(look=float("nan")), pace(finish=-1), pace(b=1)]
)
def test_a_damaged_file_is_as_good_as_none(seedcap_home, content):
    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    for name in ("training-pace", "speed"):
        (paths.cache_dir() / f"{name}.json").write_text(content)
    assert read_paces() == Paces({})


def test_a_cache_that_cannot_be_written_costs_nothing_else(seedcap_home):
    paths.cache_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.cache_dir().write_text("a file in its place")
    keep_measured("speed", {"gflops": 3.0})
    assert not measured("speed")


def test_the_best_moment_counts_and_what_the_trainer_itself_reached_stays(seedcap_home, monkeypatch):
    rates = iter((3.0, 9.0, 5.0, 2.0, 4.0))
    monkeypatch.setattr(machine, "_numpy_rate", lambda _seconds: machine.GemmRate(next(rates), "numpy 2", "here"))
    assert machine.quick_rate(tries=3).gflops == 9.0 == read_paces().gflops
    assert machine.quick_rate(tries=1).gflops == 2.0, "another program may have slowed it the first time"
    trainer = machine.GemmRate(70.0, "torch 2", "card")
    machine.keep_rate(trainer)
    assert machine.quick_rate() == machine.kept_rate() == trainer


def test_looking_is_said_as_it_is_listened_for(monkeypatch, tmp_path):
    from core.encoders import embed

    said = []
    monkeypatch.setattr(embed, "VectorStore", lambda *_: None)
    monkeypatch.setattr(embed, "_copies", lambda *_: [])
    monkeypatch.setattr(embed, "stamps", lambda *_: {})
    monkeypatch.setattr(embed, "_decoded", lambda *_: [])
    monkeypatch.setattr(embed, "_Writer", lambda *_: type("W", (), {"flush": lambda self: None})())
    encoder = type("E", (), {"fingerprint": "", "dim": 1})()
    ctx = QuietContext()
    monkeypatch.setattr(ctx, "progress", lambda done, total, message: said.append(message))
    embed.embed_library(None, encoder, ctx)  # type: ignore[arg-type]
    assert said == [LOOKING]
