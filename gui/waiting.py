"""Says outside Train that a training waits: in the rail for as long as it does, and once, when a library is opened;
and that one has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from gui import words
from gui.services import Overview

if TYPE_CHECKING:
    from gui.bridge import RunningJob
    from gui.main_window import MainWindow


class WaitingTraining(QObject):
    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._messages = window.messages
        self._told = False  # of this library
        self._session.opened.connect(self._new_library)
        self._session.overview_changed.connect(self._apply_overview)
        self._session.job_started.connect(self._follow)
        window.stack.currentChanged.connect(lambda _place: self._withdraw())

    def _follow(self, job: RunningJob) -> None:
        self._mark(self._session.overview)
        if job.kind == "train":
            job.finished.connect(lambda _report: self._tell_ended())

    def _tell_ended(self) -> None:
        """Who is elsewhere then would not see the verdict; what it is, only Train says."""
        if self._window.place != "train":
            self._messages.show_message(
                self.tr("The training has ended."),
                self.tr("Train says what it has brought, and which model is in use now."),
                kind="waits",
                action=(self.tr("Go to Train"), lambda: self._window.go("train")),
            )

    def _new_library(self) -> None:
        self._told = False
        self._mark(None)

    def _apply_overview(self, overview: Overview) -> None:
        waits = self._mark(overview)
        if waits and not self._told:
            self._tell(overview)
        self._told = True  # who pauses a training knows of it

    def _mark(self, overview: Overview | None) -> bool:
        waits = overview is not None and overview.stopped is not None and not self._session.training
        self._window.rail.buttons["train"].set_badge(self.tr("paused") if waits else "")
        return waits

    def _tell(self, overview: Overview) -> None:
        if self._window.place == "train":
            return
        stage = overview.trainings.stage
        here = words.paused_at(stage) if stage is not None else self.tr("A training was stopped")
        self._messages.show_message(
            f"{here}.",
            self.tr("What it has learned is kept; go on with it in Train."),
            kind="waits",
            action=(self.tr("Go to Train"), lambda: self._window.go("train")),
        )

    def _withdraw(self) -> None:
        """Train says the same, at length."""
        if self._window.place == "train" and self._messages.kind == "waits":
            self._messages.clear()
