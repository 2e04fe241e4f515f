"""Deliver: caption every photo with the model's ONNX bundle, and take the captions to where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QListWidget,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QStackedWidget,
    QWidget,
)

from core.batch.pace import expected
from core.batch.progress import BatchProgress
from gui import theme, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.services import Overview
from gui.session import Session
from gui.tasks import CAPTIONING, GETTING_READY, CaptionOrder, CaptionResult, Existing, caption_photos
from gui.views.export_panel import ExportPanel
from gui.widgets.basics import (
    ComboBox,
    Disclosure,
    ElidedLabel,
    EmptyState,
    action_button,
    button,
    card,
    column,
    label,
    measure_by_width,
    relabel,
    row,
    set_role,
)
from gui.widgets.bundle_choice import BundleChoice
from gui.widgets.flow import Flow, scrolling
from gui.widgets.training_note import TrainingNote
from gui.widgets.wording_slider import WordingSlider
from gui.worker import Failure, Progress

if TYPE_CHECKING:
    from core.library.in_vain import InVain

MOST_SUGGESTIONS = 9
FAILURES_SHOWN = 5
GROW_MS = 3_000


class DeliverView(QWidget):
    go_review = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._job: RunningJob | None = None
        self._build()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Deliver"))
        session.overview_changed.connect(self.bundles.apply)
        session.overview_changed.connect(self._apply_overview)
        self.bundles.changed.connect(lambda: self._apply_overview(session.overview))
        session.opened.connect(self._new_library)
        self.training.changed.connect(lambda: self._apply_overview(session.overview))
        self._apply_overview(session.overview)
        self._show_running(False)
        self.outcome.hide()
        for name in ("caption", "export", "undo_export"):
            self.addAction(actions[name])
        actions["caption"].triggered.connect(lambda _checked=False: self._press(self.caption))
        actions["export"].triggered.connect(lambda _checked=False: self._press(self.exporting.export))

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        inner = QWidget()
        self.exporting = ExportPanel(self._session, self._actions)
        content = column(self._caption_card(), self.exporting, spacing=theme.M)
        content.setStretch(1, 1)
        content.setContentsMargins(0, 0, theme.L, theme.L)
        inner.setLayout(content)
        measure_by_width(inner)
        self.pages = QStackedWidget()
        self.pages.addWidget(scrolling(inner, cards=True))
        self.pages.addWidget(
            EmptyState(
                "deliver",
                self.tr("No photos to caption yet"),
                self.tr("Add a folder of photos first. Captions for all of them are made and exported here."),
                action_button(
                    self._actions["open"], role="primary", text=self.tr("Choose a folder…"), icon_name="folder"
                ),
            )
        )
        subtitle = self.tr("Caption every photo with the model you trained, then take the captions with you.")
        layout = column(
            label(self.tr("Deliver"), "title"), ElidedLabel(subtitle, "muted"), theme.S, self.pages, spacing=2
        )
        layout.setStretch(3, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)

    def _caption_card(self) -> QWidget:
        self.left_to_do = label("", "heading", wrap=True)
        self.in_vain = label("", "muted", wrap=True)
        self.in_vain.hide()
        self.model = label("", "muted", wrap=True)
        self.time = label("", "muted", wrap=True)
        self.caption = button("", lambda: self.begin(), role="big", icon_name="play")
        self.go_on = button("", lambda: self.begin(resume=True), icon_name="play")
        self.more = self._choices()
        self.doing = ElidedLabel("", "muted")
        self.rate = label("", "muted")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Captioning progress"))
        self.stop = button(self.tr("Cancel"), self.cancel, icon_name="stop")
        state = row(self.doing, self.rate, spacing=theme.M)
        state.setStretch(0, 1)
        work = row(column(self.bar, state, spacing=theme.S), self.stop, spacing=theme.L)
        work.setStretch(0, 1)
        self.running = QWidget()
        self.latest = ElidedLabel("", "muted")
        self.running.setLayout(column(work, self.latest, spacing=theme.XS))
        self.result = label("", "strong", wrap=True)
        self.retry = button(
            self.tr("Try the failed ones again"), lambda: self.begin(only_failed=True), icon_name="refresh"
        )
        self.review = button(self.tr("Review them"), self.go_review.emit, icon_name="review")
        self.failures = QListWidget()
        set_role(self.failures, "lines")
        self.failures.setWordWrap(True)
        self.failures.setAccessibleName(self.tr("Photos that could not be captioned"))
        self.outcome = QWidget()
        told = Flow().put(self.result, least=theme.letters(36), stretch=1).put(self.retry, self.review)
        self.outcome.setLayout(column(told, self.failures, spacing=theme.S))
        self.training = TrainingNote(self._session)
        text = column(self.left_to_do, self.in_vain, self.training, self.model, self.time, spacing=theme.XS)
        top = Flow(spacing=theme.L).put(text, least=theme.letters(36), stretch=1).put(self.go_on, self.caption)
        return card(column(top, self.running, self.outcome, self.more, spacing=theme.M))

    def _press(self, what: QPushButton) -> None:
        """For keys and the list of actions: as the button, where it can be pressed."""
        if what.isVisible() and what.isEnabled():
            what.click()
        else:
            self._session.said.emit(self.tr("There is nothing to do: what this is for is done, or is being done."))

    def _choices(self) -> Disclosure:
        self.policy = QButtonGroup(self)
        self.policies = QWidget()
        options = column(spacing=2)
        options.setContentsMargins(theme.L, 0, 0, 0)
        for key, text in (
            ("skip", self.tr("Only photos that have no caption")),
            ("add", self.tr("All photos: add a suggestion beside what is there")),
            ("replace-model", self.tr("All photos: put new suggestions in place of old ones")),
        ):
            choice = QRadioButton(text)
            choice.setProperty("key", key)
            choice.setChecked(key == "skip")
            self.policy.addButton(choice)
            options.addWidget(choice)
        self.policy.buttonClicked.connect(lambda _button: self._apply_overview(self._session.overview))
        self.candidates = ComboBox()
        for number in range(1, MOST_SUGGESTIONS + 1):
            self.candidates.addItem(str(number), number)
        self.candidates.setCurrentIndex(2)
        self.candidates.setAccessibleName(self.tr("Suggestions for each photo"))
        self.candidates.currentIndexChanged.connect(lambda _index: self._apply_overview(self._session.overview))
        number = row(label(self.tr("Suggestions for each photo")), self.candidates, None)
        number.setContentsMargins(theme.XS + 1, theme.XS, 0, theme.XS)  # begins where the circles and boxes do
        options.addLayout(number)
        self.wording = WordingSlider()
        self.wording.chosen.toggled.connect(lambda _on: self._apply_overview(self._session.overview))
        self.wording.scale.moved.connect(lambda: self._apply_overview(self._session.overview))
        options.addWidget(self.wording)
        self.bundles = BundleChoice(self._session)
        self.wording.chosen.toggled.connect(self.bundles.set_mixed)
        options.addWidget(self.bundles)
        never = label(self.tr("What you have written or accepted is never changed."), "muted")
        never.setContentsMargins(theme.XS + 1, theme.S, 0, 0)
        options.addWidget(never)
        self.policies.setLayout(options)
        return Disclosure(self.tr("Which photos, wording, and model"), self.policies)

    # -- captioning -------------------------------------------------------------------------------------------------

    @property
    def existing(self) -> Existing:
        chosen = self.policy.checkedButton()
        return chosen.property("key") if chosen is not None else "skip"

    def _apply_overview(self, overview: Overview | None) -> None:
        self.pages.setCurrentIndex(0 if overview is not None and overview.counts.photos else 1)
        if overview is None:
            return
        in_vain, renews = self._in_vain(overview), self._renews(overview)
        uncaptioned, outdated = overview.uncaptioned - in_vain.uncaptioned, overview.outdated - in_vain.outdated
        todo = uncaptioned + (outdated if renews else 0) if self.existing == "skip" else overview.counts.photos
        photos = words.counted(todo, self.tr("photo"), self.tr("photos", "", todo))
        self.left_to_do.setText(self._state_of(overview, photos, renews=renews, uncaptioned=uncaptioned))
        self.in_vain.setVisible(in_vain.uncaptioned + in_vain.outdated > 0)
        self.in_vain.setText(words.said_in_vain(in_vain.uncaptioned + in_vain.outdated))
        self.model.setText(self.bundles.sentence)
        all_again = renews and not uncaptioned
        again = self.tr("Suggest again for {photos}") if all_again else self.tr("Caption {photos}")
        relabel(self.caption, again.format(photos=photos))
        self.caption.setVisible(todo > 0 and self._job is None)
        self._look_up_time(todo or overview.captioning_left, overview.ready or not self.bundles.in_use)
        self._give_way(self.training.running)
        left = overview.captioning_left
        self.go_on.setVisible(left > 0 and self._job is None)
        relabel(self.go_on, self.tr("Go on with the {n} left").format(n=words.count(left)))

    def _state_of(self, overview: Overview, photos: str, *, renews: bool, uncaptioned: int) -> str:
        """How far the library is, in a line. A suggestion is a caption here, as it is for all that can be exported."""
        if renews and uncaptioned:
            return self.tr("{photos} without a suggestion of this model").format(photos=photos)
        if renews:
            return self.tr("{photos} with suggestions of an older model").format(photos=photos)
        if overview.uncaptioned:
            without = words.counted(overview.uncaptioned, self.tr("photo"), self.tr("photos", "", overview.uncaptioned))
            return self.tr("{photos} without a caption or suggestion").format(photos=without)
        if overview.counts.failed:
            return self.tr("Every photo that can be read has a caption or a suggestion")
        return self.tr("Every photo has a caption or a suggestion")

    def _in_vain(self, overview: Overview) -> InVain:
        """The photos for which asking once more as things are chosen here would bring nothing new."""
        from core.library.in_vain import InVain, asked

        number = self.candidates.currentData()
        here = asked(self.bundles.paced, number, self.wording.distinctive, self.bundles.faster)
        known = overview.in_vain
        return known if known is not None and known.asked == here and self.existing == "skip" else InVain()

    def _give_way(self, training: bool) -> None:
        """Captions can be made when the training has ended; which model would make them now is of no use."""
        for one in (self.caption, self.go_on):
            one.setEnabled(not training)
        self.model.setVisible(not training)
        if training:
            self.time.hide()

    @property
    def _paced(self) -> str:
        """What the pace of a captioning depends on, apart from the computer."""
        return f"{self.bundles.paced} {self.candidates.currentData()}"

    def _look_up_time(self, photos: int, ready: bool) -> None:
        self.time.setVisible(photos > 0 and self._job is None)
        if photos and self._job is None:
            paced = self._paced
            self._session.look_up(
                lambda _service: expected(paced, photos),
                lambda found: self.time.setText(words.captioning_time(found, ready)),
                key="captioning-time",
            )

    def _renews(self, overview: Overview | None) -> bool:
        """Of some photos another model alone has had its say, and the one in use has not been asked in vain."""
        if overview is None or self.existing != "skip" or not self.bundles.in_use:
            return False
        return overview.outdated > self._in_vain(overview).outdated

    def begin_if_any(self) -> None:
        """Once it is known that photos wait for it; nothing where none does."""
        self._session.after_overview(lambda: self.begin() if self.caption.isVisible() else None)

    def begin(self, *, only_failed: bool = False, resume: bool = False) -> None:
        service = self._session.service
        if service is None or self._job is not None:
            return
        renews = self._renews(self._session.overview) and not only_failed and not resume
        again = resume or only_failed  # what goes on does so as it was begun
        order = CaptionOrder(
            service.path,
            "replace-model" if renews else self.existing,
            None if again else self.candidates.currentData(),
            only_failed=only_failed,
            resume=resume,
            renew=renews,
            distinctive=None if again else self.wording.distinctive,
            faster=self.bundles.faster and not again,
            model=None if again else self.bundles.model,
            bundle=None if again else self.bundles.bundle,
            paced="" if again else self._paced,
        )
        job = self._session.start(
            self._session.heavy, caption_photos, order, title=self.tr("Captioning"), kind="caption"
        )
        if job is not None:
            self.watch(job)

    def watch(self, job: RunningJob) -> None:
        self._job = job
        self.doing.set_text(self.tr("Loading the model…"))
        self.rate.setText("")
        self.latest.set_text("")
        self.bar.setRange(0, 0)
        self.stop.setEnabled(True)
        self._show_running(True)
        job.progress.connect(self.show_progress)
        job.partials.connect(self.show_news)
        job.finished.connect(self.show_result)
        job.cancelled.connect(self._cancelled)
        job.failed.connect(self._failed)
        job.ended.connect(self._ended)
        growing = QTimer(job, interval=GROW_MS)  # captions appear everywhere while the rest is still being made
        growing.timeout.connect(self._session.grow)
        growing.start()

    def cancel(self) -> None:
        if self._job is not None:
            self.stop.setEnabled(False)
            self.doing.set_text(self.tr("Stopping; what is captioned is kept…"))
            self._job.cancel()

    def show_progress(self, progress: Progress) -> None:
        if self._job is not None and self._job.cancelling:
            return
        if not progress.message.startswith(CAPTIONING):  # rate and caption are of the captioning alone
            self.rate.setText("")
            self.latest.set_text("")
        if progress.total:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(min(progress.done, progress.total))
        else:
            self.bar.setRange(0, 0)
        numbers = ""
        if progress.total:
            numbers = words.so_far(progress.done, progress.total, percent=progress.message == GETTING_READY)
        self.doing.set_text(" · ".join(part for part in (words.doing(progress), numbers) if part))

    def show_news(self, results: Sequence[object]) -> None:
        """Rate, time left, and the last caption made."""
        news = [result for result in results if isinstance(result, BatchProgress)]
        if not news:
            return
        last = news[-1]
        parts = []
        if last.rate:
            parts.append(self.tr("{rate} photos a second").format(rate=f"{last.rate:.1f}"))
        if last.eta_s is not None:
            parts.append(self.tr("{time} left").format(time=words.duration(last.eta_s)))
        self.rate.setText(" · ".join(parts))
        if last.latest:
            file, caption = last.latest[-1]
            self.latest.set_text(f"{Path(file).name}: {caption}")

    def show_result(self, result: CaptionResult) -> None:
        result = replace(result, done=result.done - result.nothing_new)
        photos = words.counted(result.done, self.tr("photo"), self.tr("photos", "", result.done))
        text = self.tr("{photos} captioned in {time}.").format(photos=photos, time=words.duration(result.seconds))
        if result.done == 0 and not result.failed:
            text = self.tr("There was nothing to caption: every photo has a caption already.")
        if result.nothing_new:  # why, and what can be done, stands above
            number = words.counted(result.nothing_new, self.tr("photo"), self.tr("photos", "", result.nothing_new))
            none = self.tr("Nothing new came for {photos}.").format(photos=number)
            text = f"{text} {none}" if result.done else none
        text = f"{text} {result.remark}".rstrip()
        if result.failed:
            failed = words.counted(len(result.failed), self.tr("photo"), self.tr("photos", "", len(result.failed)))
            text += " " + self.tr("{photos} could not be captioned:").format(photos=failed)
        self._tell(text, result.failed, captioned=result.done > 0)

    def _tell(self, text: str, failed: Sequence[tuple[str, str]], *, captioned: bool = False) -> None:
        self.result.setText(text)
        self.failures.clear()
        self.failures.addItems([f"{name}: {reason}" for name, reason in failed])
        self.failures.setVisible(bool(failed))
        rows = min(len(failed), FAILURES_SHOWN)
        self.failures.setFixedHeight(max(1, rows) * self.failures.sizeHintForRow(0) + 2 * theme.S)
        self.retry.setVisible(bool(failed))
        self.review.setVisible(captioned)
        self.outcome.show()

    def _cancelled(self) -> None:
        self._tell(self.tr("Cancelled. What was captioned is kept; the rest can be captioned whenever you like."), ())

    def _failed(self, failure: Failure) -> None:
        self._tell(failure.message, ())

    def _ended(self) -> None:
        self._job = None
        self._show_running(False)
        self._apply_overview(self._session.overview)

    def _show_running(self, running: bool) -> None:
        self.running.setVisible(running)
        self.caption.setVisible(False)
        self.go_on.setVisible(False)
        self.more.setVisible(not running)
        self.time.setVisible(not running)
        if running:
            self.outcome.hide()

    def _new_library(self) -> None:
        self.outcome.hide()
