"""Train, with reports made up: what a person sees while it runs and when it has ended."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QScrollArea

from core import training
from core.cli_flags import with_flags
from core.errors import UserError
from core.jobs import QuietContext
from core.library.library import Library
from core.library.runs import create_run, update_run
from core.training.messages import GateRow, MetricRow, OwnCaptions, StageResult, StageStarted, TrainReport, TrainRequest
from gui import bridge, tasks, verdict
from gui.seed_words import NEEDED
from gui.theme import theme
from gui.views import train_view
from gui.widgets.curves import Curve, smooth
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, settle

VALUES = {"clip_s": 0.8, "r1": 40.0, "unique_ratio": 0.9, "length": 9.5}
REPORT = TrainReport(
    "run-1", Path("run-1"), "before", "No better.", {"before": StageResult(VALUES)}, (), 20, 4, 180, 60.0
)
BOTH = {name: StageResult(VALUES) for name in ("before", "stage1", "stage2")}


def loss(step, value=1.0) -> MetricRow:
    return MetricRow(1, step, loss=value)


def write_seeds(qtbot, window, number: int) -> None:
    for image_id in window.view("library").grid.photos.ids[:number]:
        window.session.write(lambda service, i=int(image_id): service.write_seed(i, None, f"words {i}"), lambda _: None)
    window.session.after_writes(window.session.refresh)
    settle(qtbot, window)


@pytest.fixture
def train(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("train")
    settle(qtbot, window)
    return window.view("train")


def test_photos_that_the_encoder_does_not_know_are_told_with_what_may_help(train):
    advice = train.verdict.advice
    train.show_result(replace(REPORT, own_captions=OwnCaptions(20, 5, 320)))
    assert not advice.isHidden()
    assert "Of 20 of your own captions 5 find" in advice.text() and "“More”" in advice.text()
    for enough in (None, OwnCaptions(20, 15, 320)):
        train.show_result(replace(REPORT, own_captions=enough))
        assert advice.isHidden()


@pytest.mark.parametrize("kept", ["before", "stage1", "stage2"])
def test_every_outcome_is_told(train, kept):
    train.show_result(replace(REPORT, kept=kept, results=BOTH))
    assert train.kept.text() and train.outcome.text()
    assert ("old model" in train.kept.text()) == (kept == "before")
    assert train.choose_old.isHidden() == (kept == "before")
    titles = [train.evidence.itemAtPosition(0, place).widget().text() for place in (1, 2, 3)]
    assert titles == ["Before", "After stage 1", "After stage 2"]


APART, FIT = "tell photos apart better", "fit their photos better"


@pytest.mark.parametrize(
    ("before", "stage1", "stage2", "claims", "less"),
    [
        (30, 32, 40, "tell your photos apart better", ""),
        (50, 32, 40, APART, "not yet as well as before"),
        (20, 32, 29, FIT, ""),  # kept for its fit, while captions find their photo less often than after stage 1
        (20, 32, 32, FIT, ""),
        (35, 32, 29, FIT, "less often than before"),
    ],
)
def test_a_verdict_claims_no_more_than_its_table_shows(before, stage1, stage2, claims, less):
    found = {"before": before, "stage1": stage1, "stage2": stage2}
    results = {name: StageResult({"r1": float(value)}) for name, value in found.items()}
    told = verdict.summary(replace(REPORT, kept="stage2", results=results), in_use=True)
    assert told.startswith("It has learned your wording.") and claims in told
    assert ("apart better" in told) == (stage2 > stage1)
    assert (less in told) if less else ("before" not in told)


def test_stage_2_alone_is_compared_with_what_it_began_with_and_claims_no_wording():
    results = {"before": StageResult({"r1": 30.0}), "stage2": StageResult({"r1": 40.0})}
    told = verdict.summary(replace(REPORT, kept="stage2", results=results), in_use=True)
    assert "apart better" in told and "wording" not in told
    by_heart = results | {"stage1": StageResult({"r1": 50.0})}
    told = verdict.summary(replace(REPORT, kept="stage2", results=by_heart, learned_wording=False), in_use=True)
    assert "spoke already" in told and "apart better" in told, "it practised without what stage 1 had learned"


def test_the_measures_behind_a_verdict_are_shown_to_who_asks(train):
    reason = "Stage 1 tells your 4 held-out photos more in your words than before (1.20 nats a word piece)."
    for _ in range(2):
        train.show_result(replace(REPORT, kept="stage1", results=BOTH, reason=reason, notes=("A note.",)))
        assert train.outcome.isVisible() and not train.because.isVisible(), "closed, also after the next training"
        QTest.mouseClick(train.details.toggle, Qt.MouseButton.LeftButton)
        assert train.because.isVisible() and train.because.text() == f"{reason}\nA note."
    told = [text.text() for text in train.verdict.findChildren(QLabel) if text is not train.because]
    assert not [text for text in told if "nats" in text]


def test_a_new_model_that_lost_against_the_one_in_use_is_not_called_in_use(qtbot, train):
    train.show_result(replace(REPORT, kept="stage2", results=BOTH))
    train._session.refresh()
    settle(qtbot, train.window())
    assert train._session.overview.run_id is None
    assert train.kept.text() == "The old model stays in use"
    assert train.choose_old.text() == "Use the new model after all"


def test_stage_two_that_did_not_help_is_told(train):
    assert "as it was after stage 1" in verdict.headline(replace(REPORT, kept="stage1", results=BOTH), in_use=True)
    only = {name: BOTH[name] for name in ("before", "stage1")}
    assert "stage 1" not in verdict.headline(replace(REPORT, kept="stage1", results=only), in_use=True)


def test_a_stage_that_begins_again_draws_no_loop(train):
    train.show_partials([StageStarted(1, 60), *(loss(step) for step in range(1, 21))])
    assert len(train.loss.points) == 20
    train.show_partials([loss(21), StageStarted(1, 60), loss(1), loss(2)])
    assert [x for x, _ in train.loss.points] == [1, 2]
    assert train.reward.points == []


def test_a_stage_that_begins_and_ends_between_two_reports_is_drawn(train):
    rewards = [MetricRow(2, step, reward=0.5) for step in (1, 2, 3)]
    train.show_partials([StageStarted(1, 60), loss(1), loss(2), StageStarted(2, 30), *rewards])
    assert [x for x, _ in train.loss.points] == [1, 2]
    assert [x for x, _ in train.reward.points] == [1, 2, 3]


@pytest.mark.parametrize("size", [(900, 600), (1240, 800)])
@pytest.mark.parametrize("state", ["running", "done"])
def test_no_state_needs_more_room_than_the_window_has(qtbot, train, size, state):
    window = train.window()
    window.resize(*size)
    train.show_result(replace(REPORT, kept="stage2", results=BOTH, reason="A reason. " * 40))
    train.details.set_open(True)
    train._show_state(state)
    settle(qtbot, window)
    (area,) = train.findChildren(QScrollArea)
    assert area.widget().width() <= area.viewport().width()


def test_a_curve_goes_on_from_a_step_that_was_there_already(qtbot):
    curve = Curve("Title", "Hint")
    qtbot.addWidget(curve)
    curve.extend([(1, 5.0), (2, 4.0), (3, 3.0)])
    curve.extend([(2, 9.0), (3, 8.0)])
    assert curve.points == [(1, 5.0), (2, 9.0), (3, 8.0)]


def test_a_curve_shows_no_figures_before_it_has_any(qtbot):
    curve = Curve("Title", "Hint", restless=True)
    qtbot.addWidget(curve)
    axis = curve._plot.getAxis("left")
    assert not axis.style["showValues"]
    curve.begin(30)
    curve.extend([(1, 0.5)])
    assert axis.style["showValues"]
    low, high = curve._plot.getViewBox().viewRange()[0]
    assert low <= 0 and high >= 30, "the room of the whole stage from its first step on"
    curve.extend([(10, 0.5)])
    curve.end()
    assert curve._plot.getViewBox().viewRange()[0][1] < 12, "a stage that stopped early leaves no empty space"


def test_other_colours_leave_the_figures_of_a_curve_as_they_are(qtbot):
    curve = Curve("Title", "Hint", ("steps", "fit"))
    qtbot.addWidget(curve)
    curve.show()
    curve.extend([(1, 0.2), (2, 0.6)])
    qtbot.waitExposed(curve)
    curve._plot.getViewBox().updateAutoRange()
    axis = curve._plot.getAxis("left")
    scale = axis.scale * axis.autoSIPrefixScale
    before = axis.tickStrings([0.2, 0.4], scale, 0.2)
    try:
        for mode in ("dark", "light"):
            theme().set_mode(mode)
            scale = axis.scale * axis.autoSIPrefixScale
            assert axis.tickStrings([0.2, 0.4], scale, 0.2) == before == ["0.2", "0.4"]
            assert axis.labelString().count("x0.001") == 0
    finally:
        theme().set_mode("light")


@pytest.mark.parametrize("over", ["bottom", "left"])
def test_the_wheel_over_the_axes_of_a_curve_is_left_to_the_page(qtbot, over):
    curve = Curve("Title", "Hint", ("steps", "fit"))
    qtbot.addWidget(curve)
    curve.show()
    curve.extend([(1, 0.2), (2, 0.6)])
    qtbot.waitExposed(curve)
    plot, no = curve._plot, Qt.ScrollPhase.NoScrollPhase
    at = QPointF(plot.mapFromScene(plot.getAxis(over).sceneBoundingRect().center()))
    keys, none = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.NoButton
    event = QWheelEvent(at, plot.viewport().mapToGlobal(at), QPoint(), QPoint(0, -120), none, keys, no, False)
    QApplication.sendEvent(plot.viewport(), event)
    assert not event.isAccepted()


def test_the_smooth_line_starts_with_the_first_value_and_scatters_less():
    assert smooth([]) == []
    assert smooth([3.0]) == [3.0]
    restless = [0.0, 1.0] * 20
    assert max(smooth(restless)[10:]) - min(smooth(restless)[10:]) < 0.2
    assert 0.4 < smooth(restless)[-1] < 0.6


def test_photos_with_a_caption_of_ones_own_are_not_practised_on(qtbot, train):
    write_seeds(qtbot, train.window(), 6)
    assert train.headline.text() == "Learn from 6 captions, practise on 2 photos"


def test_checks_say_in_plain_words_what_has_no_everyday_unit():
    gate = GateRow("drift", "green", "The model has moved 0.4 nats a caption from stage 1; 8 is the limit.")
    assert "nats" not in verdict.check(gate)
    assert verdict.check(replace(gate, state="red")) != verdict.check(gate)
    length = GateRow("length", "green", "Captions have 9.0 words; yours have 11.9.")
    assert verdict.check(length) == length.sentence


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_training_that_was_cut_off_can_be_gone_on_with(qtbot, open_window, photos, monkeypatch, how):
    monkeypatch.setattr(bridge, "CANCEL_GRACE_S", 0.2)
    window = open_window(photos, in_process=False)
    write_seeds(qtbot, window, NEEDED)
    window.go("train")
    train, service = window.view("train"), window.session.service
    with Library.open(service.path) as library:
        create_run(library, "recommended", {})  # as a worker does before it is ended without a word
    job = toy_jobs.deaf if how == "cancelled" else toy_jobs.die
    train.watch(window.session.start(window.session.heavy, job, int(signal.SIGKILL), title="Training", kind="train"))
    if how == "cancelled":
        qtbot.wait(1_000)
        train.cancel()
    qtbot.waitUntil(lambda: train._job is None, timeout=WAIT)
    qtbot.waitUntil(lambda: train.go_on.isVisible(), timeout=WAIT)
    assert train.go_on.property("role") == "big" and train.start.property("role") != "big"
    assert train.idle.isVisible() and train.start.isEnabled()


def test_going_on_uses_the_settings_that_the_training_was_begun_with(qtbot, open_window, photos, monkeypatch):
    window = open_window(photos)
    write_seeds(qtbot, window, NEEDED)
    window.go("train")
    train = window.view("train")
    begun = {"preset": "two-stage", "overrides": {"stage1.steps": 9}, "text_file": "", "library": None, "resume": None}
    with Library.open(window.session.service.path) as library:
        run = create_run(library, "two-stage", {"request": begun})
        update_run(library, run.id, status="cancelled")
    window.session.refresh()
    settle(qtbot, window)
    asked = []
    monkeypatch.setattr(window.session, "start", lambda runner, job, request, **_: asked.append(request))
    train.go_on.click()
    assert asked == [
        replace(TrainRequest(window.session.service.path, "two-stage"), overrides={"stage1.steps": 9}, resume=True)
    ]


def test_the_way_on_is_told_without_a_flag_here_and_with_it_on_the_command_line(photos):
    with Library.for_photos(photos) as library, pytest.raises(UserError) as caught:
        tasks.train(QuietContext(), TrainRequest(library.path, resume=True))
    assert caught.value.next_step == "Start a new training."
    assert with_flags(caught.value).endswith("Start a new training. Here: train without --resume")
    sources = Path(training.__path__[0]).glob("*.py")
    assert [file.name for file in sources if "--resume" in file.read_text("utf-8")] == []


def test_the_report_opens_with_one_click_now_and_later(qtbot, train, tmp_path, monkeypatch):
    opened, said = [], []
    shows = [True]
    monkeypatch.setattr(
        train_view.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or shows[0]
    )
    train._session.said.connect(said.append)
    train.show_result(replace(REPORT, kept="stage1", results=BOTH))
    assert train.to_report.isHidden(), "there is none"
    with Library.open(train._session.service.path) as library:
        run = create_run(library, "recommended", {})
        page = run.folder / "report.html"
        page.write_text("<p>a page</p>")
        update_run(library, run.id, status="done")
    train.show_result(replace(REPORT, kept="stage1", results=BOTH, page=page))
    QTest.mouseClick(train.to_report, Qt.MouseButton.LeftButton)
    train._session.refresh()
    settle(qtbot, train.window())
    train._show_state("idle")
    QTest.mouseClick(train.last_report, Qt.MouseButton.LeftButton)
    assert opened == [str(page)] * 2 and said == [f"Opened in your web browser: {page}"] * 2
    shows[0] = False
    QTest.mouseClick(train.last_report, Qt.MouseButton.LeftButton)
    assert str(page) in said[-1]
