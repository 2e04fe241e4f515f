"""Train: one button; while it runs, what it does and how well; at the end, what was kept and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QGridLayout, QLabel, QProgressBar, QScrollArea, QWidget

from core.power import LONG_S, battery_percent
from core.training.messages import GateRow, MetricRow, Samples, StageStarted, TrainReport
from gui import theme, verdict, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.history import RunLine, took
from gui.services import Overview
from gui.session import Session
from gui.tasks import train
from gui.views.seed_view import NEEDED
from gui.widgets.basics import (
    Disclosure,
    ElidedLabel,
    action_button,
    button,
    card,
    column,
    label,
    measure_by_width,
    row,
    set_role,
)
from gui.widgets.curves import Curve
from gui.widgets.history import History
from gui.widgets.job_bar import Eta
from gui.widgets.train_options import TrainOptions
from gui.widgets.training import Checks, Steps, explanation
from gui.widgets.training import Samples as SampleGrid
from gui.worker import Failure, Progress

PREPARE, STAGE_1, STAGE_2, CHECK, DONE = range(5)


class TrainView(QWidget):
    go_seed = Signal()
    go_deliver = Signal()
    go_review = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._job: RunningJob | None = None
        self._eta = Eta()
        self._report: TrainReport | None = None
        self._old_run: str | None = None
        self._history_of: tuple[object, ...] = ()  # what the history has been read of
        self._asked = False  # whether to train on the battery
        self.overrides: dict[str, object] = {}  # settings of the preset by dotted name
        self._build()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._state = "idle"
        self._connect()
        self._apply_overview(session.overview)
        self._show_state("idle")

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.idle = self._idle_card()
        self.running = self._running_card()
        self.verdict = self._verdict_card()
        unexpected = self.tr("How unexpected your words still are; lower is better")
        reward = self.tr("How well its captions fit their photos; higher is better")
        self.loss = Curve(self.tr("Stage 1: learning your wording"), unexpected)
        self.reward = Curve(self.tr("Stage 2: telling photos apart"), reward, restless=True)
        self.samples = SampleGrid(self._session.thumbnails)
        self.checks = Checks()
        curves = row(self.loss, self.reward, spacing=theme.L)
        left = column(
            card(curves), card(column(label(self.tr("The same six photos, as it learns"), "strong"), self.samples))
        )
        left.setSpacing(theme.M)
        left.addStretch(1)
        checks = card(column(label(self.tr("Checks"), "strong"), self.checks, spacing=theme.S))
        checks.setFixedWidth(268)
        body = row(left, checks, spacing=theme.M)
        body.setStretch(0, 1)
        self.progress_area = QWidget()
        self.progress_area.setLayout(body)
        inner = QWidget()
        self.explanation = explanation()
        self.history = History()
        self.history.hide()
        parts = (self.idle, self.running, self.verdict, self.history, self.explanation, self.progress_area)
        content = column(*parts, spacing=theme.M)
        content.setStretch(5, 1)
        content.addStretch(0)  # takes the rest while the progress is hidden
        content.setContentsMargins(0, 0, theme.L, theme.L)
        inner.setLayout(content)
        measure_by_width(inner)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        subtitle = self.tr("Teach Seedcap your wording, then let it practise on the photos that have no caption.")
        layout = column(label(self.tr("Train"), "title"), ElidedLabel(subtitle, "muted"), theme.S, scroll, spacing=2)
        layout.setStretch(3, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)

    def _idle_card(self) -> QWidget:
        self.headline = label("", "heading", wrap=True)
        self.estimate = label("", "muted", wrap=True)
        self.start = action_button(self._actions["train"], role="big", icon_name="train")
        self.go_on = button(self.tr("Go on"), lambda: self.begin(resume=True), icon_name="play")
        self.go_on.setToolTip(self.tr("Go on with the training that was stopped, exactly where it stopped"))
        self.to_seed = button(self.tr("Write captions"), self.go_seed.emit, role="primary", icon_name="seed")
        self.options = TrainOptions()
        text = column(self.headline, self.estimate, spacing=theme.XS)
        self.last_report = button(self.tr("Last report"), self._open_last_report, role="link")
        top = row(text, self.last_report, self.to_seed, self.go_on, self.start, spacing=theme.L)
        top.setStretch(0, 1)
        return card(column(top, self.options, spacing=theme.S))

    def _running_card(self) -> QWidget:
        self.steps = Steps((self.tr("Look at the photos"), self.tr("Stage 1"), self.tr("Stage 2"), self.tr("Check")))
        self.doing = ElidedLabel("", "muted")
        self.left = label("", "muted")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Training progress"))
        self.stop = button(self.tr("Pause"), self.cancel, icon_name="pause")
        self.stop.setToolTip(self.tr("What is learned so far is kept; go on with it whenever you like"))
        state = row(self.doing, self.left, spacing=theme.M)
        state.setStretch(0, 1)
        text = column(self.steps, self.bar, state, spacing=theme.S)
        layout = row(text, self.stop, spacing=theme.L)
        layout.setStretch(0, 1)
        return card(layout)

    def _verdict_card(self) -> QWidget:
        self.kept = label("", "heading", wrap=True)
        self.outcome = label("", "", wrap=True)
        self.because = label("", "muted", wrap=True)
        self.evidence = QGridLayout()
        self.evidence.setHorizontalSpacing(theme.XL)
        self.evidence.setVerticalSpacing(theme.XS)
        self.choose_old = button(self.tr("Keep the old model instead"), self._switch_model)
        again = button(self.tr("Train again"), lambda: self._show_state("idle"))
        seeds = button(self.tr("Write more captions"), self.go_seed.emit, icon_name="seed")
        self.to_report = button(self.tr("Open the report"), self._open_report, icon_name="info")
        deliver = button(self.tr("Caption the library"), self.go_deliver.emit, role="primary", icon_name="deliver")
        self.details = Disclosure(self.tr("Details"), self.because)
        table = row(self.evidence, None)
        top = row(column(self.kept, self.outcome, spacing=theme.S), self.choose_old, spacing=theme.L)
        top.setStretch(0, 1)
        top.setAlignment(self.choose_old, Qt.AlignmentFlag.AlignTop)
        foot = row(again, seeds, self.to_report, None, deliver)
        parts = (top, theme.XS, table, self.details, theme.S, foot)
        return card(column(*parts, spacing=theme.S))

    def _connect(self) -> None:
        self._session.overview_changed.connect(self._apply_overview)
        self._session.overview_changed.connect(self._follow_model)
        self._session.overview_changed.connect(self._read_history)
        self._session.opened.connect(self._new_library)
        self.options.changed.connect(lambda: self._apply_overview(self._session.overview))
        self.history.use.connect(self._use_model)
        self.history.report.connect(self._show_page)
        action = self._actions["train"]
        action.triggered.connect(lambda _checked=False: self.begin())
        self.addAction(action)

    # -- before -----------------------------------------------------------------------------------------------------

    def _apply_overview(self, overview: Overview | None) -> None:
        seeds = overview.counts.seeds if overview is not None else 0
        photos = _unlabelled(overview) if overview is not None else 0
        ready = seeds >= NEEDED and self._job is None
        self._actions["train"].setEnabled(ready)
        self.to_seed.setVisible(seeds < NEEDED)
        self.start.setVisible(seeds >= NEEDED)
        stopped = ready and overview is not None and overview.stopped is not None
        self.go_on.setVisible(stopped)
        # A person who paused wants to go on; a new training, which drops what was learned, must not look like that.
        set_role(self.go_on, "big" if stopped else "")
        set_role(self.start, "" if stopped else "big")
        self.last_report.setVisible(overview is not None and overview.report is not None)
        if seeds < NEEDED:
            self.headline.setText(
                self.tr("{n} more captions are needed").format(n=NEEDED - seeds)
                if NEEDED - seeds > 1
                else self.tr("One more caption is needed")
            )
            self.estimate.setText(
                self.tr("Seedcap learns from captions that you write. {n} are the least it can learn from.").format(
                    n=NEEDED
                )
            )
            return
        text = self.tr("Learn from {captions}, practise on {photos}")
        captions = words.counted(seeds, self.tr("caption"), self.tr("captions"))
        self.headline.setText(
            text.format(captions=captions, photos=words.counted(photos, self.tr("photo"), self.tr("photos")))
        )
        before = overview.last_training_s if overview is not None else None
        if not self.options.own_models:
            estimate = self.tr("How long it takes depends on the models behind More; it is told when it runs.")
        elif before is not None:
            estimate = self.tr("It took {time} last time.")
        else:
            estimate = self.tr("About {time} on most computers.")
            before = estimate_seconds(photos + seeds)
        stopped = overview is not None and overview.stopped is not None
        more = (
            self.tr("A training waits to be gone on with; Train begins a new one.")
            if stopped
            else self.tr("You can go on working; nothing is lost if you close.")
        )
        self.estimate.setText(f"{estimate.format(time=words.duration(before or 0.0))} {more}")

    def begin(self, *, resume: bool = False) -> None:
        service = self._session.service
        if service is None or self._job is not None:
            return
        if self._ask_about_battery():
            return
        overview = self._session.overview
        request = self.options.request(service.path, self.overrides)
        if resume and overview is not None and overview.stopped is not None:
            request = replace(overview.stopped, limit_minutes=request.limit_minutes)
        self._old_run = overview.run_id if overview is not None else None
        job = self._session.start(self._session.heavy, train, request, title=self.tr("Training"), kind="train")
        if job is not None:
            self.watch(job)

    def _ask_about_battery(self) -> bool:
        """Whether the next press of the button is waited for: the computer may not last until a long training ends."""
        minutes = self.options.minutes.currentData()
        overview = self._session.overview
        known = estimate_seconds(_unlabelled(overview)) if overview and self.options.own_models else None
        longest = min((one for one in (known, minutes and 60 * minutes) if one is not None), default=LONG_S)
        left = None if self._asked or longest < LONG_S else battery_percent()
        if left is None:
            self._asked = False
            return False
        self._asked = True
        said = self.tr("This computer runs on its battery ({left}%), and this may take long.").format(left=left)
        self.estimate.setText(f"{said} {self.tr('Plug it in, or press the button again. What is learned is kept.')}")
        return True

    # -- while it runs ----------------------------------------------------------------------------------------------

    def watch(self, job: RunningJob) -> None:
        self._job = job
        self._eta = Eta()
        self._actions["train"].setEnabled(False)
        self.loss.begin(1)
        self.reward.begin(1)
        self.samples.clear()
        self.checks.clear()
        self.steps.set_current(PREPARE)
        self.doing.set_text(self.tr("Loading the models…"))
        self.left.setText("")
        self.bar.setRange(0, 0)
        self.stop.setEnabled(True)
        job.progress.connect(self.show_progress)
        job.partials.connect(self.show_partials)
        job.finished.connect(self.show_result)
        job.failed.connect(self._failed)
        job.cancelled.connect(self._cancelled)
        job.ended.connect(self._ended)
        self._show_state("running")

    def cancel(self) -> None:
        if self._job is not None:
            self.stop.setEnabled(False)
            self.doing.set_text(self.tr("Pausing; what is learned so far is kept…"))
            self.left.setText("")
            self._job.cancel()

    def show_progress(self, progress: Progress) -> None:
        if self._job is not None and self._job.cancelling:
            return
        self.doing.set_text(progress.message)
        if progress.total:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(min(progress.done, progress.total))
        else:
            self.bar.setRange(0, 0)
        left = self._eta.left(progress)
        self.left.setText("" if left is None else self.tr("{time} left in this step").format(time=words.duration(left)))

    def show_partials(self, results: Sequence[object]) -> None:
        """Everything a run reports, in order; rows of one batch reach a curve in one go."""
        drawn = 0
        for at, result in enumerate(results):
            if isinstance(result, StageStarted):
                self._draw(results[drawn:at])  # what was before a stage began does not belong to its curve
                drawn = at
                if result.stage == 2:
                    self.loss.end()  # it may have stopped early
                (self.loss if result.stage == 1 else self.reward).begin(result.total_steps)
                self.steps.set_current(STAGE_1 if result.stage == 1 else STAGE_2)
            elif isinstance(result, Samples):
                self._show_samples(result)
            elif isinstance(result, GateRow):
                self.checks.set_gate(result)
        self._draw(results[drawn:])

    def _draw(self, results: Sequence[object]) -> None:
        rows = [result for result in results if isinstance(result, MetricRow)]
        self.loss.extend([(r.step, r.loss) for r in rows if r.stage == 1 and r.loss is not None])
        self.reward.extend([(r.step, r.reward) for r in rows if r.stage == 2 and r.reward is not None])

    def _show_samples(self, samples: Samples) -> None:
        if self.samples.set_captions(samples.items):
            ids = np.array(self.samples.image_ids, dtype=np.int64)
            self._session.read_photos(ids, self.samples.set_photos)

    # -- afterwards -------------------------------------------------------------------------------------------------

    def show_result(self, report: TrainReport) -> None:
        self.steps.set_current(DONE)
        self.reward.end()
        self._report = report
        for gate in report.gates:
            self.checks.set_gate(gate)
        self._tell_model(in_use=report.kept != "before")
        self.because.setText(" ".join((report.reason, *report.notes)))
        self.details.set_open(False)
        while (item := self.evidence.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        columns, lines = verdict.evidence(report)
        for place, text in enumerate(("", *(title for _, title in columns))):
            self.evidence.addWidget(_aligned(label(text, "small"), place), 0, place)
        for line_number, (name, values) in enumerate(lines, start=1):
            self.evidence.addWidget(label(name, "muted"), line_number, 0)
            for place, (value, (key, _)) in enumerate(zip(values, columns, strict=True), start=1):
                made = label(value, "strong" if key == report.kept else "")
                self.evidence.addWidget(_aligned(made, place), line_number, place)
        self.choose_old.setVisible(report.kept != "before")
        self.to_report.setVisible(report.page is not None)
        self._show_state("done")

    def _tell_model(self, *, in_use: bool) -> None:
        """``in_use``: the library uses the model of this run. It may not: an older one did better, or was chosen."""
        report = self._report
        if report is not None:
            self.kept.setText(verdict.headline(report, in_use=in_use))
            self.outcome.setText(verdict.summary(report, in_use=in_use))
            self.choose_old.setText(
                self.tr("Keep the old model instead") if in_use else self.tr("Use the new model after all")
            )

    def _follow_model(self, overview: Overview) -> None:
        if self._report is not None:
            self._tell_model(in_use=overview.run_id == self._report.run_id)

    def _switch_model(self) -> None:
        """Between the model that training has kept and the one before it."""
        report, overview = self._report, self._session.overview
        if report is None or overview is None:
            return
        back = overview.run_id == report.run_id
        run_id = self._old_run if back else report.run_id

        def done(_result: object) -> None:
            self._session.refresh()
            self._tell_model(in_use=not back)
            self._session.said.emit(
                self.tr("The old model is in use.") if back else self.tr("The new model is in use.")
            )

        self._session.write(lambda service: service.use_run(run_id), done)

    # -- trainings before -------------------------------------------------------------------------------------------

    def _read_history(self, overview: Overview) -> None:
        """Only when a training or the model in use is another one: this is said at every caption that is typed."""
        service = self._session.service
        if service is None:
            return
        of = (service.path, overview.run_id, overview.report, overview.stopped, self._job is None)
        if of != self._history_of:
            self._history_of = of
            self._session.read(lambda service: service.history(), self._show_history, key="history")

    def _show_history(self, lines: tuple[RunLine, ...]) -> None:
        self.history.set_lines(lines)
        self.options.set_took(took(lines))
        self._show_state(self._state)

    def _use_model(self, run_id: str | None) -> None:
        def done(_result: object) -> None:
            self._session.refresh()
            self._session.said.emit(
                self.tr("The starter model is in use.") if run_id is None else self.tr("That model is in use.")
            )

        self._session.write(lambda service: service.use_run(run_id), done)

    def _open_report(self) -> None:
        if self._report is not None and self._report.page is not None:
            self._show_page(self._report.page)

    def _open_last_report(self) -> None:
        overview = self._session.overview
        if overview is not None and overview.report is not None:
            self._show_page(overview.report)

    def _show_page(self, page: Path) -> None:
        """In whatever shows web pages here; where nothing does, the place of the file is told."""
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(page))):
            self._session.said.emit(self.tr("The report is at {file}").format(file=page))

    def _failed(self, failure: Failure) -> None:
        self._stopped()

    def _cancelled(self) -> None:
        self._stopped(self._tell_paused)

    def _tell_paused(self) -> None:
        overview = self._session.overview
        self._session.said.emit(
            self.tr("Training is paused. The model in use has not changed.")
            if overview is not None and overview.stopped is not None
            else self.tr("Training has ended before it had learned anything.")
        )

    def _stopped(self, then: Callable[[], None] | None = None) -> None:
        """What was learned can be gone on with, also when the worker had no time left to say so."""
        self._session.write(
            lambda service: service.runs_cut_off(),
            lambda _result: self._session.after_overview(then) if then is not None else self._session.refresh(),
        )
        self._show_state("idle")

    def _ended(self) -> None:
        self._job = None
        self._apply_overview(self._session.overview)

    def _new_library(self) -> None:
        self._report = None
        self.history.set_lines(())
        self._show_state("idle")

    def _show_state(self, state: str) -> None:
        self._state = state
        self.history.setVisible(state != "running" and len(self.history.lines) > 0)
        self.idle.setVisible(state == "idle")
        self.running.setVisible(state == "running")
        self.verdict.setVisible(state == "done")
        self.progress_area.setVisible(state != "idle")
        self.explanation.setVisible(state == "idle")


def _unlabelled(overview: Overview) -> int:
    """The photos to practise on: those without a caption of the person's own."""
    return max(0, overview.counts.photos - overview.counts.seeds)


def _aligned(text: QLabel, place: int) -> QLabel:
    if place:
        text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return text


def estimate_seconds(photos: int) -> float:
    """A first guess before this computer has trained once: looking at each photo, then a fixed number of steps."""
    return 60.0 + 0.15 * photos + 150.0
