"""What the program has noted down about itself: for whoever wants to know, and for a report of a fault."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from gui import theme
from gui.dialogs import Beside, system_details
from gui.revealing import show_folder
from gui.widgets.basics import button, column, label, row

SHOWN_BYTES = 200_000
"""Of a long log its end is shown."""
_LOOK_MS = 1_000


class LogDialog(Beside):
    """The end of the log, which grows while it is open. ``path``: the file; that it is not there yet is no fault."""

    def __init__(self, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Log"), parent)
        self.resize(760, 480)
        self._path, self._size = path, -1
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setPlaceholderText(self.tr("Nothing has been noted down yet."))
        self.text.setAccessibleName(self.tr("Log"))
        self.where = label(
            self.tr("It stays on this computer. It can name folders and files of yours."), "muted", wrap=True
        )
        self.copy = button(self.tr("Copy"), self._copy, icon_name="copy")
        folder = button(self.tr("Show the folder"), self._show_folder, icon_name="folder")
        close = button(self.tr("Close"), self.close, role="primary")
        layout = column(self.where, self.text, row(self.copy, folder, None, close), spacing=theme.M, margin=theme.L)
        layout.setStretch(1, 1)
        self.setLayout(layout)
        self._look()
        timer = QTimer(self, interval=_LOOK_MS)
        timer.timeout.connect(self._look)
        timer.start()

    def _look(self) -> None:
        """Show what is new; a reader who has scrolled up is left there."""
        try:
            size = self._path.stat().st_size
            if size == self._size:
                return
            with self._path.open("rb") as file:
                file.seek(max(0, size - SHOWN_BYTES))
                read = file.read().decode("utf-8", "replace")
        except OSError:
            return
        self._size = size
        bar = self.text.verticalScrollBar()
        at, at_end = bar.value(), bar.value() >= bar.maximum()
        self.text.setPlainText(read if size <= SHOWN_BYTES else read.partition("\n")[2])
        bar.setValue(bar.maximum() if at_end else at)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{system_details()}\n\n{self.text.toPlainText()}")

    def _show_folder(self) -> None:
        show_folder(self._path.parent, self.where.setText)
