"""Small good news at the foot of the window, gone after a moment; nothing moves for it and nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QLabel, QWidget

from gui import theme

SHOWN_MS = 5_000


class Toast(QLabel):
    """``over``: what it is shown on; ``beside``: what is at its left; ``before``: what it ends before, where shown.

    It lies on the bar at the foot, over words that can wait: nothing that is to be pressed or read at once is under it.
    """

    def __init__(self, over: QWidget, beside: QWidget, before: Sequence[QWidget] = ()) -> None:
        super().__init__(over)
        self._over, self._beside, self._before = over, beside, before
        self.setProperty("role", "toast")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        for watched in (over, beside, *before):
            watched.installEventFilter(self)
        self.hide()

    @property
    def message(self) -> str:
        return "" if self.isHidden() else self.text()

    def say(self, text: str) -> None:
        self.setText(text)
        self.setAccessibleName(text)
        self._place()
        self.show()
        self.raise_()
        self._timer.start()

    def _place(self) -> None:
        left = self._beside.width() + theme.M
        ends = [one.mapTo(self._over, one.rect().topLeft()).x() for one in self._before if one.isVisible()]
        room = min([self._over.width(), *ends]) - theme.M - left
        self.setWordWrap(False)
        size = self.sizeHint()
        if size.width() > room:
            self.setWordWrap(True)
            size.setHeight(self.heightForWidth(room))
            size.setWidth(room)
        self.resize(size)  # not fixed: a label's hint is never below its minimum, and the next text may be short
        self.move(left, self._over.height() - size.height() - theme.S)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.Hide) and not self.isHidden():
            QTimer.singleShot(0, self, self._place)  # when the layout has moved what is moving
        return False
