"""The files that could not be read, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QListWidget, QListWidgetItem

from gui import theme
from gui.paint import text_height
from gui.session import Session
from gui.widgets.basics import button, column, label, row, tool_button

if TYPE_CHECKING:
    from core.library.records import ImageRow

WIDTH = 320
TEXT_WIDTH = WIDTH - theme.L - theme.M - 5 * theme.XS - 12  # what is left beside margins and a scroll bar


class FailedPanel(QFrame):
    closed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._files: Sequence[ImageRow] = ()
        self.setFixedWidth(WIDTH)
        self.setProperty("role", "card")
        self.setStyleSheet("FailedPanel { border-top-right-radius: 0; border-bottom-right-radius: 0; }")
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setAccessibleName(self.tr("Files that could not be read"))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSpacing(theme.XS)
        hint = label(
            self.tr(
                "The rest of the library is not affected. Mend these files and look for changes, or leave them out."
            ),
            "muted",
            wrap=True,
        )
        leave_out = button(self.tr("Remove from the library"), self._leave_out, role="link")
        close = tool_button("close", self.tr("Close"), self.closed.emit)
        layout = column(row(label(self.tr("Could not be read"), "heading"), None, close), hint, leave_out, self.list)
        layout.setContentsMargins(theme.L, theme.M, theme.M, theme.M)
        self.setLayout(layout)

    def reload(self) -> None:
        self._session.read(lambda service: service.failed(), self.show_files, key="failed")

    def _leave_out(self) -> None:
        self._session.commands.remove_photos([image.id for image in self._files])
        self.closed.emit()

    def show_files(self, files: Sequence[ImageRow]) -> None:
        self._files = files
        self.list.clear()
        for image in files:
            text = f"{image.relative_path}\n{image.error}"
            item = QListWidgetItem(text)
            # Qt's own guess forgets the spacing, and cuts the last words off.
            item.setSizeHint(QSize(TEXT_WIDTH, text_height(text, self.list.font(), TEXT_WIDTH) + theme.S))
            item.setToolTip(str(image.path))
            self.list.addItem(item)
