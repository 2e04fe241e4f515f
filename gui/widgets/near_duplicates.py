"""The near-duplicates of the photo that is shown: how many, what they look like, and which still need a caption."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from gui import theme, words
from gui.services import Photo
from gui.session import Session
from gui.widgets.basics import ElidedLabel, row
from gui.widgets.photo_strip import PhotoStrip

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
        self._pictures = PhotoStrip(session.thumbnails, self.tr("Near-duplicates"))
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
        parts = [words.counted(len(photos), self.tr("near-duplicate"), self.tr("near-duplicates", "", len(photos)))]
        captioned = len(photos) - len(self.waiting)
        if captioned:
            parts.append(self.tr("{n} with a caption already").format(n=words.count(captioned)))
        self.text.set_text(self.tr("and {photos}").format(photos=", ".join(parts)))
        self._pictures.show_photos([photo.image for photo in self.photos[:SHOWN]])
        self.setVisible(bool(photos))
        self.changed.emit()
