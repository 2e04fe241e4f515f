"""The near-duplicates of the photo that is shown: how many, what they look like, and which still need a caption."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QSize, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme, words
from gui.paint import draw_rounded, fit
from gui.services import Photo
from gui.session import Session
from gui.theme import colour
from gui.thumbnails import Thumbnails
from gui.widgets.basics import ElidedLabel, row

SIDE = 48
SHOWN = 8


class NearDuplicates(QWidget):
    """A line of its own; hidden for a photo that is like no other."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._image_id: int | None = None
        self.photos: tuple[Photo, ...] = ()
        self.text = ElidedLabel("", "muted")
        self._pictures = _Pictures(session.thumbnails)
        layout = row(self._pictures, self.text, spacing=theme.M)
        layout.setStretch(1, 1)
        self.setLayout(layout)
        self.hide()

    @property
    def waiting(self) -> list[int]:
        """The near-duplicates that have no accepted caption yet."""
        return [photo.image.id for photo in self.photos if all(one.state != "accepted" for one in photo.captions)]

    def show_for(self, image_id: int | None) -> None:
        if image_id != self._image_id:
            self._image_id = image_id
            self._show(())
        if image_id is None:
            return

        def show(photos: Sequence[Photo]) -> None:
            if image_id == self._image_id:
                self._show(photos)

        self._session.read(lambda service: service.near_duplicates(image_id), show, key="near-duplicates")

    def _show(self, photos: Sequence[Photo]) -> None:
        self.photos = tuple(photos)
        parts = [words.counted(len(photos), self.tr("near-duplicate"), self.tr("near-duplicates"))]
        captioned = len(photos) - len(self.waiting)
        if captioned:
            parts.append(self.tr("{n} with a caption already").format(n=words.count(captioned)))
        self.text.set_text(self.tr("and {photos}").format(photos=", ".join(parts)))
        self._pictures.show_photos(self.photos[:SHOWN])
        self.setVisible(bool(photos))
        self.changed.emit()


class _Pictures(QWidget):
    """Small pictures in a line."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self._photos: tuple[Photo, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Near-duplicates"))
        thumbnails.ready.connect(self._arrived)

    def show_photos(self, photos: tuple[Photo, ...]) -> None:
        self._photos = photos
        names = "\n".join(photo.image.relative_path for photo in photos)
        self.setToolTip(names)
        self.setAccessibleDescription(names)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        number = len(self._photos)
        return QSize(max(0, number * SIDE + (number - 1) * theme.XS), SIDE)

    def _arrived(self, _image_id: int) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        for at, photo in enumerate(self._photos):
            room = QRect(at * (SIDE + theme.XS), 0, SIDE, SIDE)
            pixmap = self._thumbnails.pixmap(photo.image)
            if pixmap is None:
                painter.fillRect(room, colour("sunken"))
            else:
                draw_rounded(painter, pixmap, fit(pixmap.size(), room), 4)
