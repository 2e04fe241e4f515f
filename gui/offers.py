"""What the window says by itself when it sees something: new photos, sample scenes, a folder that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from gui import words
from gui.services import Overview
from gui.tasks import CaptionResult, FirstCaptionsOrder, TakenOut, TakeOutOrder, first_captions, take_out_folder
from gui.views.library_view import LibraryView

if TYPE_CHECKING:
    from core.library.leaving import Leaving
    from gui.main_window import MainWindow

SAMPLE_SEEDS = 24
GROW_MS = 3_000


class Offers(QObject):
    """Says it in the message bar with a button that does it.

    One thing happens unasked: the starter model suggests captions for the first photos of a new library, once, where
    the settings allow it. It gives way to whatever a person starts.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._messages = window.messages
        self._painted = False  # the photos of this library are the sample scenes
        self._captions_come = False  # captions for it are on their way already
        self._suggesting = False  # the message tells of suggestions that are being made
        window.session.opened.connect(self._new_library)

    def _new_library(self) -> None:
        self._painted = self._captions_come = self._suggesting = False

    def expect_captions(self) -> None:
        """Captions for the library just opened are on their way: the starter need not say anything."""
        self._captions_come = True

    def follow(self, library: LibraryView) -> None:
        library.first_photos.connect(self._first_captions)
        library.folder_away.connect(self._to_take_out)

    def apply_overview(self, overview: Overview) -> None:
        """An offer to begin goes when somebody has begun."""
        counts = overview.counts
        if counts.seeds + counts.accepted:
            self._suggesting = False
        suggested = 0 if self._suggesting else counts.candidates
        if self._messages.kind == "info" and counts.seeds + suggested + counts.accepted:
            self._messages.clear()

    # -- first captions ---------------------------------------------------------------------------------------------

    def _first_captions(self, photos: int) -> None:
        """New photos and no caption anywhere: the starter model says something at once, or is offered to."""

        def claimed(image_ids: tuple[int, ...]) -> None:
            if image_ids and self._session.heavy.current is None:
                self._begin_suggesting(photos, image_ids)
            else:
                self._offer_captions(photos)

        if self._captions_come:
            return
        if self._window.preferences.wants("starter"):
            self._session.write(lambda service: service.claim_first_captions(photos), claimed)
        else:
            self._offer_captions(photos)

    def _begin_suggesting(self, photos: int, image_ids: tuple[int, ...]) -> None:
        service = self._session.service
        assert service is not None
        order, title = FirstCaptionsOrder(service.path, image_ids), self.tr("Suggesting first captions")
        job = self._session.start(self._session.heavy, first_captions, order, title=title, kind="starter")
        if job is None:
            return

        def ended_early(*_: object) -> None:
            told, self._suggesting = self._suggesting and bool(self._messages.message), False
            if told:  # and still true: nobody has begun, put it away, or opened another library
                self._offer_captions(photos)

        growing = QTimer(job, interval=GROW_MS)  # captions appear on the photos while the rest is being made
        growing.timeout.connect(self._session.grow)
        growing.start()
        job.finished.connect(self._suggested)
        job.failed.connect(ended_early)
        job.cancelled.connect(ended_early)
        self._suggesting = True
        self._tell_the_way(photos)

    def _suggested(self, result: CaptionResult) -> None:
        number = words.counted(result.done, self.tr("photo"), self.tr("photos", "", result.done))
        self._session.said.emit(self.tr("Suggestions for {photos} wait in Review.").format(photos=number))

    def _tell_the_way(self, photos: int) -> None:
        """From here to delivered captions, while the starter's appear on the photos."""
        way = self.tr("The way: 1 write 10 captions or more · 2 Train · 3 Deliver.")
        if self._painted:
            here = self.tr("These are painted scenes to try things on.")
            action = (self.tr("Write {n} for me").format(n=SAMPLE_SEEDS), self._write_samples)
        else:
            here = words.counted(photos, self.tr("photo is here."), self.tr("photos are here.", "", photos))
            action = (self.tr("Write captions"), lambda: self._window.go("seed"))
        model = self.tr("The starter model suggests first captions; they never touch what you write.")
        self._messages.show_message(here, f"{model} {way}", action=action)

    def _offer_captions(self, photos: int) -> None:
        if self._painted:
            self._messages.show_message(
                self.tr("These are painted scenes to try things on."),
                self.tr("Write captions for a few of them in Seed, or have some written for you."),
                action=(self.tr("Write {n} for me").format(n=SAMPLE_SEEDS), self._write_samples),
            )
            return
        self._messages.show_message(
            words.counted(photos, self.tr("photo is here."), self.tr("photos are here.", "", photos)),
            self.tr(
                "Write captions for a handful in Seed. Or have the starter model suggest one for each photo first:"
                " suggestions wait in Review and never touch what you write."
            ),
            action=(self.tr("Suggest captions"), self._suggest_captions),
        )

    def _suggest_captions(self) -> None:
        self._messages.clear()
        self._window.caption_library()

    # -- a folder that is gone --------------------------------------------------------------------------------------

    def _to_take_out(self, folder: Path) -> None:
        """A folder of the library is not there: moved, on a drive that is not plugged in, or gone for good."""
        self._session.read(
            lambda service: service.leaving(folder), lambda about: self._offer_to_take_out(folder, about)
        )

    def _offer_to_take_out(self, folder: Path, about: Leaving) -> None:
        """What would go is said before; no word of a person is among it."""
        hint = self.tr("If it was moved, add it where it is now. If it is on a drive, plug that in.")
        gone = self.tr("If it is gone for good, take it out of the library; the captions of {kept} stay.")
        gone = gone.format(
            kept=words.counted(about.captioned, self.tr("photo"), self.tr("photos", "", about.captioned))
        )
        if about.others:
            others = words.counted(about.others, self.tr("other"), self.tr("others", "", about.others))
            forgotten = self.tr("{others} without a caption would go with it, until it is added again.")
            gone = f"{gone} {forgotten.format(others=others)}"
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
        kept = words.counted(result.kept, self.tr("captioned photo"), self.tr("captioned photos", "", result.kept))
        text = self.tr("Taken out. Captions moved to copies: {moved}. Missing now: {kept}.")
        text = text.format(moved=words.count(result.moved), kept=kept)
        if result.forgotten:
            gone = words.counted(result.forgotten, self.tr("photo"), self.tr("photos", "", result.forgotten))
            text += " " + self.tr("Gone with it: {photos} without a caption.").format(photos=gone)
        if result.undoable:
            back = self.tr("Undo brings {n} of them back, as missing.", "", result.undoable)
            if result.forgotten == 1:
                back = self.tr("Undo brings it back, as missing.")
            text += " " + back.format(n=words.count(result.undoable))
        self._session.said.emit(text)

    # -- sample scenes ----------------------------------------------------------------------------------------------

    def open_sample(self, write_seeds: int) -> None:
        """Paint the sample scenes if need be, open them, and have captions suggested (or written, for the demo)."""
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
            elif not self._messages.message:  # not the first time; then that is told already
                self._offer_captions(0)

        def opened() -> None:
            self._painted, self._captions_come = True, write_seeds > 0
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
