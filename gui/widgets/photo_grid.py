"""Photos as a grid or a strip: one QListView for any number of them."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractItemView, QListView

from gui.delegates.tile import TileDelegate
from gui.models.image_list_model import ImageListModel
from gui.session import Session

SIDES = (128, 152, 184, 220, 264)
REPAINT_MS = 30
NOTCH = 120  # of a wheel, in Qt's units
INSIDE = QPoint(12, 12)  # a point of the viewport's corner that lies in a cell


class PhotoGrid(QListView):
    """Uniform sizes and batched layout: a hundred thousand rows are laid out without a stall."""

    activated_id = Signal(int)
    selection_changed = Signal()

    def __init__(self, session: Session, *, captions: bool = True, side: int = 184, strip: bool = False) -> None:
        super().__init__()
        self.setProperty("role", "strip" if strip else "grid")
        self._strip = strip
        self._turned = 0  # of a notch, while Ctrl is held
        self.photos = ImageListModel(session.read_photos, self)
        self._thumbnails = session.thumbnails
        self.delegate = TileDelegate(session.thumbnails, self, captions=captions)
        self.delegate.side = side
        self.setModel(self.photos)
        self.setItemDelegate(self.delegate)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setUniformItemSizes(True)
        self.setLayoutMode(QListView.LayoutMode.Batched)
        self.setBatchSize(2_000)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSpacing(0)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(
            QAbstractItemView.SelectionMode.SingleSelection
            if strip
            else QAbstractItemView.SelectionMode.ExtendedSelection
        )
        if strip:
            self.setFlow(QListView.Flow.LeftToRight)
            self.setWrapping(False)
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            self.setFixedHeight(self.delegate.tile_size().height() + 22)
        # A hundred pictures may arrive between two frames: one repaint for all of them, and of their tiles alone.
        self._arrived: set[int] = set()
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self._paint_arrived)
        session.thumbnails.ready.connect(self._picture_arrived)
        self.doubleClicked.connect(lambda index: self._activate(index.row()))
        self.selectionModel().selectionChanged.connect(lambda *_: self.selection_changed.emit())
        self.verticalScrollBar().valueChanged.connect(lambda _value: self._forget_unseen())
        self.set_side(side)

    def set_side(self, side: int) -> None:
        self.delegate.side = side
        ratio = self.devicePixelRatioF()
        self._thumbnails.set_side(round(max(side, 184) * ratio))
        self._lay_out()

    @property
    def side(self) -> int:
        return self.delegate.side

    def zoom(self, steps: int) -> None:
        """Larger photos, or smaller ones where ``steps`` is negative."""
        nearest = min(range(len(SIDES)), key=lambda at: abs(SIDES[at] - self.side))
        self.set_side(SIDES[max(0, min(len(SIDES) - 1, nearest + steps))])

    def wheelEvent(self, event: QWheelEvent) -> None:
        """With Ctrl, photos grow and shrink; fine wheels and touch pads give parts of a notch."""
        if self._strip or not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event)
            return
        self._turned += event.angleDelta().y()
        steps = int(self._turned / NOTCH)
        self._turned -= steps * NOTCH
        if steps:
            self.zoom(steps)
        event.accept()

    def selected_ids(self) -> list[int]:
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        return [image_id for image_id in map(self.photos.id_at, rows) if image_id is not None]

    def current_id(self) -> int | None:
        index = self.currentIndex()
        return self.photos.id_at(index.row()) if index.isValid() else None

    def select_id(self, image_id: int | None) -> bool:
        """Make a photo current and scroll to it; False if it is not among these."""
        found = self.photos.row_of(image_id) if image_id is not None else None
        if found is None:
            return False
        index = self.photos.index(found)
        self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self.scrollTo(index)
        return True

    def frame(self, image_id: int) -> None:
        """Make a photo current that is shown elsewhere; none is, where it is not among these."""
        if not self.select_id(image_id):
            self.selectionModel().clear()

    def rows_in_sight(self) -> int:
        """How many photos are on the screen, from the first of the list on, while nothing has been scrolled."""
        last = self.indexAt(self.viewport().rect().bottomRight() - INSIDE)
        return last.row() + 1 if last.isValid() else self.photos.rowCount()

    def activate_current(self) -> None:
        if self.currentIndex().isValid():
            self._activate(self.currentIndex().row())

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._lay_out()
        super().resizeEvent(event)

    def _lay_out(self) -> None:
        """Cells share the width beside the scroll bar, whether or not it is there: else it comes and goes with them."""
        size = self.delegate.tile_size()
        if self._strip:
            cell = QSize(size.width(), size.height())
        else:
            bar = self.verticalScrollBar()
            beside = 0 if bar.isVisibleTo(self) else bar.sizeHint().width()
            room = max(size.width(), self.viewport().width() - beside - 1)
            cell = QSize(room // max(1, room // size.width()), size.height())
        if cell != self.gridSize():
            self.delegate.cell_width = cell.width()
            self.setGridSize(cell)

    def _activate(self, row: int) -> None:
        image_id = self.photos.id_at(row)
        if image_id is not None:
            self.activated_id.emit(image_id)

    def _rows_shown(self) -> range:
        """From the tile at the upper left corner on, some more than are to be seen."""
        first = self.indexAt(self.viewport().rect().topLeft() + INSIDE)
        last = self.indexAt(self.viewport().rect().bottomRight() - INSIDE)
        start = first.row() if first.isValid() else 0
        end = last.row() if last.isValid() else start + 120
        return range(start, min(end + 20, len(self.photos.ids)))

    def _forget_unseen(self) -> None:
        shown = self._rows_shown()
        self._thumbnails.keep_only({int(image_id) for image_id in self.photos.ids[shown.start : shown.stop]})

    def _picture_arrived(self, image_id: int) -> None:
        if not self.isVisible():
            return
        self._arrived.add(image_id)
        if not self._repaint.isActive():
            self._repaint.start()

    def _paint_arrived(self) -> None:
        arrived, self._arrived = self._arrived, set()
        for row in self._rows_shown():
            if int(self.photos.ids[row]) in arrived:
                self.viewport().update(self.visualRect(self.photos.index(row)))
