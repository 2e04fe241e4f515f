"""Underlines words that no dictionary knows while they are typed, and offers others in the editor's menu."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QContextMenuEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QMenu, QPlainTextEdit, QTextEdit

from gui import theme
from gui.spelling import Spelling
from gui.theme import colour


class SpellMarks(QObject):
    """The marks lie over the text and are no part of it: what is typed, kept and undone knows nothing of them."""

    def __init__(self, editor: QPlainTextEdit, spelling: Spelling) -> None:
        super().__init__(editor)
        self._editor = editor
        self._spelling = spelling
        self.menu: QMenu | None = None
        editor.document().contentsChanged.connect(self._mark)  # also where the editor's own signals are held back
        editor.cursorPositionChanged.connect(self._mark)
        spelling.changed.connect(self._mark)
        theme.theme().changed.connect(self._mark)
        for asked in (editor, editor.viewport()):  # by a key, by the mouse
            asked.installEventFilter(self)

    @property
    def marked(self) -> list[str]:
        return [one.cursor.selectedText() for one in self._editor.extraSelections()]  # type: ignore[attr-defined]

    def _mark(self) -> None:
        here = self._editor.textCursor().position() if self._editor.hasFocus() else -1
        # The word that is being typed is not wrong before it is whole.
        self._editor.setExtraSelections([self._marked(*span) for span in self._wrong() if span[1] != here])

    def _wrong(self) -> list[tuple[int, int]]:
        """As Qt counts: a character beyond the first 65,536 counts twice."""
        text = self._editor.toPlainText()
        return [(_in_qt(text, start), _in_qt(text, end)) for start, end in self._spelling.wrong(text)]

    def _marked(self, start: int, end: int) -> QTextEdit.ExtraSelection:
        made = QTextEdit.ExtraSelection()
        line = QTextCharFormat()
        line.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SpellCheckUnderline)
        line.setUnderlineColor(colour("bad"))
        made.format = line  # type: ignore[attr-defined]
        made.cursor = self._span(start, end)  # type: ignore[attr-defined]
        return made

    def _span(self, start: int, end: int) -> QTextCursor:
        cursor = QTextCursor(self._editor.document())
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        return cursor

    # -- the menu ---------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not isinstance(event, QContextMenuEvent):
            return super().eventFilter(watched, event)
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        cursor = self._editor.textCursor() if by_key else self._editor.cursorForPosition(event.pos())
        self.menu = menu = self._editor.createStandardContextMenu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.destroyed.connect(self._menu_gone)
        for start, end in self._wrong():
            if start <= cursor.position() <= end:
                self._offer(menu, start, end)
        menu.popup(event.globalPos())
        return True

    def _menu_gone(self) -> None:
        self.menu = None

    def _offer(self, menu: QMenu, start: int, end: int) -> None:
        """Other words, and keeping this one, before what the menu has."""
        word = self._span(start, end).selectedText()
        first = menu.actions()[0]
        offered = self._spelling.suggestions(word)
        for said in offered:
            action = QAction(said.replace("&", "&&"), menu)
            action.triggered.connect(lambda _checked=False, said=said: self._span(start, end).insertText(said))
            menu.insertAction(first, action)
        if not offered:
            nothing = QAction(self.tr("No suggestion"), menu)
            nothing.setEnabled(False)
            menu.insertAction(first, nothing)
        mine = QAction(self.tr("Add “{word}” to my words").format(word=word), menu)
        mine.triggered.connect(lambda _checked=False: self._spelling.add(word))
        menu.insertAction(first, mine)
        menu.insertSeparator(first)


def _in_qt(text: str, at: int) -> int:
    return len(text[:at].encode("utf-16-le")) // 2
