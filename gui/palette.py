"""Find an action by what it does, and run it: every action of the table that can be carried out now."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHeaderView, QTableWidgetItem, QWidget

from gui import theme
from gui.actions import SPECS, WINDOW, Actions, Spec
from gui.widgets.basics import column, label, plain_table, search_box, set_role
from gui.words import holds

WIDTH, ROWS = 600, 12
_NAME = Qt.ItemDataRole.UserRole
_TO_THE_LIST = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class CommandPalette(QFrame):
    """Lies over the window and goes when it is done with, or the focus goes elsewhere.

    ``go(place)`` shows a place: an action of another place is carried out there, where a person sees what it does.
    """

    def __init__(self, over: QWidget, actions: Actions, go: Callable[[str], object]) -> None:
        super().__init__(over)
        self._over, self._actions, self._go = over, actions, go
        self._here = ""
        self._focused_before: QWidget | None = None
        set_role(self, "overlay")
        self.setAccessibleName(self.tr("Find an action"))
        self.box = search_box(self.tr("What do you want to do?"), self.tr("Find an action"))
        self.table = plain_table((self.tr("What"), self.tr("Where"), self.tr("Keys")), self.tr("Actions"))
        self.table.horizontalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setSelectionMode(self.table.SelectionMode.SingleSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # one types into the box and walks the list from there
        self.nothing = label(self.tr("Nothing that can be done now goes by these words."), "muted", wrap=True)
        layout = column(self.box, self.nothing, self.table, spacing=theme.S, margin=theme.M)
        self.setLayout(layout)
        self.box.textChanged.connect(self._fill)
        self.box.installEventFilter(self)
        self.table.cellClicked.connect(lambda _row, _place: self.run())
        over.installEventFilter(self)
        theme.theme().changed.connect(self._tint)
        self.hide()

    def open(self, here: str) -> None:
        """``here``: the place that is shown now; its actions come first."""
        self._here = here
        self._focused_before = self._over.window().focusWidget()
        self.box.clear()
        self._fill()
        self.show()
        self.raise_()
        self.box.setFocus(Qt.FocusReason.PopupFocusReason)

    @property
    def names(self) -> list[str]:
        """The actions that are listed now."""
        return [self._name(at) for at in range(self.table.rowCount())]

    def run(self) -> None:
        """Carry out the current action."""
        at = self.table.currentRow()
        if at < 0:
            return
        spec = self._actions.spec(self._name(at))
        self.dismiss()
        if spec.where not in (WINDOW, self._here):
            self._go(spec.where.casefold())
        self._actions[spec.name].trigger()

    def dismiss(self) -> None:
        """Go, and leave the focus where it was."""
        before, self._focused_before = self._focused_before, None
        self.hide()
        if before is not None and before.isVisible():
            before.setFocus(Qt.FocusReason.PopupFocusReason)

    # -- what is listed ---------------------------------------------------------------------------------------------

    def _offered(self) -> list[Spec]:
        """Those of this place first, then those of the window, then those of the other places."""
        able = [one for one in SPECS if self._actions[one.name].isEnabled() and one.name != "palette"]
        able = [one for one in able if not one.on_shown or one.where == self._here]
        return sorted(able, key=lambda one: 0 if one.where == self._here else 1 if one.where == WINDOW else 2)

    def _fill(self) -> None:
        typed = self.box.text()
        found = [one for one in self._offered() if holds(self._line(one), typed)]
        found.sort(key=lambda one: self._far(self._actions.words(one.name), typed))
        self.table.setRowCount(len(found))
        for at, spec in enumerate(found):
            for place, text in enumerate(self._texts(spec)):
                item = QTableWidgetItem(text)
                item.setData(_NAME, spec.name)
                item.setToolTip(self._actions[spec.name].toolTip() if place == 0 else "")
                if place:
                    item.setForeground(theme.colour("muted"))
                self.table.setItem(at, place, item)
        self.table.setVisible(bool(found))
        self.nothing.setVisible(not found)
        self._lay_out()
        if found:
            self.table.setCurrentCell(0, 0)
            self._tell()

    def _tint(self) -> None:
        if self.isVisible():
            self._fill()

    def _far(self, name: str, typed: str) -> int:
        """What begins as was typed is nearest, then what has it in its name, then in its tip or keys."""
        if name.casefold().startswith(typed.strip().casefold()):
            return 0
        return 1 if holds(name, typed) else 2

    def _line(self, spec: Spec) -> str:
        return " ".join((*self._texts(spec), self._actions[spec.name].toolTip()))

    def _texts(self, spec: Spec) -> tuple[str, str, str]:
        """The columns of its line."""
        return self._actions.words(spec.name), self._actions.place(spec.name), self._actions.keys(spec.name)

    def _name(self, at: int) -> str:
        item = self.table.item(at, 0)
        return item.data(_NAME) if item is not None else ""

    def _tell(self) -> None:
        """The focus stays in the box, so that a screen reader hears of the current line there."""
        at = self.table.currentRow()
        texts = [item.text() for place in range(3) if (item := self.table.item(at, place)) is not None]
        self.box.setAccessibleDescription(", ".join(text for text in texts if text))

    # -- keys and room ----------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if watched is self._over:
            if kind == QEvent.Type.Resize and self.isVisible():
                self._lay_out()
        elif kind == QEvent.Type.FocusOut and isinstance(event, QFocusEvent) and self.isVisible():
            if event.reason() == Qt.FocusReason.PopupFocusReason:
                return False  # the box's own menu
            self._focused_before = None  # whatever has it now keeps it
            self.hide()
        elif kind in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride) and isinstance(event, QKeyEvent):
            return self._key(event)
        return False

    def _key(self, event: QKeyEvent) -> bool:
        """Whether a key in the box was for the list."""
        pressed = event.type() == QEvent.Type.KeyPress
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape, *_TO_THE_LIST):
            return False
        event.accept()
        if not pressed:
            return True
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        elif event.key() in _TO_THE_LIST:
            by = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -8, Qt.Key.Key_PageDown: 8}
            last = self.table.rowCount() - 1
            self.table.setCurrentCell(max(0, min(last, self.table.currentRow() + by[Qt.Key(event.key())])), 0)
            self._tell()
        else:
            self.run()
        return True

    def _lay_out(self) -> None:
        """As high as what is listed: a list that ends in half a line looks broken, and an empty one forgotten."""
        room = self._over.rect()
        row = self.table.verticalHeader().defaultSectionSize()
        beside = 2 * theme.M + theme.S + self.box.sizeHint().height() + 2 * self.table.frameWidth()
        most = min(ROWS, (room.height() - 2 * theme.XL - beside) // row)
        self.table.setFixedHeight(min(most, self.table.rowCount()) * row + 2 * self.table.frameWidth())
        width = min(WIDTH, room.width() - 2 * theme.L)
        self.setGeometry((room.width() - width) // 2, theme.XL, width, self.sizeHint().height())
