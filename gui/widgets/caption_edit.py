"""Where captions are typed: keeps what is typed on every pause, and leaves the window's keys to the window."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QFontMetrics, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

from gui import theme
from gui.theme import scaled_font

PAUSE_MS = 700
KEYS_OF_THE_WINDOW = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class CaptionEdit(QPlainTextEdit):
    """One caption: Enter never breaks the line. ``paused`` when typing rests or the focus leaves.

    ``alone``: where nothing is left to undo in it, the library's undo is not asked either: nothing of it is kept yet.
    """

    paused = Signal()
    submitted = Signal()  # Return
    escaped = Signal()

    def __init__(self, placeholder: str, parent: QWidget | None = None, *, lines: int = 3, alone: bool = False) -> None:
        super().__init__(parent)
        self.setPlaceholderText(placeholder)
        self.setTabChangesFocus(True)
        self.setAcceptDrops(False)  # a folder dropped here is for the library, not text
        self.setFont(scaled_font(1.15))
        self._lines = lines
        self._alone = alone
        self._given = self._shown = ""
        self.undone = False  # whether the last change of the text was undoing one
        self._undoable = 0
        height = QFontMetrics(self.font()).lineSpacing() * lines + 2 * theme.M
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self.paused)
        self.textChanged.connect(self._pause.start)
        self.textChanged.connect(self._note_undoing)

    @property
    def text(self) -> str:
        """The caption as it would be kept. What has not been changed is what was given, to the letter.

        White space that is typed or pasted counts once; where the given text has lines of its own, they are kept.
        """
        shown = self.toPlainText()
        if shown == self._shown:  # Qt itself turns some characters into others
            return self._given
        plain = self._given == _squeezed(self._given)
        return _squeezed(shown) if plain else shown.strip()

    def set_text(self, text: str) -> None:
        """Replace the text without calling it typing."""
        self.blockSignals(True)
        self.setPlainText(text)
        self._given, self._shown = text, self.toPlainText()
        self.blockSignals(False)
        self.undone, self._undoable = False, 0
        self._pause.stop()
        cursor = self.textCursor()
        cursor.movePosition(cursor.MoveOperation.End)
        self.setTextCursor(cursor)

    def _note_undoing(self) -> None:
        steps = self.document().availableUndoSteps()
        self.undone, self._undoable = steps < self._undoable, steps

    def settle(self) -> None:
        """What is typed so far is being kept by the caller."""
        self._pause.stop()

    def minimumSizeHint(self) -> QSize:
        return QSize(160, self.height())

    def event(self, event: QEvent) -> bool:
        # A text box claims undo for itself; when it has nothing left to undo, it is the library's turn.
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            document, keys = self.document(), QKeySequence.StandardKey
            undo = event.matches(keys.Undo) and not document.isUndoAvailable() and not self._alone
            redo = event.matches(keys.Redo) and not document.isRedoAvailable() and not self._alone
            control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
            moving = control and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down, *KEYS_OF_THE_WINDOW)
            if undo or redo or moving:
                event.ignore()
                return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in KEYS_OF_THE_WINDOW:
            if event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
                self.submitted.emit()
            event.accept()
            return
        if event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
            return
        super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if self._pause.isActive():
            self._pause.stop()
            self.paused.emit()


def _squeezed(text: str) -> str:
    return " ".join(text.split())
