"""What a photo's captions said before: behind a button, with who wrote it, when, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from gui import theme, words
from gui.session import Session
from gui.versions import Earlier
from gui.widgets.basics import action_button, button, column, label, relabel, row
from gui.widgets.diff_label import DiffLabel
from gui.words import tr

SHOWN = 30
HEIGHT = 168


class EarlierTexts(QScrollArea):
    """The list; ``toggle``, the button that opens it, is placed by the view. Both are hidden when there is nothing."""

    chosen = Signal(object)  # Earlier, to be used again

    def __init__(self, session: Session, action: QAction) -> None:
        super().__init__()
        self._session = session
        self._image_id: int | None = None
        self._texts: tuple[Earlier, ...] = ()
        self._open = False
        self.toggle = action_button(action, role="link", text="", icon_name="clock")
        self.toggle.setCheckable(True)
        self._action = action
        action.triggered.connect(self._flip)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName(self.tr("Earlier captions of this photo"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        session.typed.connect(self._read)
        self.show_texts(())

    @property
    def is_open(self) -> bool:
        return self._open

    def show_for(self, image_id: int | None) -> None:
        """The earlier texts of this photo; read again when it is the same one."""
        if image_id != self._image_id:
            self._image_id = image_id
            self._open = False
            self.show_texts(())
        self._read()

    def _read(self) -> None:
        image_id = self._image_id
        if image_id is None:
            return

        def show(texts: Sequence[Earlier]) -> None:
            if image_id == self._image_id:
                self.show_texts(texts)

        self._session.read(lambda service: service.earlier(image_id), show, key=f"earlier-{id(self)}")

    def show_texts(self, texts: Sequence[Earlier]) -> None:
        if tuple(texts) == self._texts and self.widget() is not None:
            return  # what has the focus keeps it
        self._texts = tuple(texts)
        number = words.counted(len(texts), self.tr("earlier caption"), self.tr("earlier captions", "", len(texts)))
        relabel(self.toggle, number)
        self._action.setEnabled(bool(texts))
        self.toggle.setVisible(bool(texts))
        self._open = self._open and bool(texts)
        self._fill()

    def _flip(self) -> None:
        self._open = not self._open
        self._fill()
        first = self.findChild(QWidget, "again") if self._open else None
        if first is not None:
            first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _fill(self) -> None:
        self.toggle.setChecked(self._open)
        self.setVisible(self._open)
        inner = QWidget()
        lines = column(spacing=theme.M)
        lines.setContentsMargins(0, theme.XS, theme.M, theme.XS)
        for text in self._texts[:SHOWN] if self._open else ():
            lines.addLayout(self._line(text))
        lines.addStretch(1)
        inner.setLayout(lines)
        self.setWidget(inner)  # the one before it is deleted
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """As high as the list is, and no higher than leaves room for the rest."""
        inner = self.widget()
        if inner is None:
            return
        for child in inner.findChildren(QWidget):
            child.ensurePolished()  # the style sheet has a say in how high they are
        self.setFixedHeight(max(1, min(HEIGHT, inner.heightForWidth(self.viewport().width()))))

    def _line(self, text: Earlier) -> QVBoxLayout:
        again = button(self.tr("Use this again"), lambda: self.chosen.emit(text), role="link")
        again.setObjectName("again")
        again.setAccessibleName(self.tr("Use this again: {text}").format(text=text.text))
        foot = row(label(told(text), "small"), again, None, spacing=theme.M)
        change = DiffLabel()
        change.show_change(text.text, text.after)
        return column(label(text.text, wrap=True), change, foot, spacing=2)


def told(text: Earlier) -> str:
    """Who wrote it, when, and what became of it: ``You, 21/11/2026 15:47 · replaced``."""
    who = tr("You") if text.mine else tr("The model")
    became = {
        "rejected": tr("rejected"),
        "replaced": tr("replaced by a later caption"),
        "removed": tr("taken away") if text.mine else tr("no longer suggested"),
    }[text.fate]
    return f"{who}, {words.moment(text.written)} · {became}"
