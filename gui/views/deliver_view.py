"""Deliver: caption every photo with the model's ONNX bundle, and take the captions to where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QHeaderView,
    QListWidget,
    QProgressBar,
    QRadioButton,
    QScrollArea,
    QStackedWidget,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from core.batch.progress import BatchProgress
from gui import theme, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.services import ExportPreview, Overview
from gui.session import Session
from gui.tasks import CaptionOrder, CaptionResult, Existing, ExportOrder, ExportResult, caption_photos, export_captions
from gui.widgets.basics import (
    CheckBox,
    ComboBox,
    Disclosure,
    ElidedLabel,
    EmptyState,
    action_button,
    button,
    card,
    column,
    label,
    relabel,
    row,
)
from gui.worker import Failure, Progress

PREVIEW_ROWS = 200
MOST_SUGGESTIONS = 9
FAILURES_SHOWN = 5
GROW_MS = 3_000
FILE_NAMES = {"jsonl": "metadata.jsonl", "csv": "captions.csv", "coco": "captions_coco.json"}


class DeliverView(QWidget):
    go_review = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._job: RunningJob | None = None
        self._target: Path | None = None
        self._exported_to: Path | None = None
        self._build()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        session.overview_changed.connect(self._apply_overview)
        session.data_changed.connect(self._preview)
        session.opened.connect(self._new_library)
        self._apply_overview(session.overview)
        self._show_running(False)
        self.outcome.hide()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        inner = QWidget()
        content = column(self._caption_card(), self._export_card(), spacing=theme.M)
        content.setStretch(1, 1)
        content.setContentsMargins(0, 0, theme.L, theme.L)
        inner.setLayout(content)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(inner)
        self.pages = QStackedWidget()
        self.pages.addWidget(scroll)
        self.pages.addWidget(
            EmptyState(
                "deliver",
                self.tr("No photos to caption yet"),
                self.tr("Add a folder of photos first. Captions for all of them are made and exported here."),
                action_button(self._actions["open"], role="primary", text=self.tr("Choose a folder…")),
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
        self.model = label("", "muted", wrap=True)
        self.caption = button("", lambda: self.begin(), role="big", icon_name="play")
        self.go_on = button("", lambda: self.begin(resume=True), icon_name="play")
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
        options.addLayout(row(label(self.tr("Suggestions for each photo")), self.candidates, None))
        options.addWidget(label(self.tr("What you have written or accepted is never changed."), "muted"))
        self.policies.setLayout(options)
        self.more = Disclosure(self.tr("Which photos, how many suggestions"), self.policies)
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
        self.failures.setWordWrap(True)
        self.failures.setAccessibleName(self.tr("Photos that could not be captioned"))
        self.outcome = QWidget()
        told = row(self.result, self.retry, self.review)
        told.setStretch(0, 1)
        self.outcome.setLayout(column(told, self.failures, spacing=theme.S))
        text = column(self.left_to_do, self.model, spacing=theme.XS)
        top = row(text, self.go_on, self.caption, spacing=theme.L)
        top.setStretch(0, 1)
        return card(column(top, self.running, self.outcome, self.more, spacing=theme.M))

    def _export_card(self) -> QWidget:
        self.format = ComboBox()
        self.format.setAccessibleName(self.tr("Format"))
        for key, text in (
            ("txt", self.tr("Text files (.txt)")),
            ("jsonl", self.tr("JSON Lines (.jsonl)")),
            ("csv", self.tr("Table (.csv)")),
            ("coco", self.tr("COCO (.json)")),
            ("xmp", self.tr("XMP beside the photos (.xmp)")),
        ):
            self.format.addItem(text, key)
        self.which = ComboBox()
        self.which.setAccessibleName(self.tr("Which captions"))
        self.which.addItem(self.tr("Accepted captions"), "accepted")
        self.which.addItem(self.tr("Accepted, else best suggestion"), "best")
        self.overwrite = CheckBox(self.tr("Replace files that say something else"))
        self.choose = button(self.tr("Where…"), self.choose_target, icon_name="folder")
        self.summary = label("", "muted", wrap=True)
        self.export = button(self.tr("Export"), self.run_export, role="primary", icon_name="deliver")
        self.show_target = button(self.tr("Show it"), self._open_target, icon_name="folder")
        self.show_target.hide()
        self.preview = self._preview_table()
        self.overwrite.hide()
        self.format.currentIndexChanged.connect(lambda _index: self._format_changed())
        self.which.currentIndexChanged.connect(lambda _index: self._preview())
        self.overwrite.toggled.connect(lambda _on: self._preview())
        choices = row(self.format, self.which, self.choose, None, self.show_target, self.export)
        self.files = QStackedWidget()
        self.files.addWidget(self.preview)
        self.files.addWidget(
            EmptyState(
                "deliver",
                self.tr("Nothing to write yet"),
                self.tr("Accept captions in Review, or choose to write the best suggestion where none is accepted."),
            )
        )
        told = row(self.summary, self.overwrite)
        told.setStretch(0, 1)
        layout = column(
            label(self.tr("Take the captions with you"), "heading"),
            choices,
            told,
            self.files,
            spacing=theme.S,
        )
        layout.setStretch(3, 1)
        return card(layout)

    def _preview_table(self) -> QTableWidget:
        table = QTableWidget(0, 3)
        table.setHorizontalHeaderLabels([self.tr("File"), self.tr("What will happen"), self.tr("Caption")])
        table.verticalHeader().hide()
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setMinimumHeight(150)
        table.setAccessibleName(self.tr("What the export will do"))
        header = table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, 250)
        header.resizeSection(1, 200)
        return table

    # -- captioning -------------------------------------------------------------------------------------------------

    @property
    def existing(self) -> Existing:
        chosen = self.policy.checkedButton()
        return chosen.property("key") if chosen is not None else "skip"

    def _apply_overview(self, overview: Overview | None) -> None:
        self.pages.setCurrentIndex(0 if overview is not None and overview.counts.photos else 1)
        if overview is None:
            return
        todo = overview.uncaptioned if self.existing == "skip" else overview.counts.photos
        if self._renews(overview):
            todo = overview.outdated
        photos = words.counted(todo, self.tr("photo"), self.tr("photos"))
        if self._renews(overview):
            self.left_to_do.setText(self.tr("{photos} with suggestions of an older model").format(photos=photos))
        elif overview.uncaptioned == 0:
            self.left_to_do.setText(self.tr("Every photo has a caption"))
        else:
            self.left_to_do.setText(
                self.tr("{photos} without a caption").format(
                    photos=words.counted(overview.uncaptioned, self.tr("photo"), self.tr("photos"))
                )
            )
        self.model.setText(words.model_sentence(overview.run_date))
        again = self.tr("Suggest again for {photos}") if self._renews(overview) else self.tr("Caption {photos}")
        relabel(self.caption, again.format(photos=photos))
        self.caption.setVisible(todo > 0 and self._job is None)
        left = overview.captioning_left
        self.go_on.setVisible(left > 0 and self._job is None)
        relabel(self.go_on, self.tr("Go on with the {n} left").format(n=words.count(left)))

    def _renews(self, overview: Overview | None) -> bool:
        """Nothing is left without a caption, but the model in use has had no say yet: it is its turn."""
        return overview is not None and self.existing == "skip" and overview.uncaptioned == 0 and overview.outdated > 0

    def begin(self, *, only_failed: bool = False, resume: bool = False) -> None:
        service = self._session.service
        if service is None or self._job is not None:
            return
        renews = self._renews(self._session.overview) and not only_failed and not resume
        order = CaptionOrder(
            service.path,
            "replace-model" if renews else self.existing,
            self.candidates.currentData(),
            only_failed=only_failed,
            resume=resume,
            only_outdated=renews,
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
        growing.timeout.connect(self._session.refresh)
        growing.start()

    def cancel(self) -> None:
        if self._job is not None:
            self.stop.setEnabled(False)
            self.doing.set_text(self.tr("Stopping; what is captioned is kept…"))
            self._job.cancel()

    def show_progress(self, progress: Progress) -> None:
        if self._job is not None and self._job.cancelling:
            return
        if not progress.message.startswith("Captioning"):  # rate and caption are of the captioning alone
            self.rate.setText("")
            self.latest.set_text("")
        if progress.total:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(min(progress.done, progress.total))
        else:
            self.bar.setRange(0, 0)
        numbers = ""
        if progress.total:
            numbers = self.tr("{done} of {total}").format(
                done=words.count(progress.done), total=words.count(progress.total)
            )
        self.doing.set_text(" · ".join(part for part in (progress.message, numbers) if part))

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
        photos = words.counted(result.done, self.tr("photo"), self.tr("photos"))
        text = self.tr("{photos} captioned in {time}.").format(photos=photos, time=words.duration(result.seconds))
        if result.done == 0 and not result.failed:
            text = self.tr("There was nothing to caption: every photo has a caption already.")
        if result.failed:
            failed = words.counted(len(result.failed), self.tr("photo"), self.tr("photos"))
            text += " " + self.tr("{photos} could not be captioned:").format(photos=failed)
        self._tell(text, result.failed, captioned=result.done > 0)

    def _tell(self, text: str, failed: Sequence[tuple[str, str]], *, captioned: bool = False) -> None:
        self.result.setText(text)
        self.failures.clear()
        self.failures.addItems([f"{name}: {reason}" for name, reason in failed])
        self.failures.setVisible(bool(failed))
        rows = min(len(failed), FAILURES_SHOWN)
        self.failures.setFixedHeight(max(1, rows) * (self.failures.sizeHintForRow(0) + 2) + 2 * theme.S)
        self.retry.setVisible(bool(failed))
        self.review.setVisible(captioned)
        self.outcome.show()

    def _cancelled(self) -> None:
        self._tell(self.tr("Cancelled. What was captioned is kept; start again to go on from there."), ())

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
        if running:
            self.outcome.hide()

    def _new_library(self) -> None:
        self.outcome.hide()
        self.show_target.hide()
        self._target = None
        self._preview()

    # -- export -----------------------------------------------------------------------------------------------------

    def _format_changed(self) -> None:
        self._target = None
        self.show_target.hide()
        self._preview()

    def choose_target(self) -> None:
        kind = self.format.currentData()
        if kind in FILE_NAMES:
            chosen, _ = QFileDialog.getSaveFileName(self, self.tr("Export to"), FILE_NAMES[kind])
        else:
            chosen = QFileDialog.getExistingDirectory(self, self.tr("Export into a folder"))
        if chosen:
            self.set_target(Path(chosen))

    def set_target(self, target: Path | None) -> None:
        self._target = target
        self._preview()

    def _order(self) -> ExportOrder | None:
        service = self._session.service
        if service is None:
            return None
        kind, which = self.format.currentData(), self.which.currentData()
        return ExportOrder(service.path, kind, which, self._target, self.overwrite.isChecked())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._preview()

    def _preview(self) -> None:
        """Read again what an export would do; only while it can be seen, since it looks at every file."""
        order = self._order()
        if order is not None and self.isVisible():
            self._session.look_up(lambda service: service.preview_export(order, PREVIEW_ROWS), self.show_preview)

    def show_preview(self, preview: ExportPreview) -> None:
        self.summary.setText(self._summary(preview))
        self.export.setEnabled(preview.files > 0)
        files = words.counted(preview.files, self.tr("file"), self.tr("files"))
        relabel(self.export, self.tr("Write {files}").format(files=files) if preview.files else self.tr("Export"))
        self.overwrite.setVisible(preview.kept > 0 or self.overwrite.isChecked())
        self.files.setCurrentIndex(0 if preview.rows else 1)
        self.preview.setRowCount(len(preview.rows))
        for at, line in enumerate(preview.rows):
            for place, text in enumerate((line.file.name, words.export_action(line.action), line.text)):
                item = QTableWidgetItem(text)
                item.setToolTip(str(line.file) if place == 0 else text)
                self.preview.setItem(at, place, item)

    def _summary(self, preview: ExportPreview) -> str:
        if preview.refused:
            return preview.refused
        photos = words.counted(preview.photos, self.tr("photo"), self.tr("photos"))
        if self._target is None:
            parts = [self.tr("Captions of {photos}, written beside the photos").format(photos=photos)]
        else:
            parts = [self.tr("Captions of {photos}, written to {place}").format(photos=photos, place=self._target)]
        if preview.without:
            parts.append(self.tr("{n} without one are left out").format(n=words.count(preview.without)))
        if preview.same:
            parts.append(self.tr("{n} files are up to date").format(n=words.count(preview.same)))
        return "; ".join(parts) + "."

    def run_export(self) -> None:
        order = self._order()
        if order is None:
            return
        title = self.tr("Exporting")
        job = self._session.start(self._session.light, export_captions, order, title=title, kind="export")
        if job is not None:
            self.export.setEnabled(False)
            job.finished.connect(self.show_exported)
            job.ended.connect(self._preview)

    def show_exported(self, result: ExportResult) -> None:
        self._exported_to = result.folder
        self.show_target.show()
        files = words.counted(result.written, self.tr("file"), self.tr("files"))
        text = self.tr("{files} written to {folder}.").format(files=files, folder=result.folder)
        if result.kept:
            text += " " + self.tr("{n} say something else and were kept.").format(n=words.count(len(result.kept)))
        if result.failed:
            path, reason = result.failed[0]
            step = self.tr("{n} could not be written; the first is {path}: {reason}").format(
                n=words.count(len(result.failed)), path=path, reason=reason
            )
            self._session.failed.emit(Failure(text, step))
        else:
            self._session.said.emit(text)

    def _open_target(self) -> None:
        if self._exported_to is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._exported_to)))
