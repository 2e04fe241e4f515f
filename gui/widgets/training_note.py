"""Where captions are made: that a training runs, and when its model will be ready."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QWidget

from core.training.messages import TimeLeft
from gui import words
from gui.bridge import RunningJob
from gui.session import Session
from gui.widgets.basics import column, label


class TrainingNote(QWidget):
    """Hidden unless a training runs."""

    changed = Signal()  # one began or ended

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.text: QLabel = label("", "", wrap=True)
        self.setLayout(column(self.text))
        self.running = False
        self.hide()
        session.job_started.connect(self._follow)
        if session.training and session.heavy.current is not None:
            self._follow(session.heavy.current)

    def _follow(self, job: RunningJob) -> None:
        if job.kind != "train":
            return
        job.partials.connect(self._time_left)
        job.ended.connect(lambda: self._set(running=False))
        self.text.setText(self.tr("Your model is being trained. Caption with it when that has ended."))
        self._set(running=True)

    def _time_left(self, results: Sequence[object]) -> None:
        told = [one.seconds for one in results if isinstance(one, TimeLeft)]
        if told:
            text = self.tr("Your model is being trained. It is ready to caption with in about {time}.")
            self.text.setText(text.format(time=words.duration(told[-1])))

    def _set(self, *, running: bool) -> None:
        self.running = running
        self.setVisible(running)
        self.changed.emit()
