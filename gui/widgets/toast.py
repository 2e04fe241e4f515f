"""Small good news at the top of the window, gone after a moment; nothing moves for it and nothing waits for it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QLabel, QWidget

from gui import theme

SHOWN_MS = 5_000


class Toast(QLabel):
    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self._over = over
        self.setProperty("role", "toast")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        over.installEventFilter(self)
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
        self.setFixedSize(size)
        self.move((self._over.width() - size.width()) // 2, theme.M)  # beside the title, where nothing is to be pressed

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and not self.isHidden():
            self._place()
        return False
