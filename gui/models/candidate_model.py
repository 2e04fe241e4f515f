"""The captions of one photo, as ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from gui import words

if TYPE_CHECKING:
    from core.library.records import CaptionRow

Index = QModelIndex | QPersistentModelIndex


class CandidateModel(QAbstractListModel):
    CaptionRole = Qt.ItemDataRole.UserRole + 1

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._captions: tuple[CaptionRow, ...] = ()

    def set_captions(self, captions: Sequence[CaptionRow]) -> None:
        if tuple(captions) != self._captions:
            self.beginResetModel()
            self._captions = tuple(captions)
            self.endResetModel()

    def caption(self, row: int) -> CaptionRow | None:
        return self._captions[row] if 0 <= row < len(self._captions) else None

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._captions)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        caption = self.caption(index.row())
        if caption is None:
            return None
        if role == self.CaptionRole:
            return caption
        if role == Qt.ItemDataRole.DisplayRole:
            return caption.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{index.row() + 1}: {caption.text}. {words.rank_sentence(caption.score)}"
        return None
