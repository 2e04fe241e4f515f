"""What a training shows while it runs: where it is and for how long, what it learns, and how to pause or end it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QProgressBar, QWidget

from core.training.messages import (
    BEFORE_PRACTICE,
    FINISHING,
    FOLDING,
    LOOKING,
    GateRow,
    MetricRow,
    Samples,
    StageStarted,
    TimeLeft,
    TrainRequest,
)
from core.training.presets import PRESETS
from gui import theme, words
from gui.thumbnails import Thumbnails
from gui.time_share import TimeShare, show_step
from gui.widgets.basics import ElidedLabel, button, card, column, label, row, set_role
from gui.widgets.curves import Curve
from gui.widgets.flow import Flow
from gui.widgets.training import Checks, Steps
from gui.widgets.training import Samples as SampleGrid
from gui.words import tr
from gui.worker import Progress

CURVES, CHECKS = 72, 44  # letters that they want beside one another
PREPARE, STAGE_1, STAGE_2, CHECK, DONE = range(5)


class RunningCard(QFrame):
    """The steps of a training, how far the current one is, how long all of it still takes, and its two buttons."""

    pause = Signal()
    end = Signal()

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "card")
        self.steps = Steps((self.tr("Look at the photos"), self.tr("Stage 1"), self.tr("Stage 2"), self.tr("Check")))
        self.doing = ElidedLabel("", "muted")
        self.left = label("", "strong")
        self.expected = label("", "muted", wrap=True)
        slow = self.tr("Slower than planned: other programs may be using this computer.")
        self.slow = label(slow, "muted", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of the training"))
        self.pause_button = button(self.tr("Pause"), self.pause.emit, icon_name="pause")
        self.pause_button.setToolTip(self.tr("What is learned so far is kept; go on with it whenever you like"))
        self.end_button = end_button(self.end.emit)
        state = row(self.doing, self.left, spacing=theme.M)
        state.setStretch(0, 1)
        text = column(self.steps, self.bar, state, self.expected, self.slow, spacing=theme.S)
        layout = row(text, column(self.pause_button, self.end_button, None), spacing=theme.L)
        layout.setStretch(0, 1)
        layout.setContentsMargins(theme.L, theme.L, theme.L, theme.L)
        self.setLayout(layout)
        self._goes_on = ""
        self._said = ""
        self._ends = False
        self._share = TimeShare()

    def begin(self, expected: str, done: StageStarted | None = None) -> None:
        """Nothing has come yet. ``expected``: how long it will take; ``done``: where a stopped training goes on."""
        self._said = ""
        self._ends = False
        self._share = TimeShare()
        self._goes_on = "" if done is None else self._from(done)
        self.steps.set_current(PREPARE if done is None else _place(done.stage))
        self._say(self.tr("Loading the models…"))
        self.left.setText("")
        self._expect(expected)
        self.slow.hide()
        self.bar.setRange(0, 0)
        self.pause_button.setEnabled(True)
        self.end_button.setEnabled(False)  # nothing is learned yet

    def show_pausing(self) -> None:
        self.pause_button.setEnabled(False)
        self.end_button.setEnabled(False)
        self.doing.set_text(self.tr("Pausing; what is learned so far is kept…"))
        self.left.setText("")
        self._expect("")
        self.slow.hide()

    def show_ending(self) -> None:
        self.end_button.setEnabled(False)
        self._ends, self._goes_on = True, self.tr("Ending")  # before what is said from now on
        self.doing.set_text(self.tr("Ending: what was learned is judged, and used if it wins…"))
        self.left.setText("")  # what is told is of a training that goes on to its last step
        self._expect("")
        self.slow.hide()
        self._share = TimeShare()
        show_step(self.bar, 0, None)

    def show_progress(self, progress: Progress) -> None:
        self._said = progress.message
        if progress.message == LOOKING:
            self.steps.set_current(PREPARE)
        elif progress.message == FOLDING:
            self.steps.set_current(STAGE_1)
        elif progress.message in BEFORE_PRACTICE:
            self.steps.set_current(STAGE_2)
        elif progress.message in FINISHING:
            self.steps.set_current(CHECK)
        if self._share.value is None:
            show_step(self.bar, progress.done, progress.total)
        if not progress.total:
            self._say(words.doing(progress))
            return
        form = self.tr("step {done} of {total}") if self._in_stage(progress.message) else self.tr("{done} of {total}")
        numbers = form.format(done=words.count(progress.done), total=words.count(progress.total))
        self._say(f"{words.doing(progress)} · {numbers}")

    def show_stage(self, started: StageStarted) -> None:
        self._goes_on = self._goes_on if self._ends else ""
        self.steps.set_current(_place(started.stage))
        self.end_button.setEnabled(not self._ends)
        if self._in_stage(self._said):
            return  # it is further already
        if self._share.value is None:
            show_step(self.bar, 0, None)
        captions = self.tr("Stage {n}: writing the captions that it begins with…").format(n=started.stage)
        self._say(self._from(started) if started.done else captions)

    def show_left(self, left: TimeLeft) -> None:
        """For the whole training, all that comes after this step included."""
        if self._ends:
            return
        self._expect("")
        self._share.tell(left.seconds)
        self._share.show_on(self.bar)
        self.left.setText(self.tr("About {time} left in all").format(time=words.duration(left.seconds)))
        self.slow.setVisible(left.slow)

    def _expect(self, text: str) -> None:
        """Until the training tells its own time. A sentence: on a line of its own, which wraps in a narrow window."""
        self.expected.setText(text)
        self.expected.setVisible(bool(text))

    def _in_stage(self, message: str) -> bool:
        return self.steps.current in (STAGE_1, STAGE_2) and message.startswith(f"Stage {self.steps.current}")

    def _from(self, at: StageStarted) -> str:
        text = self.tr("Stage {n} goes on from step {done} of {total}")
        return text.format(n=at.stage, done=words.count(at.done), total=words.count(at.total_steps))

    def _say(self, text: str) -> None:
        self.doing.set_text(f"{self._goes_on} · {text}" if self._goes_on else text)


class Learning(QWidget):
    """Both curves, the six photos whose captions change, and the checks."""

    wanted = Signal(object)  # ids of the photos to show

    def __init__(self, thumbnails: Thumbnails) -> None:
        super().__init__()
        self.loss = Curve(
            self.tr("Stage 1: learning your wording"),
            self.tr("How unexpected your words still are; lower is better"),
            (self.tr("steps"), self.tr("unexpected")),
        )
        self.reward = Curve(
            self.tr("Stage 2: telling photos apart"),
            self.tr("Its reward, made of fit, telling apart and good English; only its direction counts"),
            (self.tr("steps"), self.tr("reward")),
            restless=True,
        )
        self.samples = SampleGrid(thumbnails)
        self.heading = label("", "strong", wrap=True)
        self.midway = label("", "muted", wrap=True)
        self.checks = Checks()
        curves = Flow(spacing=theme.L).put(self.loss, self.reward, least=theme.letters(CURVES // 2), stretch=1)
        left = column(
            card(curves),
            card(column(column(self.heading, self.midway, spacing=0), self.samples)),
            spacing=theme.M,
        )
        left.addStretch(1)
        checks = card(column(label(self.tr("Checks"), "strong"), self.checks, spacing=theme.S))
        body = Flow(spacing=theme.M).put(left, least=theme.letters(CURVES), stretch=2)
        self.setLayout(body.put(column(checks, None), least=theme.letters(CHECKS), stretch=1))
        self._every = PRESETS["recommended"].stage1.evaluate_every
        self._stage = 0
        self._given = False
        self.begin(None)

    def begin(self, request: TrainRequest | None, before: Sequence[object] = ()) -> None:
        """Empty, or with what a stopped training had shown ``before``."""
        preset = PRESETS.get(request.preset) if request is not None else None
        preset = preset or PRESETS["recommended"]
        self._every = preset.stage1.evaluate_every
        self._given = preset.stage2 is not None and preset.stage2.sentences > 0
        self._stage = 0
        for curve in (self.loss, self.reward):
            curve.begin(1)
        self.samples.clear()
        self.checks.clear()
        self._title(0)
        self.show_partials(before)

    def show_partials(self, results: Sequence[object]) -> None:
        """Everything a run reports, in order; rows of one batch reach a curve in one go."""
        drawn = 0
        for at, result in enumerate(results):
            if isinstance(result, StageStarted):
                self._draw(results[drawn:at])  # what was before a stage began does not belong to its curve
                drawn = at
                self._begin_stage(result)
            elif isinstance(result, Samples):
                self._title(result.step)
                if self.samples.set_captions(result.items):
                    self.wanted.emit(self.samples.image_ids)
            elif isinstance(result, GateRow):
                self.checks.set_gate(result)
        self._draw(results[drawn:])

    def end(self) -> None:
        self.reward.end()
        self.heading.setText(self.tr("The same six photos, at the end of training"))
        self.midway.hide()

    def _begin_stage(self, started: StageStarted) -> None:
        self._stage = started.stage
        if started.stage == 2:
            self.loss.end()  # it may have stopped early
        (self.loss if started.stage == 1 else self.reward).begin(started.total_steps, started.done)

    def _title(self, step: int) -> None:
        before = step == 0 and self._stage < 2
        if before:
            text = self.tr("The same six photos: captions from before the training; new ones after {n} steps")
            self.heading.setText(text.format(n=self._every))
        elif step == 0 and self._given:
            self.heading.setText(self.tr("The same six photos, before it practises in stage 2"))
        else:
            text = self.tr("The same six photos, after {n} steps of stage {stage}")
            self.heading.setText(text.format(n=words.count(step), stage=max(1, self._stage)))
        # Nothing was learned between the two: the sentences alone have changed what it says (docs/decisions/0038).
        given = self.tr(
            "It now leans on sentences, yours and its own about your photos: that has changed the captions."
        )
        odd = self.tr("Captions midway can be odd; only the end counts.")
        self.midway.setText(given if step == 0 and self._given else odd)
        self.midway.setVisible(not before)

    def _draw(self, results: Sequence[object]) -> None:
        rows = [result for result in results if isinstance(result, MetricRow)]
        self.loss.extend([(r.step, r.loss) for r in rows if r.stage == 1 and r.loss is not None])
        self.reward.extend([(r.step, r.reward) for r in rows if r.stage == 2 and r.reward is not None])


def end_button(clicked: Callable[[], object]) -> QWidget:
    """The one that ends a training for good, while it runs and while it is paused."""
    tip = tr("Learn no more: what was learned is compared with the model in use, and takes its place if it wins")
    return button(tr("End here"), clicked, icon_name="check", tip=tip)


def _place(stage: int) -> int:
    return STAGE_1 if stage == 1 else STAGE_2
