"""What is being done now, how long it will take, and the button that stops it: at the foot of the window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from PySide6.QtWidgets import QProgressBar, QWidget

from core.training.messages import TimeLeft
from gui import words
from gui.bridge import PAUSED_BY_STOPPING, RunningJob
from gui.icons import icon
from gui.tasks import GETTING_READY
from gui.time_share import TimeShare, show_step
from gui.widgets.basics import ElidedLabel, FootBar, button, label, relabel
from gui.worker import Progress

ETA_WINDOW_S = 30.0


class Eta:
    """Time left from the rate of the last half minute; says nothing until it knows something."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._total: int | None = None

    def left(self, progress: Progress, now: float | None = None) -> float | None:
        now = time.monotonic() if now is None else now
        if progress.total != self._total or (self._points and progress.done < self._points[-1][1]):
            self._points.clear()  # another step of the work
            self._total = progress.total
        self._points.append((now, progress.done))
        while len(self._points) > 2 and now - self._points[0][0] > ETA_WINDOW_S:
            self._points.popleft()
        rate = self.rate()
        if progress.total is None or rate is None:
            return None
        return (progress.total - progress.done) / rate

    def rate(self) -> float | None:
        """Units a second, over the same time."""
        if not self._points:
            return None
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - start) if last > first and end - start >= 1.0 else None


class JobBar(FootBar):
    """Shows the newest of the jobs that run, and when it has ended the one before it again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs: dict[RunningJob, Progress | None] = {}  # what each has said last, the newest job last
        self._whole: dict[RunningJob, float] = {}  # seconds left of all of a job, of those that tell it
        self._shares: dict[RunningJob, TimeShare] = {}
        self._eta = Eta()
        self.title = label("", "strong")
        self.detail = ElidedLabel("", "muted")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(180)
        self.bar.setAccessibleName(self.tr("Progress"))
        self.time = label("", "muted")
        self.stop = button(self.tr("Cancel"), self._cancel, icon_name="stop")
        self.fill(self.title, self.detail, self.time, self.bar, self.stop, wide=self.detail)

    @property
    def job(self) -> RunningJob | None:
        return next(reversed(self._jobs), None)

    def watch(self, job: RunningJob) -> None:
        self._jobs[job] = None
        self._shares[job] = TimeShare()
        job.progress.connect(lambda progress: self._progress(job, progress))
        job.partials.connect(lambda results: self._time_left(job, results))
        job.ended.connect(lambda: self._ended(job))
        self._show(job)
        self.show()

    def _show(self, job: RunningJob) -> None:
        self._eta = Eta()
        self.title.setText(job.title)
        self.detail.set_text(self.tr("Starting…"))
        self.time.setText("")
        self.bar.setRange(0, 0)
        self.stop.setEnabled(True)
        pauses = job.kind in PAUSED_BY_STOPPING
        self.stop.setIcon(icon("pause" if pauses else "stop", "text"))
        relabel(self.stop, self.tr("Pause") if pauses else self.tr("Cancel"))
        said = self._jobs[job]
        if job.cancelling:
            self.show_cancelling()
        elif said is not None:
            self._progress(job, said)

    def _progress(self, job: RunningJob, progress: Progress) -> None:
        self._jobs[job] = progress
        if job is not self.job or job.cancelling:
            return
        if not self._shares[job].show_on(self.bar):
            show_step(self.bar, progress.done, progress.total)
        numbers = words.so_far(progress.done, progress.total, percent=progress.message == GETTING_READY)
        self.detail.set_text(" · ".join(part for part in (words.doing(progress), numbers) if part))
        # Of a training, one step is the smaller part: what is left of it would be taken for the whole.
        left = self._whole.get(job) if job.kind in PAUSED_BY_STOPPING else self._eta.left(progress)
        self._show_time(left)

    def _show_time(self, left: float | None) -> None:
        self.time.setText("" if left is None else self.tr("{time} left").format(time=words.duration(left)))

    def _time_left(self, job: RunningJob, results: Sequence[object]) -> None:
        told = [one.seconds for one in results if isinstance(one, TimeLeft)]
        if told:
            self._whole[job] = told[-1]
            self._shares[job].tell(told[-1])
            if job is self.job and not job.cancelling:
                self._show_time(told[-1])
                self._shares[job].show_on(self.bar)

    def _cancel(self) -> None:
        job = self.job
        if job is not None:
            self.show_cancelling()
            job.cancel()

    def show_cancelling(self) -> None:
        self.stop.setEnabled(False)
        self.detail.set_text(self.tr("Stopping; what is finished is kept…"))
        self.time.setText("")
        self.bar.setRange(0, 0)

    def _ended(self, job: RunningJob) -> None:
        was_shown = job is self.job
        self._jobs.pop(job, None)
        self._whole.pop(job, None)
        self._shares.pop(job, None)
        if self.job is None:
            self.hide()
        elif was_shown:
            self._show(self.job)
