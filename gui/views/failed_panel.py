"""The files that could not be read, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QListWidget, QListWidgetItem, QWidget

from gui import theme
from gui.paint import text_height
from gui.session import Session
from gui.widgets.basics import button, column, label, measure_by_width, row, tool_button
from gui.widgets.flow import scrolling

if TYPE_CHECKING:
    from core.library.records import ImageRow


class FailedPanel(QFrame):
    LETTERS = 52  # it is so wide where there is room

    closed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._files: Sequence[ImageRow] = ()
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
        head = row(label(self.tr("Could not be read"), "heading", wrap=True), close)
        head.setStretch(0, 1)
        page = QWidget()
        page.setLayout(column(hint, leave_out, self.list))
        measure_by_width(page)
        layout = column(head, scrolling(page))
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
            item.setToolTip(str(image.path))
            self.list.addItem(item)
        self._measure()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._measure()

    def _measure(self) -> None:
        """Qt's own guess forgets the spacing, and cuts the last words off."""
        width = self.width() - theme.L - theme.M - 5 * theme.XS - 24  # what is left beside margins and scroll bars
        for at in range(self.list.count()):
            item = self.list.item(at)
            item.setSizeHint(QSize(width, text_height(item.text(), self.list.font(), width) + theme.S))
