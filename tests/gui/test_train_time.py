"""Train: how long it takes, what stays after a pause, where the keys go, and the words."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtWidgets import QLabel, QPushButton, QScrollArea

from core import machine
from core.library.library import Library
from core.library.runs import CANCELLED, DONE, create_run, runs, update_run
from core.training import time_left
from core.training.job import _with_this_time
from core.training.messages import (
    DRAWING,
    FOLDING,
    LOOKING,
    REPORTING,
    GateRow,
    MetricRow,
    Samples,
    StageStarted,
    TimeLeft,
    TrainReport,
    TrainRequest,
)
from core.training.runfolder import METRICS, SAMPLES, RunFolder
from gui import methods, words
from gui.worker import Failure, Progress
from tests.gui import toy_jobs
from tests.gui.conftest import SPEED, WAIT, close, settle


def write_seeds(qtbot, window, number: int = 6) -> None:
    for image_id in window.view("library").grid.photos.ids[:number]:
        window.session.write(lambda service, i=int(image_id): service.write_seed(i, None, f"words {i}"), lambda _: None)
    window.session.after_writes(window.session.refresh)
    settle(qtbot, window)


def write_stopped(library_path: Path, photo: int, *, steps: int = 20) -> None:
    """A training that was paused in stage 1."""
    begun = {"preset": "recommended", "text_file": "", "library": None, "resume": None}
    with Library.open(library_path) as library:
        run = create_run(library, "recommended", {"request": begun, "preset": {"stage1": {"steps": 100}}})
        folder = RunFolder(run.folder)
        for step in range(1, steps + 1):
            folder.add_row(METRICS, {"stage": 1, "step": step, "loss": 5.0 - step / 100})
        folder.add_row(SAMPLES, {"stage": 1, "step": steps, "captions": {str(photo): "a bridge over water"}})
        update_run(library, run.id, status=CANCELLED)


@pytest.fixture
def train(qtbot, open_window, photos):
    window = open_window(photos)
    write_seeds(qtbot, window)
    window.go("train")
    settle(qtbot, window)
    return window.view("train")


@pytest.fixture
def paused(qtbot, train):
    photo = int(train.window().view("library").grid.photos.ids[0])
    write_stopped(train._session.service.path, photo)
    train._session.refresh()
    settle(qtbot, train.window())
    return train


def begin_endless(train, monkeypatch) -> None:
    """Every training is one that goes on until it is stopped."""
    from gui.views import train_view

    monkeypatch.setattr(train_view, "train", toy_jobs.endless)


def stop(qtbot, train) -> None:
    train.cancel()
    qtbot.waitUntil(lambda: train._job is None, timeout=WAIT)
    settle(qtbot, train.window())


# -- time -------------------------------------------------------------------------------------------------------------


def test_before_training_the_time_is_of_this_computer(qtbot, train):
    assert "minutes on this computer" in train.estimate.text() and " to " in train.estimate.text()
    assert "most computers" not in train.estimate.text()
    first = train.estimate.text()
    pace = time_left.Pace(60.0, 0.1, 60.0, 60.0, 60.0)
    timed = time_left.Timed(toy_context(), TrainRequest(Path("library")), time_left.Plan(8, 100, 100))
    timed._forecast._pace = pace
    timed._forecast.begin(1, 100)
    for left in range(10):
        timed._forecast._steps[1].add(60.0 + left)
    timed.keep()
    train._session.refresh()
    settle(qtbot, train.window())
    assert train.estimate.text() != first and "hours" in train.estimate.text(), "as earlier trainings were here"


def toy_context():
    from core.jobs import QuietContext

    return QuietContext()


def test_a_limit_that_is_shorter_is_said(train):
    train.options.minutes.setCurrentIndex(train.options.minutes.findData(5.0))
    machine_is_slow = train.estimate.text()
    assert "begins with the first step, and again after each pause" in train.options.about_limit.text()
    assert "5 minutes of learning" in machine_is_slow


def test_a_computer_that_is_not_known_is_measured_once(qtbot, open_window, photos, monkeypatch):
    asked = []
    monkeypatch.setattr(machine, "quick_rate", lambda: asked.append(1) or machine.keep_rate(SPEED))
    window = open_window(photos)
    write_seeds(qtbot, window)
    window.go("train")
    settle(qtbot, window)
    assert len(asked) == 1 and "on this computer" in window.view("train").estimate.text()


def test_while_it_runs_the_time_is_of_the_whole_and_slowness_is_said(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    train.begin()
    assert "on this computer" in train.running.expected.text(), "what was said before"
    assert not train.running.slow.isVisible()
    train.show_partials([StageStarted(1, 100), TimeLeft(42 * 60.0, True)])
    assert train.running.left.text() == "About 42 minutes left in all" and not train.running.expected.isVisible()
    assert train.running.slow.isVisible() and "other programs" in train.running.slow.text()
    train._session.heavy.current.partials.emit((TimeLeft(60.0),))
    assert not train.running.slow.isVisible()
    train.window().go("library")
    train._session.heavy.current.progress.emit(Progress(1, 100, "Stage 1: learning"))
    train._session.heavy.current.partials.emit((TimeLeft(62.0),))
    assert train.window().job_bar.time.text() == "1 minute left", "of the whole here too"
    stop(qtbot, train)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (8, 21, "10 to 20 seconds"),
        (100, 500, "2 to 8 minutes"),
        (118, 121, "about 2 minutes"),
        (5400, 9000, "1.5 to 2.5 hours"),
    ],
)
def test_a_span_is_said_in_one_unit(low, high, said):
    assert words.span(low, high) == said


def test_the_bars_are_of_the_whole_as_soon_as_its_time_is_known(qtbot, train, monkeypatch):
    from gui import time_share

    now = [0.0]
    monkeypatch.setattr(time_share, "time", SimpleNamespace(monotonic=lambda: now[0]))
    begin_endless(train, monkeypatch)
    train.begin()
    job, bars = train._job, (train.running.bar, train.window().job_bar.bar)

    def shares() -> set[float]:
        return {bar.value() / bar.maximum() for bar in bars}

    job.partials.emit((StageStarted(1, 100),))
    job.progress.emit(Progress(50, 100, "Stage 1: learning your wording"))
    assert shares() == {0.5}, "of this step: nothing else is known"
    now[0] = 60.0
    job.partials.emit((TimeLeft(240.0),))
    assert shares() == {0.2}
    job.progress.emit(Progress(100, 100, "Stage 1: learning your wording"))
    job.partials.emit((StageStarted(2, 100),))
    job.progress.emit(Progress(1, 100, "Stage 2: telling photos apart"))
    assert shares() == {0.2}, "it does not fill and begin again with each stage"
    assert "step 1 of 100" in train.running.doing.full_text()
    job.partials.emit((TimeLeft(900.0),))
    assert shares() == {0.2}, "and never goes back"
    stop(qtbot, train)


def test_the_buttons_stay_in_a_small_window_whatever_is_said_before_the_first_step(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    train.window().resize(900, 600)
    train.options.minutes.setCurrentIndex(train.options.minutes.findData(5.0))
    train.begin()
    qtbot.wait(50)
    assert "as chosen behind More" in train.running.expected.text()
    (area,) = train.findChildren(QScrollArea)
    assert area.widget().width() <= area.viewport().width()
    stop(qtbot, train)


# -- going on ---------------------------------------------------------------------------------------------------------


def test_what_a_paused_training_had_shown_stays_and_is_drawn_again(qtbot, paused, monkeypatch):
    assert paused.headline.text() == "Training is paused at step 20 of 100 of stage 1"
    assert "for the rest" in paused.estimate.text() and paused.start.text().strip() == "Begin anew"
    assert paused.learning.isVisible() and len(paused.loss.points) == 20
    begin_endless(paused, monkeypatch)
    paused.go_on.click()
    assert len(paused.loss.points) == 20 and paused.samples.tiles[0].caption == "a bridge over water"
    assert paused.running.doing.full_text().startswith("Stage 1 goes on from step 20 of 100")
    assert paused.steps.current == 1
    paused.show_partials([StageStarted(1, 100, 18), MetricRow(1, 19, loss=4.0)])
    assert [x for x, _ in paused.loss.points] == list(range(1, 20)), "the state it goes on from may be older"
    assert "goes on from step 18 of 100" in paused.running.doing.full_text()
    paused.show_progress(Progress(19, 100, "Stage 1: learning your wording"))
    assert paused.running.doing.full_text() == "Stage 1: learning your wording · step 19 of 100"
    stop(qtbot, paused)


def test_what_a_training_has_shown_stays_at_its_end_also_where_it_was_paused_in_between(qtbot, paused, monkeypatch):
    from gui.views import train_view

    run_id = paused.history.lines[0].run_id

    def to_its_end(ctx, request) -> TrainReport:
        ctx.partial(StageStarted(1, 100, 20))
        ctx.partial(MetricRow(1, 21, loss=4.0))
        ctx.partial(StageStarted(2, 30))
        ctx.partial(MetricRow(2, 1, reward=0.5))
        ctx.partial(GateRow("length", "green", "Captions have 9 words."))
        with Library.open(request.library) as library:
            update_run(library, run_id, status=DONE)
        return TrainReport(run_id, Path(run_id), "before", "", {}, (), 6, 1, 2, 60.0)

    monkeypatch.setattr(train_view, "train", to_its_end)
    paused.go_on.click()
    qtbot.waitUntil(lambda: paused._job is None and paused.verdict.isVisible(), timeout=WAIT)
    settle(qtbot, paused.window())
    assert len(paused.loss.points) == 21 and len(paused.reward.points) == 1
    assert paused.samples.tiles[0].caption == "a bridge over water"
    assert list(paused.checks.states) == ["length"]
    paused._show_state("idle")
    assert paused.explanation.isVisible() and not paused.learning.isVisible(), "nothing waits any more"


def test_a_paused_training_is_taken_up_with_its_limit_when_the_library_is_opened_again(
    qtbot, open_window, photos, paused, monkeypatch
):
    from gui.views import train_view

    library = paused._session.service.path
    with Library.open(library) as opened:
        run = runs(opened)[0]
        told = {**run.config["request"], "limit_minutes": 15.0, "device": "cuda:1"}
        update_run(opened, run.id, config={**run.config, "request": told})
    close(qtbot, paused.window())
    window = open_window(library)
    bar, rail = window.messages, window.rail.buttons["train"]
    assert "paused at step 20 of 100 of stage 1" in bar.message and rail.badge == "paused"
    window.session.refresh()
    settle(qtbot, window)
    assert "paused at step 20" in bar.message, "counting again does not take it away"
    window.go("train")
    settle(qtbot, window)
    assert bar.message == "", "Train says it itself"
    train = window.view("train")
    train.options.more.set_open(True)
    assert train.options.minutes.currentText() == "15 minutes" and train.options.device.value == "cuda:1"
    assert train.options.waits.isVisible()
    train.options.minutes.setCurrentIndex(0)
    asked = []
    monkeypatch.setattr(train_view, "train", lambda ctx, request: asked.append(request) or toy_jobs.endless(ctx, None))
    train.go_on.click()
    qtbot.waitUntil(lambda: bool(asked), timeout=WAIT)
    assert asked[0].resume and asked[0].limit_minutes is None and asked[0].device == "cuda:1"
    assert rail.badge == ""
    stop(qtbot, train)
    assert rail.badge == "paused" and bar.message == "", "who pauses it knows"


def test_the_limit_of_now_is_kept_with_the_training(tmp_path):
    begun = {
        "request": {"preset": "recommended", "limit_minutes": None, "device": "auto", "library": None},
        "preset": {},
    }
    kept = _with_this_time(begun, TrainRequest(tmp_path, "two-stage", limit_minutes=15.0, device="cpu"))
    assert kept["request"] == begun["request"] | {"limit_minutes": 15.0, "device": "cpu"} and kept["preset"] == {}


def test_deliver_says_when_the_model_that_is_being_trained_is_ready(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    window = train.window()
    window.go("deliver")
    deliver = window.view("deliver")
    settle(qtbot, window)
    assert not deliver.training.isVisible() and deliver.model.isVisible() and deliver.caption.isEnabled()
    train.begin()
    assert "being trained" in deliver.training.text.text()
    train._job.partials.emit((TimeLeft(240.0),))
    assert "in about 4 minutes" in deliver.training.text.text() and deliver.training.isVisible()
    assert not deliver.model.isVisible() and not deliver.caption.isEnabled()
    stop(qtbot, train)
    assert not deliver.training.isVisible() and deliver.model.isVisible() and deliver.caption.isEnabled()


def test_the_marker_and_the_line_speak_of_the_same(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    train.begin()
    train._job.cancelling = False
    for progress, place in ((Progress(5, 8, LOOKING), 0), (Progress(0, None, "Loading the models"), 0)):
        train.show_progress(progress)
        assert train.steps.current == place
    train.show_progress(Progress(40, 500, FOLDING))
    assert train.steps.current == 1 and "40 of 500" in train.running.doing.full_text()
    train.show_partials([StageStarted(1, 100)])
    assert train.steps.current == 1 and "Stage 1" in train.running.doing.full_text()
    train.show_progress(Progress(8, 8, LOOKING))
    assert train.steps.current == 0, "photos are looked at"
    train.show_progress(Progress(64, 200, DRAWING))
    assert train.steps.current == 2 and "64 of 200" in train.running.doing.full_text()
    train.show_progress(Progress(0, None, REPORTING))
    assert train.steps.current == 3
    stop(qtbot, train)


def test_ending_for_good_is_one_button_with_one_name(qtbot, paused, monkeypatch):
    assert paused.end_stopped.isVisible() and paused.end_stopped.text() == paused.end.text()
    assert paused.end_stopped.text().strip() in paused.estimate.text()
    begin_endless(paused, monkeypatch)
    paused.end_stopped.click()
    settle_writes(qtbot, paused)
    qtbot.waitUntil(lambda: paused._job is not None, timeout=WAIT)
    assert asked_to_end(paused) and "Ending" in paused.running.doing.full_text()
    paused.show_partials([StageStarted(1, 100, 20), TimeLeft(900.0)])
    assert paused.running.left.text() == "" and not paused.end.isEnabled(), "that would be the time of all its steps"
    stop(qtbot, paused)
    paused.go_on.click()
    qtbot.waitUntil(lambda: paused._job is not None, timeout=WAIT)
    assert not asked_to_end(paused), "going on is to learn more"
    assert not paused.end.isEnabled(), "nothing is learned yet"
    paused.show_partials([StageStarted(1, 100, 20)])
    paused.end.click()
    settle_writes(qtbot, paused)
    assert asked_to_end(paused) and not paused.end.isEnabled()
    stop(qtbot, paused)


def settle_writes(qtbot, train) -> None:
    with qtbot.waitCallback(timeout=WAIT) as done:
        train._session.after_writes(done)


def asked_to_end(train) -> bool:
    with Library.open(train._session.service.path) as library:
        return RunFolder(runs(library)[0].folder).asked_to_end


# -- the six photos, curves, checks -----------------------------------------------------------------------------------


def test_captions_from_before_the_training_are_marked_as_such(train):
    photo = int(train.window().view("library").grid.photos.ids[0])
    train.show_partials([StageStarted(1, 100), Samples(0, ((photo, "a man in a jacket"),))])
    assert "before the training" in train.learning.heading.text() and train.learning.midway.isHidden()
    train.show_partials([Samples(20, ((photo, "."),))])
    assert train.learning.heading.text() == "The same six photos, after 20 steps of stage 1"
    assert not train.learning.midway.isHidden() and "odd" in train.learning.midway.text()
    train.show_partials([StageStarted(2, 100), Samples(0, ((photo, "a bridge"),))])
    assert "before it practises" in train.learning.heading.text()
    assert "sentences" in train.learning.midway.text(), "why the captions are others than after stage 1"
    train.show_partials([Samples(20, ((photo, "a bridge"),))])
    assert train.learning.heading.text() == "The same six photos, after 20 steps of stage 2"
    assert "odd" in train.learning.midway.text()
    train.learning.begin(TrainRequest(Path("library"), "two-stage"))
    train.show_partials([StageStarted(2, 100), Samples(0, ((photo, "a bridge"),))])
    assert train.learning.heading.text() == "The same six photos, after 0 steps of stage 2"
    assert "sentences" not in train.learning.midway.text(), "this method gives it none"


def test_axes_say_what_they_count(train):
    for curve in (train.loss, train.reward):
        curve.begin(10)
        curve.extend([(1, 2.5)])
        for side in ("left", "bottom"):
            axis = curve._plot.getAxis(side)
            assert axis.labelText and axis.label.isVisible()
        assert curve._plot.getAxis("bottom").labelText == "steps"
        assert "2.50 after step 1" in curve._plot.accessibleName()


# -- keys -------------------------------------------------------------------------------------------------------------


def test_the_focus_stays_on_the_button_that_takes_the_place_of_the_one_pressed(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    window = train.window()
    window.activateWindow()
    train.start.setFocus()
    train.start.click()
    assert window.focusWidget() is train.stop
    with Library.open(train._session.service.path) as library:
        create_run(library, "recommended", {"request": {"preset": "recommended"}})
    train.stop.click()
    assert train.isAncestorOf(window.focusWidget()) or window.focusWidget() is train
    qtbot.waitUntil(lambda: train._job is None, timeout=WAIT)
    settle(qtbot, window)
    assert window.focusWidget() is train.go_on
    train.go_on.click()
    assert window.focusWidget() is train.stop
    window.go("library")
    stop(qtbot, train)
    assert not train.isAncestorOf(window.focusWidget()), "it is not taken from another place"


# -- messages and words -----------------------------------------------------------------------------------------------


def test_a_message_about_running_work_goes_when_that_has_ended(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    train.begin()
    session, messages = train._session, train.window().messages
    assert session.start(session.heavy, toy_jobs.count, 1, title="Captioning", kind="caption") is None
    assert "press Pause" in messages.message
    labels = [one.text().strip() for one in train.findChildren(QPushButton) if one.isVisible()]
    assert "Pause" in labels
    stop(qtbot, train)
    assert messages.message == ""
    other = Failure("Something else.", "Do this.")
    messages.show_failure(other)
    messages.withdraw(Failure("Something.", "Do this."))
    assert messages.message == "Something else. Do this."


def test_pause_has_one_icon(qtbot, train, monkeypatch):
    begin_endless(train, monkeypatch)
    train.begin()
    bar = train.window().job_bar

    def drawn(made):
        return made.icon().pixmap(16, 16).toImage()

    assert drawn(bar.stop) == drawn(train.stop)
    stop(qtbot, train)


def test_words_of_the_trade_are_explained_where_they_stand_and_in_the_glossary(qtbot, train):
    with Library.open(train._session.service.path) as library:
        create_run(library, "recommended", {})
    train._history_of = ()
    train._session.refresh()
    settle(qtbot, train.window())
    history, glossary = train.history, (Path(__file__).parents[2] / "docs" / "glossary.md").read_text("utf-8")
    headings = [history.table.horizontalHeaderItem(place) for place in (5, 6)]
    for heading in headings:
        assert heading.text() in history.legend.text() and heading.text() in history.table.accessibleDescription()
        assert heading.toolTip() in history.legend.text()
    for word in ("agreement", "finds its photo", "encoder", "language model (LM)"):
        assert f"| **{word}** |" in glossary
    assert train.options.encoder.about.text().startswith(methods.encoder())
    assert train.options.lm.box.accessibleDescription().startswith(methods.language_model())
    told = " ".join(one.text() for one in train.findChildren(QLabel))
    assert "said above" not in told


def test_rows_of_a_run_that_make_no_sense_are_left_out(qtbot, paused):
    with Library.open(paused._session.service.path) as library:
        folder = runs(library)[0].folder
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps([1]) + "\n" + json.dumps({"stage": 1}) + "\n")
    paused._session.refresh()
    settle(qtbot, paused.window())
    assert len(paused.loss.points) == 20
