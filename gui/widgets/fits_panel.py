"""Which photos a suggestion fits best, as pictures: what its sentence says can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from gui import theme, words
from gui.comparing import FitsFound, FitsOrder, find_fitting
from gui.services import Photo
from gui.session import Session
from gui.widgets.basics import action_button, button, column, label
from gui.widgets.flow import Flow
from gui.widgets.photo_strip import PhotoStrip

if TYPE_CHECKING:
    from core.library.records import CaptionRow, ImageRow

SHOWN = 6
PAUSE_MS = 200
KIND = "fits"


class FitsPanel(QWidget):
    """``toggle``, the button that opens it, is placed by the view. While open it follows the chosen suggestion."""

    taken = Signal(str)  # the plain caption, which the person wants as their own

    def __init__(self, session: Session, action: QAction) -> None:
        super().__init__()
        self._session = session
        self._image_id: int | None = None
        self._text = self._plain = ""
        self._asked: tuple[int, str] | None = None
        self.toggle = action_button(action, role="link", text=self.tr("Photos it fits"), icon_name="images")
        self.toggle.setCheckable(True)
        action.triggered.connect(lambda _checked=False: self._flip())
        self.said = label("", "small", wrap=True)
        self.plain_said = label("", "small", wrap=True)
        self.strip = PhotoStrip(session.thumbnails, self.tr("Photos that the suggestion fits best"))
        self.plain_strip = PhotoStrip(session.thumbnails, self.tr("Photos that the plain caption fits best"))
        self.plain = QWidget()
        self.take = button(self.tr("Take it as my caption"), lambda: self.taken.emit(self._plain), role="link")
        self.take.setToolTip(self.tr("The starter's caption is accepted for this photo, as if you had written it"))
        told = Flow().put(self.plain_said, least=theme.letters(24), stretch=1).put(self.take)
        plain = column(told, self.plain_strip, spacing=theme.XS)
        plain.setContentsMargins(0, theme.XS, 0, 0)
        self.plain.setLayout(plain)
        self.waiting = label(self.tr("Looking at the photos…"), "small")
        self.setLayout(column(self.waiting, self.said, self.strip, self.plain, spacing=theme.XS))
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self.hide()

    @property
    def is_open(self) -> bool:
        return not self.isHidden()

    def show_for(self, caption: CaptionRow | None) -> None:
        """Follow the suggestion that is chosen."""
        image_id, text = (caption.image_id, caption.text) if caption is not None else (None, "")
        if (image_id, text) == (self._image_id, self._text):
            return
        self._image_id, self._text = image_id, text
        self._asked = None
        if self.is_open:
            self._wait()

    def _flip(self) -> None:
        self.setVisible(not self.is_open)
        self.toggle.setChecked(self.is_open)
        if self.is_open and self._asked is None:
            self._wait()

    def _wait(self) -> None:
        self._show_waiting(self._image_id is not None)
        self._pause.start()

    def _show_waiting(self, waiting: bool) -> None:
        self.waiting.setVisible(waiting)
        for one in (self.said, self.strip, self.plain):
            one.hide()

    def _ask(self) -> None:
        service, image_id, text = self._session.service, self._image_id, self._text
        if service is None or image_id is None or not self.is_open or self._session.closing:
            return
        runner = self._session.words
        if runner.current is not None:  # for another suggestion, or a search: one after the other
            if runner.current.kind == KIND:
                runner.current.cancel()
            self._pause.start()
            return
        self._asked = (image_id, text)
        order = FitsOrder(service.path, image_id, text, SHOWN)
        title = self.tr("Looking which photos a caption fits")
        job = runner.start(find_fitting, order, title=title, kind=KIND)  # it changes nothing that is to be read again
        job.finished.connect(self._found)
        job.failed.connect(self._session.failed)
        job.failed.connect(lambda _failure: self._show_waiting(False))

    def _found(self, found: FitsFound) -> None:
        image_id = self._image_id
        if found.text != self._text or image_id is None:
            return

        def show(photos: Sequence[Photo]) -> None:
            if (image_id, found.text) == (self._image_id, self._text):
                self._show(found, {photo.image.id: photo.image for photo in photos})

        ids = [*found.image_ids, *found.plain_ids]
        self._session.read(lambda service: service.photos(ids), show, key="fits")

    def _show(self, found: FitsFound, images: dict[int, ImageRow]) -> None:
        self._show_waiting(False)
        here = {self._image_id} if self._image_id is not None else set()
        self.said.setText(self.tr("It fits these best (this photo is framed):"))
        if not here & set(found.image_ids):
            self.said.setText(self.tr("It fits these better than this photo:"))
        self.strip.show_photos([images[one] for one in found.image_ids if one in images], marked=here)
        self.said.show()
        self.strip.show()
        others = [one for one in found.plain_ids if one != self._image_id]
        several = self.tr("The starter's plain caption “{text}” also fits these {n}:")
        one_more = self.tr("The starter's plain caption “{text}” also fits this one:")
        alone = self.tr("The starter's plain caption: “{text}”")
        text = several if len(others) > 1 else one_more if others else alone
        self._plain = found.plain
        self.plain_said.setText(text.format(text=found.plain, n=words.count(len(others))))
        self.plain_strip.show_photos([images[one] for one in others if one in images])
        self.plain_strip.setVisible(bool(others))
        self.plain.setVisible(bool(found.plain))
