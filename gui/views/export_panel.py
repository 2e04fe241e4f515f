"""Taking the captions along: as files or inside the photos, with a preview of every file, and back again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QHeaderView, QStackedWidget, QTableWidget, QTableWidgetItem, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.choosing import choose_folder, name_file
from gui.export_preview import ExportPreview
from gui.revealing import show_folder
from gui.session import Session
from gui.tasks import (
    ExportOrder,
    ExportResult,
    UndoExportOrder,
    UndoExportResult,
    export_captions,
    undo_last_export,
)
from gui.widgets.basics import (
    CheckBox,
    ComboBox,
    EmptyState,
    action_button,
    button,
    column,
    label,
    plain_table,
    relabel,
)
from gui.widgets.flow import Flow, bring_into_sight
from gui.worker import Failure

if TYPE_CHECKING:
    from core.exchange.history import LastExport

PREVIEW_ROWS = 200
KEPT_FOLDERS = 50
FILE_NAMES = {"jsonl": "metadata.jsonl", "csv": "captions.csv", "coco": "captions_coco.json"}


class ExportPanel(QFrame):
    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._session = session
        self._actions = actions
        self._target: Path | None = None
        self._folder: Path | None = None  # that was chosen, whatever the format
        self._exported_to: Path | None = None
        self._kept: dict[str, str] = {}  # the folder that was chosen for each library
        self.setObjectName("export-folder")
        self._to_show = False  # the line that tells of an export that has just been made
        self._build()
        session.data_changed.connect(self._preview)
        session.leaving.connect(self._note_folder)
        session.opened.connect(self._new_library)
        actions["undo_export"].triggered.connect(lambda _checked=False: self.undo_last())

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
        self.format.setObjectName("export-format")  # what it is called among what the window keeps
        self.which = ComboBox()
        self.which.setObjectName("export-which")
        self.which.setAccessibleName(self.tr("Which captions"))
        self.which.addItem(self.tr("Captions you wrote or accepted"), "accepted")
        self.which.addItem(self.tr("Those, else the best suggestion"), "best")
        self.overwrite = CheckBox(self.tr("Replace files that say something else"))
        self.choose = button(self.tr("Where…"), self.choose_target, icon_name="folder")
        self.beside = button(self.tr("Beside the photos"), lambda: self.set_target(None))
        self.summary = label("", "muted", wrap=True)
        self.export = button(self.tr("Export"), self.run_export, role="primary", icon_name="deliver")
        self.show_target = button(self.tr("Show it"), self._open_target, icon_name="folder")
        self.show_target.hide()
        self.preview = self._preview_table()
        self.overwrite.hide()
        self.format.currentIndexChanged.connect(lambda _index: self._format_changed())
        self.which.currentIndexChanged.connect(lambda _index: self._preview())
        self.overwrite.toggled.connect(lambda _on: self._preview())
        choices = Flow().put(self.format, self.which, self.choose, self.beside, None, self.export)
        self.files = QStackedWidget()
        self.files.addWidget(self.preview)
        self.nothing = EmptyState("deliver", self.tr("Nothing to write yet"), "")
        self.files.addWidget(self.nothing)
        told = Flow().put(self.summary, least=theme.letters(36), stretch=1).put(self.overwrite)
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
        line = Flow(spacing=theme.M).put(self.last, least=theme.letters(36), stretch=1).put(self.show_target, self.undo)
        self.undo_line = QWidget()
        self.undo_line.setLayout(line)
        self.undo_line.hide()
        self._actions["undo_export"].setEnabled(False)
        return self.undo_line

    def _preview_table(self) -> QTableWidget:
        headings = (self.tr("File"), self.tr("What will happen"), self.tr("Caption"))
        table = plain_table(headings, self.tr("What the export will do"))
        table.setWordWrap(False)
        table.setMinimumHeight(150)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        return table

    # -- writing ----------------------------------------------------------------------------------------------------

    def _new_library(self) -> None:
        self.show_target.hide()
        self._target = self._folder = None
        self._take_up()
        self.show_last(None)
        self._preview()

    def to_keep(self) -> str:
        """The folders chosen for the captions of libraries, for the next time these are open."""
        self._note_folder()
        return json.dumps(dict(list(self._kept.items())[-KEPT_FOLDERS:]))

    def put_back(self, kept: str) -> None:
        try:
            self._kept = {str(library): str(folder) for library, folder in json.loads(kept).items()}
        except (ValueError, AttributeError):
            return  # something else was kept
        self._take_up()

    def _note_folder(self) -> None:
        service = self._session.service
        if service is not None:
            self._kept.pop(str(service.path), None)
            if self._folder is not None:
                self._kept[str(service.path)] = str(self._folder)

    def _take_up(self) -> None:
        """The folder that was chosen for this library before, if it is there."""
        service = self._session.service
        folder = self._kept.get(str(service.path)) if service is not None else None
        if folder is not None and self._folder is None:
            with suppress(OSError):  # on a drive that does not answer
                if Path(folder).is_dir():
                    self._folder = Path(folder)
                    self._format_changed()

    def _format_changed(self) -> None:
        """Another format goes into the folder that was chosen, a table under its usual name."""
        kind = self.format.currentData()
        into = self._folder if kind not in FILE_NAMES or self._folder is None else self._folder / FILE_NAMES[kind]
        self._target = None if self._inside else into
        self.choose.setVisible(not self._inside)
        self.show_target.hide()
        self.overwrite.setChecked(False)  # whoever lets text files be replaced has not spoken of photos
        self.overwrite.setText(self._overwrite_text(0))
        self._preview()

    def choose_target(self) -> None:
        kind = self.format.currentData()
        if kind in FILE_NAMES:
            name_file(self, self.tr("Export to"), FILE_NAMES[kind], self.set_target)
        else:
            choose_folder(self, self.tr("Export into a folder"), self.set_target)

    def set_target(self, target: Path | None) -> None:
        self._target = target
        is_file = target is not None and self.format.currentData() in FILE_NAMES
        self._folder = target.parent if is_file and target is not None else target
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
        for place, letters in ((0, 41), (1, 33)):
            self.preview.horizontalHeader().resizeSection(place, min(theme.letters(letters), self.width() // 3))
        self._preview()

    def _preview(self) -> None:
        """Read again what an export would do; only while it can be seen, since it looks at every file."""
        order = self._order()
        self.beside.setVisible(self._target is not None and self.format.currentData() not in FILE_NAMES)
        if order is not None and self.isVisible():
            self._session.look_up(lambda service: service.preview_export(order, PREVIEW_ROWS), self.show_preview)
            self._session.look_up(lambda service: service.last_export(), self.show_last, key="last-export")

    def show_preview(self, preview: ExportPreview) -> None:
        self.summary.setText(self._summary(preview))
        if preview.refused and not preview.empty:
            self.nothing.say(self.tr("This cannot be written yet"), preview.refused)
        else:
            self.nothing.say(
                self.tr("Nothing to write yet"),
                self.tr("Write captions in Seed, accept some in Review, or choose the best suggestion for the rest."),
            )
        self.export.setEnabled(preview.files + preview.unseen > 0)
        relabel(self.export, self._export_text(preview))
        self.overwrite.setVisible(preview.kept + preview.unseen > 0 or self.overwrite.isChecked())
        self.overwrite.setText(self._overwrite_text(preview.kept + preview.replaced))
        self.files.setCurrentIndex(0 if preview.rows else 1)
        self.preview.setRowCount(len(preview.rows))
        for at, line in enumerate(preview.rows):
            for place, text in enumerate((line.file.name, words.export_action(line.action), line.text)):
                item = QTableWidgetItem(text)
                item.setToolTip(str(line.file) if place == 0 else text)
                self.preview.setItem(at, place, item)

    def _overwrite_text(self, number: int) -> str:
        """``number``: of how many it is known that they say something else; they are the first of the list."""
        if self._inside:
            text = self.tr("Replace descriptions that say something else")
        else:
            text = self.tr("Replace files that say something else")
        return self.tr("{replace} ({n})").format(replace=text, n=words.count(number)) if number else text

    def _files(self, number: int) -> str:
        if self._inside:
            return words.counted(number, self.tr("photo"), self.tr("photos", "", number))
        return words.counted(number, self.tr("file"), self.tr("files", "", number))

    def _export_text(self, preview: ExportPreview) -> str:
        if preview.unseen:
            return self.tr("Write into the photos")
        if not preview.files:
            return self.tr("Export")
        text = self.tr("Write into {files}") if self._inside else self.tr("Write {files}")
        return text.format(files=self._files(preview.files))

    def _summary(self, preview: ExportPreview) -> str:
        if preview.refused:
            return ""
        photos = words.counted(preview.photos, self.tr("photo"), self.tr("photos", "", preview.photos))
        place = self.tr("written beside the photos")
        if self._inside:
            place = self.tr("written into them as description and alt text; the pictures stay as they are")
        elif self._target is not None:
            place = self.tr("written to {place}").format(place=words.place(self._target))
        parts = [self.tr("Captions of {photos}, {place}").format(photos=photos, place=place)]
        if preview.without:
            without = words.counted(preview.without, self.tr("photo"), self.tr("photos", "", preview.without))
            mine = self.tr("left out: {photos} without a caption that you wrote or accepted")
            none = self.tr("left out: {photos} without a caption or suggestion")
            parts.append((mine if self.which.currentData() == "accepted" else none).format(photos=without))
        if preview.kept:
            parts.append(self.tr("left alone: {files} with other words").format(files=self._files(preview.kept)))
        if preview.replaced:
            parts.append(self.tr("replaced: {files} with other words").format(files=self._files(preview.replaced)))
        if preview.same:
            parts.append(self.tr("{files} up to date").format(files=self._files(preview.same)))
        if preview.failed:
            parts.append(self.tr("{files} cannot be written").format(files=self._files(preview.failed)))
        if preview.unseen:
            seen = words.count(preview.photos - preview.unseen)
            parts.append(self.tr("the first {n} are looked at here").format(n=seen))
        return " ".join(("; ".join(parts) + ".", *preview.notes))

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
        text = self.tr("Captions written into {files}.") if self._inside else self.tr("{files} written to {folder}.")
        if not result.written:
            text = self.tr("No file had to be written.")
        text = text.format(files=self._files(result.written), folder=words.place(result.folder))
        if result.kept:
            text += " " + self.tr("{n} say something else and were kept.").format(n=words.count(len(result.kept)))
        self._tell(text, self.tr("could not be written"), result.failed)
        self._to_show = True

    def _tell(self, text: str, trouble: str, files: Sequence[tuple[str, str]]) -> None:
        """Good news; or what went wrong with how many ``files``, and with the first of them."""
        if not files:
            self._session.said.emit(text)
            return
        path, reason = files[0]
        step = self.tr("{files} {trouble}: {name}: {reason}")
        if len(files) > 1:
            step = self.tr("{files} {trouble}; the first is {name}: {reason}")
        number = words.counted(len(files), self.tr("file"), self.tr("files", "", len(files)))
        step = step.format(files=number, trouble=trouble, name=Path(path).name, reason=reason)
        self._session.failed.emit(Failure(text, step))

    def _open_target(self) -> None:
        if self._exported_to is not None:
            show_folder(self._exported_to, self._session.said.emit)

    # -- and back again ---------------------------------------------------------------------------------------------

    def show_last(self, last: LastExport | None) -> None:
        """Say what undoing the last export would take back, and offer it."""
        self.undo_line.setVisible(last is not None)
        self._actions["undo_export"].setEnabled(last is not None and self._session.light.current is None)
        if last is None:
            return
        parts = []
        if last.changed:
            files = words.counted(
                last.changed, self.tr("file back as it was"), self.tr("files back as they were", "", last.changed)
            )
            parts.append(self.tr("puts {files}").format(files=files))
        if last.new:
            files = words.counted(last.new, self.tr("new file"), self.tr("new files", "", last.new))
            parts.append(self.tr("removes {files}").format(files=files))
        what = self.tr(" and ").join(parts) or self.tr("changes no file")
        self.last.setText(
            self.tr("Undoing the last export, of {date}, {what}. What was changed after it stays as it is.").format(
                date=words.moment(last.made), what=what
            )
        )
        if self._to_show:
            self._to_show = False
            QTimer.singleShot(0, self.undo_line, lambda: bring_into_sight(self.undo_line))

    def undo_last(self) -> None:
        service = self._session.service
        if service is None:
            return
        order, title = UndoExportOrder(service.path), self.tr("Undoing the export")
        job = self._session.start(self._session.light, undo_last_export, order, title=title, kind="export")
        if job is not None:
            if self.undo.hasFocus():
                self.format.setFocus()  # else Qt hands it to another place when the button greys
            self._actions["undo_export"].setEnabled(False)
            job.finished.connect(self.show_undone)
            job.ended.connect(self._preview)

    def show_undone(self, result: UndoExportResult) -> None:
        parts = []
        if result.restored:
            parts.append(
                words.counted(result.restored, self.tr("file put back"), self.tr("files put back", "", result.restored))
            )
        if result.removed:
            parts.append(
                words.counted(result.removed, self.tr("file removed"), self.tr("files removed", "", result.removed))
            )
        text = (", ".join(parts) or self.tr("No file was put back")) + "."
        self._tell(text, self.tr("left alone"), result.kept)
