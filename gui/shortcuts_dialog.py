"""Every action with its keys: searchable, and each can be given other keys."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHeaderView, QKeySequenceEdit, QLineEdit, QTableWidgetItem, QWidget

from gui import theme
from gui.actions import SPECS, Actions
from gui.dialogs import Beside
from gui.widgets.basics import button, column, label, plain_table, search_box, set_role
from gui.widgets.flow import Flow
from gui.words import holds

_NAME = Qt.ItemDataRole.UserRole


class ShortcutsDialog(Beside):
    """Choosing keys takes effect at once, in menus and tips too, and stays."""

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Keyboard shortcuts"), parent)
        self.resize(theme.letters(102), 600)
        self._actions = actions
        self.box = search_box(self.tr("Search by what it does, or by key"), self.tr("Search shortcuts"))
        headings = (self.tr("Where"), self.tr("What"), self.tr("Keys"))
        self.table = plain_table(headings, self.tr("Keyboard shortcuts"), rows=len(SPECS))
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for at, spec in enumerate(SPECS):
            for place, text in enumerate((actions.place(spec.name), actions.words(spec.name), actions.keys(spec.name))):
                self.table.setItem(at, place, QTableWidgetItem(text))
            self._item(at, 0).setData(_NAME, spec.name)
        self.what = label("", "strong")
        self.keys = QKeySequenceEdit()
        self.keys.setMaximumSequenceLength(1)
        self.keys.setClearButtonEnabled(True)
        self.keys.setMinimumWidth(theme.letters(28))
        for one in (self.keys, *self.keys.findChildren(QLineEdit)):  # the line within has the focus
            one.setAccessibleName(self.tr("New keys; press them"))
        self.use = button(self.tr("Use these keys"), self._use, role="primary")
        self.none = button(self.tr("No keys"), self._take_away)
        self.usual = button(self.tr("Back to the usual ones"), self._back)
        self.said = label("", "muted", wrap=True)
        self.box.textChanged.connect(self._filter)
        self.table.currentItemChanged.connect(lambda *_: self._chosen())
        self.keys.keySequenceChanged.connect(lambda _: self._check())
        choosing = Flow().put(self.what, None, self.keys, self.use, self.none, self.usual)
        self.setLayout(column(self.box, self.table, choosing, self.said, spacing=theme.M, margin=theme.L))
        self.table.setCurrentCell(0, 0)

    @property
    def name(self) -> str:
        """The action of the current line."""
        return self._item(max(0, self.table.currentRow()), 0).data(_NAME)

    def _item(self, at: int, place: int) -> QTableWidgetItem:
        item = self.table.item(at, place)
        assert item is not None
        return item

    def _chosen(self) -> None:
        self.what.setText(self._actions.words(self.name))
        self.keys.clear()
        self._check()

    def _check(self) -> None:
        """Whether the keys that were pressed are free."""
        keys = self.keys.keySequence()
        taken = None if keys.isEmpty() else self._actions.taken(self.name, keys)
        self.use.setEnabled(not keys.isEmpty() and taken is None)
        self.none.setEnabled(bool(self._actions[self.name].shortcuts()))
        self.usual.setEnabled(self._actions.is_rebound(self.name))
        set_role(self.said, "muted" if taken is None else "bad")
        if taken is None:
            self.said.setText(self.tr("Choose a line, then click into the field and press the keys you want for it."))
        else:
            self.said.setText(
                self.tr("Those keys are taken by “{action}” ({where}). Press others, or give that one others first.")
                .format(action=self._actions.words(taken.name), where=self._actions.place(taken.name))
            )  # fmt: skip

    def _use(self) -> None:
        """In place of the first of its keys; further ones stay."""
        chosen = self.keys.keySequence()
        further = [keys for keys in self._actions[self.name].shortcuts()[1:] if keys != chosen]
        self._actions.rebind(self.name, [chosen, *further])
        self._done()

    def _take_away(self) -> None:
        self._actions.rebind(self.name, [])
        self._done()

    def _back(self) -> None:
        """As in the table of actions, unless another action has been given those keys since."""
        name = self.name
        before = list(self._actions[name].shortcuts())
        self._actions.reset(name)
        taken = [one for keys in self._actions[name].shortcuts() if (one := self._actions.taken(name, keys))]
        if taken:
            self._actions.rebind(name, before)
            set_role(self.said, "bad")
            self.said.setText(
                self.tr("The usual keys are taken by “{action}” now. Give that one others first.")
                .format(action=self._actions.words(taken[0].name))
            )  # fmt: skip
            return
        self._done()

    def _done(self) -> None:
        self._item(self.table.currentRow(), 2).setText(self._actions.keys(self.name))
        self._chosen()

    def _filter(self, text: str) -> None:
        for at in range(self.table.rowCount()):
            line = " ".join(self._item(at, place).text() for place in range(3))
            self.table.setRowHidden(at, not holds(line, text))
        shown = [at for at in range(self.table.rowCount()) if not self.table.isRowHidden(at)]
        if shown and self.table.isRowHidden(max(0, self.table.currentRow())):
            self.table.setCurrentCell(shown[0], 0)
        for one in (self.keys, self.use, self.none, self.usual):
            one.setEnabled(bool(shown))  # never for an action that is not to be seen
        if shown:
            self._check()
