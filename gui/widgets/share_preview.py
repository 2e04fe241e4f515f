"""Before a caption is accepted for all near-duplicates: which photos will have it, and which are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from gui import theme, words
from gui.services import Photo
from gui.session import Session
from gui.widgets.basics import action_button, button, column, label, relabel, row
from gui.widgets.photo_strip import PhotoStrip

if TYPE_CHECKING:
    from core.library.records import ImageRow

HEIGHT = 150
SIDE = 64


class SharePreview(QFrame):
    """Hidden until it is asked for. The action that opened it, once more, does it; Escape does not."""

    refused = Signal()

    def __init__(self, session: Session, action: QAction) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.text = label("", wrap=True)
        self.strip = PhotoStrip(session.thumbnails, self.tr("Photos that will have this caption"), side=SIDE, wrap=True)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setFrameShape(QFrame.Shape.NoFrame)
        inner = QWidget()
        inside: QVBoxLayout = column(self.strip, None)
        inner.setLayout(inside)
        area.setWidget(inner)
        self._area = area
        self.left_alone = label("", "small", wrap=True)
        self.yes = action_button(action, role="primary", text="", icon_name="check")
        self.no = button(self.tr("Not for all"), self.refused.emit)
        layout = column(self.text, area, self.left_alone, row(self.no, None, self.yes), spacing=theme.S)
        layout.setContentsMargins(theme.M, theme.M, theme.M, theme.M)
        self.setLayout(layout)
        self.hide()

    def ask(self, caption: str, here: ImageRow, others: Sequence[Photo], waiting: Sequence[int]) -> None:
        """``others``: the near-duplicates of the photo ``here``; the ``waiting`` ones would have the caption."""
        chosen = [here, *(photo.image for photo in others if photo.image.id in set(waiting))]
        self.text.setText(
            self.tr("“{caption}” will be accepted for these {photos}:").format(
                caption=caption, photos=words.counted(len(chosen), self.tr("photo"), self.tr("photos", "", len(chosen)))
            )
        )
        self.strip.show_photos(chosen, marked=[here.id])
        self._area.setFixedHeight(min(HEIGHT, (SIDE + theme.XS) * (1 + (len(chosen) - 1) // 4)))
        kept = len(others) + 1 - len(chosen)
        self.left_alone.setText(
            self.tr("Left alone, since you have captioned them: {n}.").format(n=words.count(kept)) if kept else ""
        )
        self.left_alone.setVisible(kept > 0)
        relabel(self.yes, self.tr("Accept for these {n}").format(n=words.count(len(chosen))))
        self.show()
        self.yes.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.refused.emit()
            return
        super().keyPressEvent(event)
