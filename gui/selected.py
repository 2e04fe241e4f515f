"""What is done with the photos selected in Library: accepted, rejected, taken out of the library, moved to the
trash and put back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFrame

from gui import theme, words
from gui.actions import Actions
from gui.services import Photo
from gui.session import Session
from gui.widgets.basics import ElidedLabel, action_button, button, card, relabel, row
from gui.widgets.photo_grid import PhotoGrid


class Selected(QObject):
    """Each of these is one step. ``link``: leads to the photos that were taken out, where there are any; ``bar``:
    stands above them."""

    def __init__(self, session: Session, actions: Actions, grid: PhotoGrid) -> None:
        super().__init__(grid)
        self._session = session
        self._grid = grid
        self._to_select: int | None = None
        self._wanted: int | None = None  # the same, where it may not be among the photos shown
        self.link = button("", role="link")
        text = self.tr("Taken out of the library. Their captions are kept, and their files, here or in the trash.")
        back = action_button(actions["put_back"], icon_name="undo")
        layout = row(ElidedLabel(text, "strong"), back, action_button(actions["back"], text=self.tr("All photos")))
        layout.setSpacing(theme.S)
        layout.setStretch(0, 1)
        self.bar: QFrame = card(layout, margin=theme.S)
        self.bar.hide()
        grid.photos.count_changed.connect(lambda _count: self._select())
        grid.selection_changed.connect(self._forget)  # whoever selects something goes on from there
        for name, handler in (
            ("accept_selected", self.accept),
            ("reject_selected", self.reject),
            ("remove_photos", self.remove),
            ("trash_photos", self.trash),
            ("put_back", self.put_back),
        ):
            actions[name].triggered.connect(lambda _checked=False, handler=handler: handler())

    def say(self, removed: int) -> None:
        """So many photos are out of the library."""
        relabel(self.link, self.tr("{n} removed").format(n=words.count(removed)))
        self.link.setVisible(removed > 0)

    def accept(self) -> None:
        """The best suggestion of each selected photo, as one step."""

        def take(photos: Sequence[Photo]) -> None:
            captions = [photo.candidates[0].id for photo in photos if photo.candidates]
            if captions:
                self._session.commands.accept(captions)
            else:
                self._say_none()

        self._session.read_photos(np.array(self._grid.selected_ids(), dtype=np.int64), take)

    def reject(self) -> None:
        """Every suggestion for the selected photos, as one step."""

        def turn_down(photos: Sequence[Photo]) -> None:
            captions = [caption.id for photo in photos for caption in photo.candidates]
            if captions:
                self._session.commands.reject(captions)
            else:
                self._say_none()

        self._session.read_photos(np.array(self._grid.selected_ids(), dtype=np.int64), turn_down)

    def _say_none(self) -> None:
        self._session.said.emit(self.tr("No suggestion waits for what is selected."))

    def remove(self) -> None:
        """The selected photos, as one step; the next one is selected then, so that the key can be pressed again."""
        chosen = self._grid.selected_ids()
        if chosen:
            self._to_select = self._after(set(chosen))
            self._session.commands.remove_photos(chosen)

    def trash(self) -> None:
        """The selected photos' files too, as one step."""
        chosen = self._grid.selected_ids()
        if chosen:
            self._to_select = self._after(set(chosen))
            self._session.commands.trash_photos(chosen)

    def put_back(self) -> None:
        """The selected photos, as one step."""
        chosen = self._grid.selected_ids()
        if chosen:
            self._to_select = self._after(set(chosen))
            self._session.commands.put_photos_back(chosen)
        else:
            self._session.said.emit(self.tr("Select the photos first: Ctrl+A takes all that are shown."))

    def want(self, image_id: int) -> None:
        """Select this photo: now, or when the photos shown have been read again, if it is among them then."""
        self._to_select = self._wanted = image_id
        self._select()

    @property
    def wanted(self) -> int | None:
        """The photo of :meth:`want` that is waited for."""
        return self._wanted

    def give_up(self, image_id: int | None) -> None:
        """The photos shown have been read since this one was wanted: where it is not among them, it stays so."""
        if image_id is not None and image_id == self._wanted:
            self._forget()

    def _forget(self) -> None:
        self._to_select = self._wanted = None

    def _after(self, chosen: set[int]) -> int | None:
        """The nearest photo that is not among these: below the first of them, else above."""
        ids = self._grid.photos.ids.tolist()
        first = next((at for at, one in enumerate(ids) if one in chosen), 0)
        around = [*ids[first:], *reversed(ids[:first])]
        return next((one for one in around if one not in chosen), None)

    def _select(self) -> None:
        if self._to_select is not None and self._grid.select_id(self._to_select):
            self._forget()
