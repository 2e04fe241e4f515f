"""How many photos the library has and where they are; and how many of them are shown, where some are left out."""

from __future__ import annotations

from gui import words
from gui.services import Overview, Query
from gui.widgets.basics import ElidedLabel


class LibraryCount(ElidedLabel):
    def __init__(self) -> None:
        super().__init__("", "muted")
        self._all, self._photos = "", 0
        self._query, self._shown = Query(), 0
        self.tell(None)

    def tell(self, overview: Overview | None) -> None:
        """What there is; ``None`` while no library is open."""
        if overview is None:
            self._all, self._photos = self.tr("No photos yet"), 0
        else:
            self._photos = overview.counts.photos
            parts = [words.counted(self._photos, self.tr("photo"), self.tr("photos", "", self._photos))]
            if len(overview.folders) == 1:
                parts.append(self.tr("in {folder}").format(folder=words.place(overview.folders[0])))
            elif overview.folders:
                parts.append(self.tr("in {n} folders").format(n=len(overview.folders)))
            self._all = " ".join(parts)
        self._say()

    def show_found(self, query: Query, shown: int) -> None:
        """So many photos are shown, which ``query`` has found."""
        self._query, self._shown = query, shown
        self._say()

    def _say(self) -> None:
        text = "{photos}"
        if self._photos and self._query.found is not None:
            text = self.tr("{photos}: the best match first, those that fit least last")
            if self._shown < self._photos:
                text = self.tr("The {n} best matches of {photos}")
        elif self._photos and not self._query.everything:
            text = self.tr("{n} found of {photos}")
        self.set_text(text.format(n=words.count(self._shown), photos=self._all))
