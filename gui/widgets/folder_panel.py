"""The folders of the library as a tree: choosing one shows the photos in it and below."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHeaderView, QTreeWidget, QTreeWidgetItem

from gui import theme, words
from gui.folders import FolderTree
from gui.session import Session
from gui.widgets.basics import column, label, row, tool_button

PATH = Qt.ItemDataRole.UserRole


class FolderPanel(QFrame):
    LETTERS = 39  # it is so wide where there is room

    chosen = Signal(str)  # the folder's full name, or nothing for all photos
    closed = Signal()
    open_wanted = Signal(bool)  # as it was left
    names_known = Signal(tuple)  # of all folders, for the filter box to offer

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._tree = FolderTree()
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderHidden(True)
        self.tree.setUniformRowHeights(True)
        self.tree.setAccessibleName(self.tr("Folders"))
        self.tree.setIndentation(theme.L)
        self.tree.header().setStretchLastSection(False)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.itemExpanded.connect(self._fill)
        self.tree.currentItemChanged.connect(lambda item, _before: self._choose(item))
        close = tool_button("close", self.tr("Close"), self.closed.emit)
        layout = column(row(label(self.tr("Folders"), "heading"), None, close), self.tree)
        layout.setContentsMargins(0, 0, theme.M, theme.L)
        self.setLayout(layout)

    @property
    def folder(self) -> str:
        item = self.tree.currentItem()
        return item.data(0, PATH) if item is not None else ""

    @property
    def is_open(self) -> bool:
        return not self.isHidden()

    def set_open(self, opened: bool) -> None:
        if opened != self.is_open:
            self.open_wanted.emit(opened)

    def reload(self) -> None:
        self._session.look_up(lambda service: service.folder_tree(), self.show_tree, key="folders")

    def show_tree(self, tree: FolderTree) -> None:
        """The folders with their numbers of photos; what was open and chosen stays so."""
        if tree == self._tree and self.tree.topLevelItemCount():
            return
        before, opened = self.folder, {item.data(0, PATH) for item in self._items() if item.isExpanded()}
        self._tree = tree
        self.tree.blockSignals(True)
        self.tree.clear()
        everything = self._item("", self.tr("All photos"), sum(tree.photos[one] for one in tree.roots))
        self.tree.addTopLevelItem(everything)
        for root in tree.roots:
            item = self._item(root, tree.name(root), tree.photos[root])
            self.tree.addTopLevelItem(item)
            self._open_again(item, opened or set(tree.roots))
        at = next((item for item in self._items() if item.data(0, PATH) == before), everything)
        self.tree.setCurrentItem(at)
        self.tree.blockSignals(False)
        self.names_known.emit(tuple(dict.fromkeys(map(tree.name, tree.photos))))
        if at.data(0, PATH) != before:
            self._choose(at)

    def choose(self, folder: str) -> None:
        """Select a folder that is shown; nothing for all photos."""
        for item in self._items():
            if item.data(0, PATH) == folder:
                self.tree.setCurrentItem(item)

    def forget(self) -> None:
        """Another library: nothing is chosen."""
        self._tree = FolderTree()
        self.tree.blockSignals(True)
        self.tree.clear()
        self.tree.blockSignals(False)

    def _choose(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(item.data(0, PATH))

    def _open_again(self, item: QTreeWidgetItem | None, opened: set[str]) -> None:
        if item is not None and item.data(0, PATH) in opened:
            self._fill(item)
            item.setExpanded(True)
            for at in range(item.childCount()):
                self._open_again(item.child(at), opened)

    def _fill(self, item: QTreeWidgetItem) -> None:
        """A folder's own folders are put into the tree when it is opened: there may be thousands."""
        if item.childCount() == 0:
            for path in self._tree.below.get(item.data(0, PATH), ()):
                item.addChild(self._item(path, self._tree.name(path), self._tree.photos[path]))

    def _item(self, path: str, name: str, photos: int) -> QTreeWidgetItem:
        item = QTreeWidgetItem([name, words.count(photos)])
        item.setData(0, PATH, path)
        item.setToolTip(0, path or name)
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        number = words.counted(photos, self.tr("photo"), self.tr("photos", "", photos))
        item.setData(0, Qt.ItemDataRole.AccessibleTextRole, f"{name}, {number}")
        if self._tree.below.get(path):
            item.setChildIndicatorPolicy(QTreeWidgetItem.ChildIndicatorPolicy.ShowIndicator)
        return item

    def _items(self) -> list[QTreeWidgetItem]:
        found: list[QTreeWidgetItem] = []
        waiting = [self.tree.topLevelItem(at) for at in range(self.tree.topLevelItemCount())]
        while waiting:
            item = waiting.pop()
            if item is not None:
                found.append(item)
                waiting += [item.child(at) for at in range(item.childCount())]
        return found
