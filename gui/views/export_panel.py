"""Taking the captions along: as files or inside the photos, with a preview of every file, and back again."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHeaderView, QStackedWidget, QTableWidget, QTableWidgetItem, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.services import ExportPreview, LastExport
from gui.session import Session
from gui.tasks import (
    ExportOrder,
    ExportResult,
    UndoExportOrder,
    UndoExportResult,
    export_captions,
    undo_export,
)
from gui.widgets.basics import CheckBox, ComboBox, EmptyState, action_button, button, column, label, relabel, row
from gui.worker import Failure

PREVIEW_ROWS = 200
FILE_NAMES = {"jsonl": "metadata.jsonl", "csv": "captions.csv", "coco": "captions_coco.json"}


class ExportPanel(QFrame):
    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._session = session
        self._actions = actions
        self._target: Path | None = None
        self._exported_to: Path | None = None
        self._build()
        session.data_changed.connect(self._preview)
        session.opened.connect(self._new_library)
        actions["undo_export"].triggered.connect(lambda: self.undo_last())

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.format = ComboBox()
        self.format.setAccessibleName(self.tr("Format"))
        for key, text in (
            ("txt", self.tr("Text files (.txt)")),
            ("jsonl", self.tr("JSON Lines (.jsonl)")),
            ("csv", self.tr("Table (.csv)")),
            ("coco", self.tr("COCO (.json)")),
            ("xmp", self.tr("XMP beside the photos (.xmp)")),
            ("metadata", self.tr("Inside the photos")),
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
        self.nothing = EmptyState("deliver", self.tr("Nothing to write yet"), "")
        self.files.addWidget(self.nothing)
        told = row(self.summary, self.overwrite)
        told.setStretch(0, 1)
        layout = column(
            label(self.tr("Take the captions with you"), "heading"),
            choices,
            told,
            self.files,
            self._undo_line(),
            spacing=theme.S,
        )
        layout.setStretch(3, 1)
        layout.setContentsMargins(theme.L, theme.L, theme.L, theme.L)
        self.setLayout(layout)

    def _undo_line(self) -> QWidget:
        self.undo = action_button(self._actions["undo_export"], text=self.tr("Undo last export"), icon_name="undo")
        self.last = label("", "muted", wrap=True)
        line = row(self.last, self.undo, spacing=theme.M)
        line.setStretch(0, 1)
        self.undo_line = QWidget()
        self.undo_line.setLayout(line)
        self.undo_line.hide()
        self._actions["undo_export"].setEnabled(False)
        return self.undo_line

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

    # -- writing ----------------------------------------------------------------------------------------------------

    def _new_library(self) -> None:
        self.show_target.hide()
        self._target = None
        self.show_last(None)
        self._preview()

    def _format_changed(self) -> None:
        self._target = None
        self.choose.setVisible(not self._inside)
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

    @property
    def _inside(self) -> bool:
        """Whether the captions go into the photos, which have their place."""
        return self.format.currentData() == "metadata"

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
            self._session.look_up(lambda service: service.last_export(), self.show_last, key="last-export")

    def show_preview(self, preview: ExportPreview) -> None:
        self.summary.setText(self._summary(preview))
        self.nothing.say(
            self.tr("Nothing to write yet"),
            preview.refused
            or self.tr("Accept captions in Review, or choose to write the best suggestion where none is accepted."),
        )
        self.export.setEnabled(preview.files > 0 or preview.unseen > 0)
        relabel(self.export, self._export_text(preview))
        self.overwrite.setVisible(preview.kept > 0 or self.overwrite.isChecked())
        self.files.setCurrentIndex(0 if preview.rows else 1)
        self.preview.setRowCount(len(preview.rows))
        for at, line in enumerate(preview.rows):
            for place, text in enumerate((line.file.name, words.export_action(line.action), line.text)):
                item = QTableWidgetItem(text)
                item.setToolTip(str(line.file) if place == 0 else text)
                self.preview.setItem(at, place, item)

    def _export_text(self, preview: ExportPreview) -> str:
        if preview.unseen:
            return self.tr("Write into the photos")
        if not preview.files:
            return self.tr("Export")
        if self._inside:
            photos = words.counted(preview.files, self.tr("photo"), self.tr("photos"))
            return self.tr("Write into {photos}").format(photos=photos)
        return self.tr("Write {files}").format(files=words.counted(preview.files, self.tr("file"), self.tr("files")))

    def _summary(self, preview: ExportPreview) -> str:
        if preview.refused:
            return ""
        photos = words.counted(preview.photos, self.tr("photo"), self.tr("photos"))
        if self._inside:
            parts = [self.tr("Captions of {photos}, written into the photos; no pixel changes").format(photos=photos)]
        elif self._target is None:
            parts = [self.tr("Captions of {photos}, written beside the photos").format(photos=photos)]
        else:
            parts = [self.tr("Captions of {photos}, written to {place}").format(photos=photos, place=self._target)]
        if preview.without:
            parts.append(self.tr("{n} without one are left out").format(n=words.count(preview.without)))
        if preview.same:
            parts.append(self.tr("{n} files are up to date").format(n=words.count(preview.same)))
        if preview.unseen:
            parts.append(self.tr("the first {n} are looked at here").format(n=words.count(preview.seen)))
        text = "; ".join(parts) + "."
        if preview.failed:
            text += " " + self.tr("{n} cannot be written; the first is {name}: {reason}").format(
                n=words.count(preview.failed), name=preview.first_failed[0].name, reason=preview.first_failed[1]
            )
        return " ".join((text, *preview.notes))

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
        if self._inside:
            photos = words.counted(result.written, self.tr("photo"), self.tr("photos"))
            text = self.tr("Captions written into {photos}.").format(photos=photos)
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

    # -- and back again ---------------------------------------------------------------------------------------------

    def show_last(self, last: LastExport | None) -> None:
        """Say what undoing the last export would put back, and offer it."""
        self.undo_line.setVisible(last is not None)
        self._actions["undo_export"].setEnabled(last is not None and self._session.light.current is None)
        if last is None:
            return
        parts = []
        if last.restored:
            files = words.counted(last.restored, self.tr("file says"), self.tr("files say"))
            parts.append(self.tr("{files} again what was there before").format(files=files))
        if last.removed:
            files = words.counted(last.removed, self.tr("new file is"), self.tr("new files are"))
            parts.append(self.tr("{files} removed").format(files=files))
        self.last.setText(
            self.tr("Undoing the export of {date}: {what}. Whatever has changed since stays as it is.").format(
                date=words.moment(last.when), what=self.tr(" and ").join(parts) or self.tr("nothing is left to do")
            )
        )

    def undo_last(self) -> None:
        service = self._session.service
        if service is None:
            return
        order, title = UndoExportOrder(service.path), self.tr("Undoing the export")
        job = self._session.start(self._session.light, undo_export, order, title=title, kind="export")
        if job is not None:
            self._actions["undo_export"].setEnabled(False)
            job.finished.connect(self.show_undone)
            job.ended.connect(self._preview)

    def show_undone(self, result: UndoExportResult) -> None:
        parts = []
        if result.restored:
            parts.append(words.counted(result.restored, self.tr("file put back"), self.tr("files put back")))
        if result.removed:
            parts.append(words.counted(result.removed, self.tr("file removed"), self.tr("files removed")))
        text = (", ".join(parts) or self.tr("Nothing had to be put back")) + "."
        if result.kept:
            path, reason = result.kept[0]
            step = self.tr("{n} were left as they are; the first is {path}: {reason}").format(
                n=words.count(len(result.kept)), path=path, reason=reason
            )
            self._session.failed.emit(Failure(text, step))
        else:
            self._session.said.emit(text)
