"""Any number of photos as a list: one array of ids, and windows of 200 rows fetched by id when they are looked at.

Fetching is the caller's (off the GUI thread); until a window has arrived its rows are empty tiles. At most
``MAX_WINDOWS`` windows are kept, and only the newest few requests: whoever scrolls past a window never waits for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from gui import words

if TYPE_CHECKING:
    from gui.services import Photo

WINDOW = 200
MAX_WINDOWS = 12
MAX_WAITING = 3

# fetch(ids, then): then(photos) is called later in the GUI thread, with the photos in the order of the ids.
Fetch = Callable[[np.ndarray, Callable[[Sequence["Photo"]], None]], None]
Index = QModelIndex | QPersistentModelIndex


class ImageListModel(QAbstractListModel):
    PhotoRole = Qt.ItemDataRole.UserRole + 1
    IdRole = Qt.ItemDataRole.UserRole + 2

    count_changed = Signal(int)
    loaded = Signal(int, int)  # first and last row of a window that has arrived

    def __init__(self, fetch: Fetch, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._fetch = fetch
        self._ids = np.empty(0, dtype=np.int64)
        self._windows: OrderedDict[int, list[Photo]] = OrderedDict()
        self._waiting: list[int] = []
        self._in_flight: int | None = None
        self._generation = 0

    @property
    def ids(self) -> np.ndarray:
        return self._ids

    def set_ids(self, ids: np.ndarray) -> None:
        """Show these photos, in this order."""
        known = len(self._ids)
        if np.array_equal(ids, self._ids):
            self.refresh()
        elif known and np.array_equal(ids[:known], self._ids):  # more of the same: whoever looks at it is not moved
            self.beginInsertRows(QModelIndex(), known, len(ids) - 1)
            self._ids = np.asarray(ids, dtype=np.int64)
            self.endInsertRows()
            self.refresh()
            self.count_changed.emit(len(self._ids))
        else:
            self._reset(ids)

    def show_first(self, ids: np.ndarray, photos: Sequence[Photo]) -> None:
        """The first window of a list whose ids are still being read: ``set_ids`` follows with all of them."""
        if not np.array_equal(ids, self._ids[:WINDOW]):
            self._reset(ids, photos)

    def _reset(self, ids: np.ndarray, photos: Sequence[Photo] = ()) -> None:
        self.beginResetModel()
        self._ids = np.asarray(ids, dtype=np.int64)
        self._forget()
        if photos:
            self._windows[0] = list(photos)
        self.endResetModel()
        self.count_changed.emit(len(self._ids))

    def refresh(self) -> None:
        """The same photos, but what is known of them has changed: fetch again, keeping the old until it arrives."""
        stale = list(self._windows)
        self._generation += 1
        self._in_flight = None
        self._waiting = stale[-MAX_WAITING:]
        for window in stale[:-MAX_WAITING]:
            del self._windows[window]
        self._request_next()

    def photo(self, row: int) -> Photo | None:
        """What is known of the photo in ``row``; asks for it, and answers None, when it is not here yet."""
        if not 0 <= row < len(self._ids):
            return None
        window, offset = divmod(row, WINDOW)
        rows = self._windows.get(window)
        if rows is None:
            self._want(window)
            return None
        self._windows.move_to_end(window)
        return rows[offset] if offset < len(rows) else None

    def id_at(self, row: int) -> int | None:
        return int(self._ids[row]) if 0 <= row < len(self._ids) else None

    def row_of(self, image_id: int) -> int | None:
        found = np.flatnonzero(self._ids == image_id)
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == self.IdRole:
            return self.id_at(index.row())
        if role not in (
            self.PhotoRole,
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
            Qt.ItemDataRole.AccessibleTextRole,
        ):
            return None
        photo = self.photo(index.row())
        if photo is None or role == self.PhotoRole:
            return photo
        name = photo.image.path.name
        if role == Qt.ItemDataRole.ToolTipRole:
            best = photo.best
            parts = [name, photo.text, words.rank_sentence(best.score) if best is not None and best.score else ""]
            return "\n".join(part for part in parts if part)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            said = photo.text or self.tr("no caption yet")
            return f"{name}: {said}"
        return photo.text or name

    def flags(self, index: Index) -> Qt.ItemFlag:
        return Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren

    def _forget(self) -> None:
        self._windows.clear()
        self._waiting.clear()
        self._in_flight = None
        self._generation += 1

    def _want(self, window: int) -> None:
        if window == self._in_flight:
            return
        if window in self._waiting:
            self._waiting.remove(window)
        self._waiting.append(window)  # the newest is asked for first
        del self._waiting[:-MAX_WAITING]
        self._request_next()

    def _request_next(self) -> None:
        if self._in_flight is not None or not self._waiting:
            return
        window = self._in_flight = self._waiting.pop()
        generation = self._generation
        ids = self._ids[window * WINDOW : (window + 1) * WINDOW]

        def arrived(photos: Sequence[Photo]) -> None:
            if generation != self._generation:
                return
            self._in_flight = None
            self._windows[window] = list(photos)
            self._windows.move_to_end(window)
            while len(self._windows) > MAX_WINDOWS:
                self._windows.popitem(last=False)
            first, last = window * WINDOW, min((window + 1) * WINDOW, len(self._ids)) - 1
            self.dataChanged.emit(self.index(first), self.index(last))
            self.loaded.emit(first, last)
            self._request_next()

        self._fetch(ids, arrived)
