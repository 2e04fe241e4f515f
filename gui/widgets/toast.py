"""Small good news at the top of the window, gone after a moment; nothing moves for it and nothing waits for it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QLabel, QWidget

from gui import theme

SHOWN_MS = 5_000


class Toast(QLabel):
    """``over``: what it is shown on; ``below``: what it must not cover while that is shown."""

    def __init__(self, over: QWidget, below: QWidget | None = None) -> None:
        super().__init__(over)
        self._over = over
        self._below = below
        self.setProperty("role", "toast")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        for watched in (over, below):
            if watched is not None:
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
        self.setWordWrap(False)
        size = self.sizeHint()
        room = self._over.width() - 2 * theme.XL
        if size.width() > room:
            self.setWordWrap(True)
            size.setHeight(self.heightForWidth(room))
            size.setWidth(room)
        self.resize(size)  # not fixed: a label's hint is never below its minimum, and the next text may be short
        top = theme.M  # beside the title, where nothing is to be pressed
        if self._below is not None and self._below.isVisible():
            top += self._below.mapTo(self._over, self._below.rect().bottomLeft()).y()
        self.move((self._over.width() - size.width()) // 2, top)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.Hide) and not self.isHidden():
            QTimer.singleShot(0, self, self._place)  # when the layout has moved what is moving
        return False
