"""Where the open library lies, at the foot of the window while nothing is being done; and the way there."""

from __future__ import annotations

from pathlib import Path

from gui import words
from gui.revealing import Tell, show_folder
from gui.widgets.basics import MIDDLE, ElidedLabel, FootBar, button


class LibraryPlace(FootBar):
    """As high as the bar of a job, which takes its place: nothing above them moves under somebody's hand."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._path: Path | None = None
        self.text = ElidedLabel("", "muted", cut=MIDDLE)
        self.show_it = button(self.tr("Show the library's folder"), self._reveal, icon_name="folder")
        self.fill(self.text, self.show_it, wide=self.text)

    @property
    def known(self) -> bool:
        return self._path is not None

    def tell(self, library: Path | None) -> None:
        """The folder of the open library; None where none is open."""
        self._path = library
        if library is not None:
            self.text.set_text(self.tr("Your captions are kept in {library}").format(library=words.place(library)))

    def _reveal(self) -> None:
        if self._path is not None:
            show_folder(self._path.parent, self._tell)
