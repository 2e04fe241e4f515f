"""What is dropped on the window: folders of photos, single photos, and files with captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from gui import words
from gui.tasks import ImportOrder, ImportResult, take_in_captions

if TYPE_CHECKING:
    from gui.main_window import MainWindow

CAPTION_FILES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


class Dropping(QObject):
    """Folders are taken at once; of photos their folder is offered; captions go into the open library."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._messages = window.messages
        self._waiting: list[Path] = []  # files with captions

    def take(self, paths: Sequence[Path]) -> None:
        """What was dropped: ``paths`` of files and folders on this computer."""
        folders = [path for path in paths if path.is_dir()]
        files = [path for path in paths if not path.is_dir()]
        captions = [path for path in files if path.suffix.lower() in CAPTION_FILES]
        photos = [path for path in files if path not in captions]
        if folders:
            self._window.take_folders(folders)
        elif photos:
            self._offer_folders(photos)
        if captions and not folders and self._session.service is not None:
            self._waiting += captions
            self._take_in_next()
        elif captions:
            self._messages.show_message(
                self.tr("{file} holds captions of photos.").format(file=captions[0].name),
                self.tr("When the folder of these photos is open, drop it again."),
            )

    # -- photos -----------------------------------------------------------------------------------------------------

    def _offer_folders(self, photos: Sequence[Path]) -> None:
        """Seedcap looks after whole folders: which would come is said before."""
        from core.images.decode import SUFFIXES

        unknown = [path for path in photos if path.suffix.lower() not in SUFFIXES]
        if unknown:
            self._messages.show_message(
                self.tr("{file} is neither a photo nor a file with captions.").format(file=unknown[0].name),
                self.tr("Drop a folder of photos, or captions as CSV, JSON Lines or COCO JSON."),
                kind="warn",
            )
            return
        folders = list(dict.fromkeys(path.parent for path in photos))
        overview = self._session.overview
        known = overview.folders if overview is not None else ()
        if all(any(folder.is_relative_to(one) for one in known) for folder in folders):
            self._window.take_folders(folders)  # it is looked at again, and nothing comes that was not meant
            return
        here = words.place(folders[0]) if len(folders) == 1 else self.tr("{n} folders").format(n=len(folders))
        what = self.tr("The photo lies in {folder}.") if len(photos) == 1 else self.tr("The photos lie in {folder}.")
        self._ask(what.format(folder=here), folders)

    def _ask(self, what: str, folders: Sequence[Path]) -> None:
        several = len(folders) > 1
        step = self.tr("Seedcap takes whole folders, with everything below them.")
        button = self.tr("Add these folders") if several else self.tr("Add this folder")
        self._messages.show_message(what, step, action=(button, self._then(lambda: self._window.take_folders(folders))))

    def _then(self, action: Callable[[], object]) -> Callable[[], object]:
        def clear_and_act() -> None:
            self._messages.clear()
            action()

        return clear_and_act

    # -- captions ---------------------------------------------------------------------------------------------------

    def _take_in_next(self) -> None:
        """One file after the other, and after what is being read now."""
        current = self._session.light.current
        if not self._waiting or self._session.service is None:
            return
        if current is not None:
            current.ended.connect(self._take_in_next)
            return
        file = self._waiting.pop(0)
        order, title = ImportOrder(self._session.service.path, file), self.tr("Taking in captions")
        job = self._session.start(self._session.light, take_in_captions, order, title=title, kind="captions")
        if job is not None:
            job.finished.connect(lambda result: self._tell(file, result))
            job.ended.connect(self._take_in_next)

    def _tell(self, file: Path, result: ImportResult) -> None:
        captions = words.counted(result.captions, self.tr("caption"), self.tr("captions", "", result.captions))
        photos = words.counted(result.photos, self.tr("photo"), self.tr("photos", "", result.photos))
        text = self.tr("{captions} of {photos} taken in from {file}.")
        text = text.format(captions=captions, photos=photos, file=file.name)
        if result.present:
            text += " " + self.tr("{n} were there already.").format(n=words.count(result.present))
        left_out = self._left_out(result)
        if left_out:
            self._messages.show_message(text, " ".join(left_out), kind="warn")
        else:
            self._session.said.emit(text)

    def _left_out(self, result: ImportResult) -> list[str]:
        """What was not taken in, and what to look at, as sentences."""
        said = []
        first = self.tr("{things}, the first is {first}.")
        here, several, lines = len(result.unmatched), len(result.ambiguous), result.skipped_count
        for which, number, one, many in (
            (result.unmatched, here, self.tr("name of no photo here"), self.tr("names of no photo here", "", here)),
            (
                result.ambiguous,
                several,
                self.tr("name of several photos"),
                self.tr("names of several photos", "", several),
            ),
            (result.skipped, lines, self.tr("line was skipped"), self.tr("lines were skipped", "", lines)),
        ):
            if number:
                said.append(first.format(things=words.counted(number, one, many), first=which[0]))
        if result.ignored:
            said.append(self.tr("Not taken in: the columns {names}.").format(names=", ".join(result.ignored)))
        if result.encoding:
            text = self.tr("The file was read as {encoding}, which it does not say: check the accents.")
            said.append(text.format(encoding=result.encoding))
        return said
