"""Train: one button; while it runs, what it does and how well; at the end, what was kept and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton, QWidget

from core import machine
from core.power import LONG_S, battery_percent
from core.training.messages import StageStarted, TimeLeft, TrainReport, TrainRequest
from gui import theme, train_words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.history import RunLine, took
from gui.icons import icon
from gui.seed_words import NEEDED
from gui.services import Overview
from gui.session import Session
from gui.tasks import train
from gui.widgets.basics import (
    ElidedLabel,
    action_button,
    button,
    card,
    column,
    label,
    measure_by_width,
    relabel,
    set_role,
)
from gui.widgets.download_question import DownloadQuestion
from gui.widgets.flow import Flow, scrolling
from gui.widgets.history import History
from gui.widgets.train_options import TrainOptions
from gui.widgets.train_run import DONE, Learning, RunningCard, end_button
from gui.widgets.training import explanation
from gui.widgets.verdict_card import VerdictCard
from gui.worker import Failure, Progress


class TrainView(QWidget):
    go_seed = Signal()
    go_deliver = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._job: RunningJob | None = None
        self._report: TrainReport | None = None
        self._old_run: str | None = None
        self._history_of: tuple[object, ...] = ()  # what the history has been read of
        self._asked = False  # whether to train on the battery
        self.overrides: dict[str, object] = {}  # settings of the preset by dotted name
        self._build()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Train"))
        self._state = "idle"
        self._known = False  # whether a training of this library had been stopped when it was opened
        self._drawn: tuple[object, ...] = ()  # of a stopped training, what is on the page
        self._measured = False  # asked how fast this computer is
        self._refocus = False  # the button that was pressed has gone: the one that takes its place gets the focus
        self._connect()
        self._apply_overview(session.overview)
        self._show_state("idle")

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.idle = self._idle_card()
        self.running = RunningCard()
        self.steps, self.stop, self.end = self.running.steps, self.running.pause_button, self.running.end_button
        self.verdict = VerdictCard()
        self.kept, self.outcome, self.because = self.verdict.kept, self.verdict.outcome, self.verdict.because
        self.evidence, self.details = self.verdict.evidence, self.verdict.details
        self.choose_old, self.to_report = self.verdict.choose_old, self.verdict.to_report
        self.deliver = self.verdict.to_deliver
        self.learning = Learning(self._session.thumbnails)
        self.loss, self.reward = self.learning.loss, self.learning.reward
        self.samples, self.checks = self.learning.samples, self.learning.checks
        inner = QWidget()
        self.explanation = explanation()
        self.history = History()
        self.history.hide()
        parts = (self.idle, self.running, self.verdict, self.history, self.explanation, self.learning)
        content = column(*parts, spacing=theme.M)
        content.setStretch(5, 1)
        content.addStretch(0)  # takes the rest while the progress is hidden
        content.setContentsMargins(0, 0, theme.L, theme.L)
        inner.setLayout(content)
        measure_by_width(inner)
        self._page = page = scrolling(inner, cards=True)
        subtitle = self.tr("Teach Seedcap your wording, then let it practise on the photos that have no caption.")
        layout = column(label(self.tr("Train"), "title"), ElidedLabel(subtitle, "muted"), theme.S, page, spacing=2)
        layout.setStretch(3, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)

    def _idle_card(self) -> QWidget:
        self.headline = label("", "heading", wrap=True)
        self.estimate = label("", "muted", wrap=True)
        self.start = action_button(self._actions["train"], role="big", text=self.tr("Train"), icon_name="train")
        self.go_on = button(self.tr("Go on"), lambda: self.begin(resume=True), icon_name="play")
        self.go_on.setToolTip(self.tr("Go on with the training that was stopped, exactly where it stopped"))
        self.end_stopped = end_button(lambda: self.end_here())
        self.to_seed = button(self.tr("Write captions"), self.go_seed.emit, role="primary", icon_name="seed")
        self.to_open = action_button(
            self._actions["open"], role="primary", text=self.tr("Choose a folder…"), icon_name="folder"
        )
        self.options = TrainOptions()
        self.question = DownloadQuestion(self._session)
        text = column(self.headline, self.estimate, spacing=theme.XS)
        self.last_report = button(self.tr("Last report"), self._open_last_report, role="link")
        buttons = Flow(spacing=theme.M).put(
            self.last_report, self.to_open, self.to_seed, self.start, self.end_stopped, self.go_on
        )
        top = Flow(spacing=theme.L).put(text, least=theme.letters(36), stretch=1).put(buttons)
        return card(column(top, self.question, self.options, spacing=theme.S))

    def _connect(self) -> None:
        self._session.overview_changed.connect(self._apply_overview)
        self._session.overview_changed.connect(self._follow_model)
        self._session.overview_changed.connect(self._read_history)
        self._session.opened.connect(self._new_library)
        self.options.changed.connect(lambda: self._apply_overview(self._session.overview))
        for choice in (self.options.encoder, self.options.lm):
            choice.changed.connect(self.question.forget)
        self.verdict.switch.connect(self._switch_model)
        self.verdict.again.connect(self._begin_anew)
        self.verdict.seeds.connect(self.go_seed)
        self.verdict.report.connect(self._open_report)
        self.verdict.deliver.connect(self.go_deliver)
        self.history.use.connect(self._use_model)
        self.history.report.connect(self._show_page)
        self.running.pause.connect(self.cancel)
        self.running.end.connect(self.end_here)
        self.learning.wanted.connect(self._read_samples)
        action = self._actions["train"]
        action.triggered.connect(lambda _checked=False: self.begin())
        self.addAction(action)

    # -- before -----------------------------------------------------------------------------------------------------

    def _apply_overview(self, overview: Overview | None) -> None:
        seeds = overview.counts.seeds if overview is not None else 0
        ready = seeds >= NEEDED and self._job is None
        stopped = ready and overview is not None and overview.stopped is not None
        self._hold_focus()
        self._actions["train"].setEnabled(ready)
        self.to_open.setVisible(overview is None)
        self.options.setVisible(overview is not None)
        self.to_seed.setVisible(overview is not None and seeds < NEEDED)
        self.start.setVisible(seeds >= NEEDED)
        self.go_on.setVisible(stopped)
        self.end_stopped.setVisible(stopped and overview is not None and bool(overview.trainings.so_far))
        # A person who paused wants to go on; a new training, which drops what was learned, must not look like that.
        relabel(self.start, self.tr("Begin anew") if stopped else self.tr("Train"))
        set_role(self.go_on, "big" if stopped else "")
        set_role(self.start, "" if stopped else "big")
        for one in (self.go_on, self.start):
            one.setIcon(icon("play" if one is self.go_on else "train", _tint(one)))
        self.last_report.setVisible(overview is not None and overview.report is not None)
        self.options.waits.setVisible(stopped)
        if overview is None:
            self.headline.setText(self.tr("Open a folder of photos first"))
            self.estimate.setText(self.tr("Then write captions for a handful of them: Seedcap learns from those."))
        else:
            if not self._known and overview.stopped is not None:
                self.options.take_up(overview.stopped)
            self._known = True
            self._draw_stopped(overview.trainings.so_far if stopped else ())
            self.headline.setText(train_words.headline(overview, stopped=stopped))
            self.estimate.setText(train_words.before(overview, self._request(overview), stopped=stopped))
            if ready:
                self._measure()
        self._give_focus()

    def _request(self, overview: Overview | None, *, resume: bool | None = None) -> TrainRequest:
        """What the button that stands out would do; ``resume`` says it for one of the others."""
        service = self._session.service
        request = self.options.request(Path() if service is None else service.path, self.overrides)
        stopped = overview.stopped if overview is not None else None
        if stopped is None or resume is False:
            return request
        return replace(stopped, limit_minutes=request.limit_minutes, device=request.device)

    def _measure(self) -> None:
        """How fast this computer is, once: it takes a moment, and tells how long a first training will take."""
        if not self._measured:
            self._measured = True
            self._session.look_up(
                lambda _service: machine.quick_rate(), lambda _rate: self._session.refresh(), key="speed"
            )

    def _draw_stopped(self, shown: tuple[object, ...]) -> None:
        """What a stopped training had shown stays on the page; so does, under its verdict, that of an ended one."""
        if self._job is None and self._state == "idle" and shown != self._drawn:
            self._drawn = shown
            self.learning.begin(self._session.overview.stopped if self._session.overview else None, shown)
            self._show_state(self._state)

    def begin(self, *, resume: bool = False, ending: bool = False) -> None:
        """``resume``: go on with the stopped training; ``ending``: only to judge what it has learned."""
        service, overview = self._session.service, self._session.overview
        if service is None or self._job is not None:
            return
        request = self._request(overview, resume=resume)
        if not ending and (self.question.waits(request) or self._ask_about_battery(request)):
            return

        def start(_written: object = None) -> None:
            self._start(resume=resume, ending=ending)

        if resume and overview is not None and overview.trainings.ends != ending:
            # It was asked to end before, or is asked now: the training reads that when it goes on.
            self._session.write(lambda service: service.end_training(ending), start)
        else:
            start()

    def _start(self, *, resume: bool, ending: bool) -> None:
        overview = self._session.overview
        if self._session.service is None or self._job is not None:
            return
        request = self._request(overview, resume=resume)
        self._old_run = overview.run_id if overview is not None else None
        job = self._session.start(self._session.heavy, train, request, title=self.tr("Training"), kind="train")
        if job is not None:
            self.watch(job, request)
        if job is not None and ending:
            self.running.show_ending()

    def _ask_about_battery(self, request: TrainRequest) -> bool:
        """Whether the next press of the button is waited for: the computer may not last until a long training ends."""
        overview = self._session.overview
        longest = train_words.longest(overview, request) if overview else LONG_S
        left = None if self._asked or longest < LONG_S else battery_percent()
        if left is None:
            self._asked = False
            return False
        self._asked = True
        said = self.tr("This computer runs on its battery ({left}%), and this may take long.").format(left=left)
        way_out = self.tr("Plug it in, or press the button again. What is learned is kept.")
        self.estimate.setText(f"{said} {way_out}")
        return True

    # -- while it runs ----------------------------------------------------------------------------------------------

    def watch(self, job: RunningJob, request: TrainRequest | None = None) -> None:
        self._hold_focus()
        self._job = job
        self._actions["train"].setEnabled(False)
        overview = self._session.overview
        resumed = overview.trainings if overview is not None and request is not None and request.resume else None
        expected = "" if overview is None or request is None else train_words.time_of(overview, request)
        self.learning.begin(request, resumed.so_far if resumed is not None else ())
        self.running.begin(expected, resumed.stage if resumed is not None else None)
        job.progress.connect(self.show_progress)
        job.partials.connect(self.show_partials)
        job.finished.connect(self.show_result)
        job.failed.connect(self._failed)
        job.cancelled.connect(self._cancelled)
        job.ended.connect(self._ended)
        self._show_state("running")
        self._give_focus()

    def cancel(self) -> None:
        if self._job is not None:
            self._hold_focus()
            self._job.cancel()
            self.running.show_pausing()
            self._give_focus()

    def end_here(self) -> None:
        """Learn no more; what was learned is judged, and used if it wins."""
        self._hold_focus()
        if self._job is None:
            self.begin(resume=True, ending=True)
        else:
            self._session.write(lambda service: service.end_training(True), lambda _: None)
            self.running.show_ending()
        self._give_focus()

    def show_progress(self, progress: Progress) -> None:
        if self._job is None or not self._job.cancelling:
            self.running.show_progress(progress)

    def show_partials(self, results: Sequence[object]) -> None:
        """Everything a run reports, in order."""
        self.learning.show_partials(results)
        if self._job is not None and self._job.cancelling:
            return
        for result in results:
            if isinstance(result, StageStarted):
                self.running.show_stage(result)
            elif isinstance(result, TimeLeft):
                self.running.show_left(result)

    def _read_samples(self, image_ids: tuple[int, ...]) -> None:
        self._session.read_photos(np.array(image_ids, dtype=np.int64), self.samples.set_photos)

    # -- where the keys go ------------------------------------------------------------------------------------------

    def _hold_focus(self) -> None:
        """Before a button goes or greys: else Qt hands the focus on, and the next key would leave the page."""
        focus = self.window().focusWidget()
        if focus is not None and self.isAncestorOf(focus) and focus.isVisible():
            self._refocus = True
            self.setFocus()

    def _give_focus(self) -> None:
        """To the button that stands out now; the page itself keeps it until there is one."""
        if not (self._refocus and self.hasFocus()):
            self._refocus = False
            return
        here = {"running": (self.stop,), "idle": (self.go_on, self.start)}.get(self._state, (self.deliver,))
        for one in here:
            if one.isVisible() and one.isEnabled():
                one.setFocus()
                self._refocus = False
                return

    # -- afterwards -------------------------------------------------------------------------------------------------

    def show_result(self, report: TrainReport) -> None:
        self._hold_focus()
        self.steps.set_current(DONE)
        self.learning.end()
        self._report = report
        self._drawn = ()  # no training waits any more
        for gate in report.gates:
            self.checks.set_gate(gate)
        self._tell_model(in_use=report.kept != "before")
        self.verdict.show_report(report)
        self._show_state("done")
        self._give_focus()

    def _tell_model(self, *, in_use: bool) -> None:
        """``in_use``: the library uses the model of this run. It may not: an older one did better, or was chosen."""
        report = self._report
        if report is not None:
            self.verdict.tell_model(report, in_use=in_use)

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
        opened = QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))
        told = self.tr("Opened in your web browser: {file}") if opened else self.tr("The report is at {file}")
        self._session.said.emit(told.format(file=page))

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
        self._known = False
        self._drawn = ()
        self.history.set_lines(())
        self._show_state("idle")

    def _begin_anew(self) -> None:
        self._show_state("idle")
        self._page.verticalScrollBar().setValue(0)  # where the button is

    def _show_state(self, state: str) -> None:
        self._state = state
        self.history.setVisible(state != "running" and len(self.history.lines) > 0)
        self.idle.setVisible(state == "idle")
        self.running.setVisible(state == "running")
        self.verdict.setVisible(state == "done")
        paused = state == "idle" and bool(self._drawn)
        self.learning.setVisible(state != "idle" or paused)
        self.explanation.setVisible(state == "idle" and not paused)


def _tint(made: QPushButton) -> str:
    return "on_accent" if made.property("role") == "big" else "text"
