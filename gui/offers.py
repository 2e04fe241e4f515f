"""What the window offers by itself when it sees something: first captions, sample scenes, a folder that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from gui import words
from gui.services import Overview
from gui.tasks import TakenOut, TakeOutOrder, take_out_folder
from gui.views.library_view import LibraryView

if TYPE_CHECKING:
    from gui.main_window import MainWindow

SAMPLE_SEEDS = 24


class Offers(QObject):
    """Says it in the message bar with a button that does it; nothing happens unasked."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._messages = window.messages

    def follow(self, library: LibraryView) -> None:
        library.first_photos.connect(self._first_captions)
        library.folder_away.connect(self._to_take_out)

    def apply_overview(self, overview: Overview) -> None:
        """An offer to begin goes when somebody has begun."""
        counts = overview.counts
        if self._messages.kind == "info" and counts.seeds + counts.candidates + counts.accepted:
            self._messages.clear()

    # -- first captions ---------------------------------------------------------------------------------------------

    def _first_captions(self, photos: int) -> None:
        """New photos and no caption anywhere: the starter model can say something at once."""
        self._messages.show_message(
            words.counted(photos, self.tr("photo is here."), self.tr("photos are here.")),
            self.tr(
                "Write captions for a handful in Seed. Or have the starter model suggest one for each photo first:"
                " suggestions wait in Review and never touch what you write."
            ),
            action=(self.tr("Suggest captions"), self._suggest_captions),
        )

    def _suggest_captions(self) -> None:
        from gui.views.deliver_view import DeliverView

        self._messages.clear()
        self._window.go("deliver")
        view = self._window.view("deliver")
        assert isinstance(view, DeliverView)
        view.begin()

    # -- a folder that is gone --------------------------------------------------------------------------------------

    def _to_take_out(self, folder: Path) -> None:
        """A folder of the library is not there: moved, on a drive that is not plugged in, or gone for good."""
        hint = self.tr("If it was moved, add it where it is now. If it is on a drive, plug that in.")
        gone = self.tr("If it is gone for good, take it out of the library; captions of its photos are kept.")
        self._messages.show_message(
            self.tr("The folder {folder} is not there.").format(folder=folder),
            f"{hint} {gone}",
            kind="warn",
            action=(self.tr("Take it out"), lambda: self._take_out(folder)),
        )

    def _take_out(self, folder: Path) -> None:
        service = self._session.service
        if service is None:
            return
        self._messages.clear()
        order, title = TakeOutOrder(service.path, folder), self.tr("Taking a folder out")
        job = self._session.start(self._session.light, take_out_folder, order, title=title, kind="take out")
        if job is not None:
            job.finished.connect(self._taken_out)

    def _taken_out(self, result: TakenOut) -> None:
        kept = words.counted(result.kept, self.tr("captioned photo"), self.tr("captioned photos"))
        text = self.tr("Taken out. Captions moved to copies: {moved}. Missing now: {kept}.")
        self._session.said.emit(text.format(moved=words.count(result.moved), kept=kept))

    # -- sample scenes ----------------------------------------------------------------------------------------------

    def open_sample(self, write_seeds: int) -> None:
        """Paint the sample scenes if need be, open them, and offer captions for some (or write them, for the demo)."""
        from gui.services import sample_folder
        from gui.tasks import SampleOrder, render_samples

        order = SampleOrder(sample_folder())
        title = self.tr("Painting sample scenes")
        job = self._session.start(self._session.light, render_samples, order, title=title, kind="sample")
        if job is not None:
            job.finished.connect(lambda folder: self._show_sample(folder, write_seeds))

    def _show_sample(self, folder: Path, write_seeds: int) -> None:
        def scanned() -> None:
            overview = self._session.overview
            if overview is not None and overview.counts.seeds:
                return
            if write_seeds:
                self._session.commands.write_sample_seeds(write_seeds, lambda: self._window.go("train"))
            else:
                self._messages.show_message(
                    self.tr("These are painted scenes to try things on."),
                    self.tr("Write captions for a few of them in Seed, or have some written for you."),
                    action=(self.tr("Write {n} for me").format(n=SAMPLE_SEEDS), self._write_samples),
                )

        def opened() -> None:
            view = self._window.view("library")
            assert isinstance(view, LibraryView)
            job = view.scan((folder,))
            if job is not None:
                job.finished.connect(lambda _result: self._session.after_overview(scanned))

        self._session.open(folder, opened)
        self._window.go("library")

    def _write_samples(self) -> None:
        self._messages.clear()
        self._session.commands.write_sample_seeds(SAMPLE_SEEDS, lambda: self._window.go("seed"))
