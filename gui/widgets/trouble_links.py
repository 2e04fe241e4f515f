"""Links above the photos to what is wrong with some: files that cannot be read, and photos that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from gui import theme, words
from gui.widgets.basics import button, relabel, row

if TYPE_CHECKING:
    from core.library.records import Counts


class TroubleLinks(QWidget):
    """Two kinds of trouble, since what helps is different: a file has to be mended, a missing one to be found."""

    failed_wanted = Signal()
    missing_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.failed = button("", self.failed_wanted.emit, role="link", icon_name="warning")
        self.missing = button("", self.missing_wanted.emit, role="link", icon_name="warning")
        self.setLayout(row(self.failed, self.missing, spacing=theme.S))
        self.tell(None)

    def tell(self, counts: Counts | None) -> None:
        failed, missing = (counts.failed, counts.missing) if counts is not None else (0, 0)
        one, many = self.tr("file could not be read"), self.tr("files could not be read", "", failed)
        relabel(self.failed, words.counted(failed, one, many))
        self.failed.setVisible(failed > 0)
        relabel(
            self.missing,
            words.counted(missing, self.tr("photo is missing"), self.tr("photos are missing", "", missing)),
        )
        self.missing.setVisible(missing > 0)
