"""What a person does to the library: calls in the writing lane. Undo and redo are the library's own, and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from gui import words
from gui.lane import Lane
from gui.rewriting import RewriteOrder, RewritePreview
from gui.services import LibraryService, Undone
from gui.trashing import throw

if TYPE_CHECKING:
    from core.library.records import CaptionRow
    from core.library.trash import Trashed


class Draft:
    """A caption being typed. It has an id once it has been written; the order of the lane makes that safe."""

    def __init__(self, image_id: int, caption_id: int | None = None, text: str = "", *, adding: bool = False) -> None:
        self.adding = adding  # a further caption for a photo that has one
        self.image_id = image_id
        self.caption_id = caption_id
        self.removed: int | None = None  # the caption whose text was taken out of the box
        self.saved = text


class Commands(QObject):
    changed = Signal(str)  # what has been done, in words; empty for the typing of a caption
    undone = Signal(str)
    led_to = Signal(int)  # the photo that was undone or done again, where it is one

    def __init__(self, lane: Lane, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lane = lane
        self._service: LibraryService | None = None

    def use(self, service: LibraryService | None) -> None:
        self._service = service

    def save_draft(self, draft: Draft, text: str, *, undone: bool = False) -> None:
        """Keep what has been typed so far; an emptied caption is removed. ``undone``: by the editor's own undo, so
        that what was kept of it meanwhile is undone too."""
        if text == draft.saved:
            return
        draft.saved = text

        def write(service: LibraryService) -> None:
            was = draft.caption_id if draft.caption_id is not None else draft.removed
            if undone and was is not None:
                done, stands = service.take_back(was, text)
                if done:
                    draft.caption_id = stands
                    return
            if text:
                draft.caption_id = service.write_seed(draft.image_id, draft.caption_id, text)
            elif draft.caption_id is not None:
                service.remove(draft.caption_id)
                draft.caption_id, draft.removed = None, draft.caption_id

        self._run(write, "")

    def accept(self, caption_ids: Sequence[int], then: Callable[[], None] | None = None) -> None:
        self._run(lambda service: service.accept(caption_ids), self.tr("Accepted"), then)

    def share(self, caption_id: int, image_ids: Sequence[int], text: str | None = None) -> None:
        """Accept a caption, or what was made of it, for its photo and for these: one step."""

        def said(photos: int) -> str:
            return self.tr("Accepted for {photos}").format(
                photos=words.counted(photos, self.tr("photo"), self.tr("photos", "", photos))
            )

        self._run(lambda service: service.share(caption_id, image_ids, text), said)

    def reject(self, caption_ids: Sequence[int], then: Callable[[], None] | None = None) -> None:
        self._run(lambda service: service.reject(caption_ids), self.tr("Rejected"), then)

    def edit(self, caption: CaptionRow, text: str) -> None:
        """What a person made of a caption; it is kept also where a job has replaced that caption meanwhile."""
        said = self.tr("Edited and accepted")
        self._run(lambda service: service.write_seed(caption.image_id, caption.id, text), said)

    def write(self, image_id: int, text: str, then: Callable[[], None] | None = None) -> None:
        """A further caption of the person's own for a photo."""
        self._run(lambda service: service.write_seed(image_id, None, text), self.tr("Caption written"), then)

    def use_again(self, caption_id: int, then: Callable[[], None] | None = None) -> None:
        self._run(lambda service: service.use_again(caption_id), self.tr("Earlier caption accepted"), then)

    def remove(self, caption_id: int, then: Callable[[], None] | None = None) -> None:
        self._run(lambda service: service.remove(caption_id), self.tr("Caption removed"), then)

    def order_candidates(self, distinctive: float) -> None:
        said = self.tr("Suggestions are in this order everywhere now")
        self._run(lambda service: service.order_candidates(distinctive), said)

    def remove_photos(self, image_ids: Sequence[int]) -> None:
        def said(photos: int) -> str:
            what = words.counted(photos, self.tr("photo"), self.tr("photos", "", photos))
            return self.tr("{photos} taken out of the library; no file was touched").format(photos=what)

        self._run(lambda service: service.remove_photos(image_ids), said)

    def put_photos_back(self, image_ids: Sequence[int]) -> None:
        def said(done: tuple[int, Trashed]) -> str:
            photos, files = done
            what = words.counted(photos, self.tr("photo"), self.tr("photos", "", photos))
            return self._with(self.tr("{photos} back in the library").format(photos=what), files.failed)

        self._run(lambda service: service.put_photos_back(image_ids), said)

    def trash_photos(self, image_ids: Sequence[int]) -> None:
        def said(files: Trashed) -> str:
            if not files.moved:  # the files stay; the photos are out of the library all the same
                return self._with(self.tr("Taken out of the library"), files.failed)
            what = words.counted(files.moved, self.tr("photo"), self.tr("photos", "", files.moved))
            return self._with(
                self.tr("{photos} moved to the trash; undo has them back").format(photos=what), files.failed
            )

        self._run(lambda service: service.trash_photos(image_ids, throw), said)

    def _with(self, said: str, trouble: Sequence[str]) -> str:
        """What was done, and the first of what could not be."""
        more = self.tr("{n} more could not be moved either.").format(n=words.count(len(trouble) - 1))
        first = [said + "." if said and trouble else said, *trouble[:1]]
        return " ".join(filter(None, [*first, more if len(trouble) > 1 else ""]))

    def write_sample_seeds(self, number: int, then: Callable[[], None] | None = None) -> None:
        said = self.tr("Captions written for {n} scenes").format(n=number)
        self._run(lambda service: service.write_sample_seeds(number), said, then)

    def rewrite(self, order: RewriteOrder, then: Callable[[RewritePreview], None] | None = None) -> None:
        """Change many captions as one step; ``then`` is told what was done."""

        def write(service: LibraryService) -> RewritePreview:
            return service.rewrite(order)

        def say(done: RewritePreview) -> str:
            if then is not None:
                then(done)
            return words.counted(
                done.captions, self.tr("caption changed"), self.tr("captions changed", "", done.captions)
            )

        self._run(write, say)

    def undo(self) -> None:
        self._step(lambda service: service.undo(throw), self.tr("Undone: {step}"), self.tr("Nothing to undo."))

    def redo(self) -> None:
        self._step(lambda service: service.redo(throw), self.tr("Done again: {step}"), self.tr("Nothing to redo."))

    def _run(
        self,
        call: Callable[[LibraryService], Any],
        label: str | Callable[[Any], str],
        then: Callable[[], None] | None = None,
    ) -> None:
        """``label``: what to say when it is done; or what makes that of the result."""
        service = self._service
        if service is None:
            return

        def done(result: object) -> None:
            if service is self._service:
                if then is not None:
                    then()
                self.changed.emit(label if isinstance(label, str) else label(result))

        self._lane.submit(lambda: call(service), done)

    def _step(self, call: Callable[[LibraryService], Undone | None], said: str, nothing: str) -> None:
        service = self._service
        if service is None:
            return

        def done(step: Undone | None) -> None:
            if service is not self._service:
                return
            told = "" if step is None else self._with(said.format(step=self._name(step)), step.trouble)
            self.undone.emit(told or nothing)
            if step is not None and step.photo is not None:
                self.led_to.emit(step.photo.id)

        self._lane.submit(lambda: call(service), done)

    def _name(self, step: Undone) -> str:
        """What it was and of which photo, or of how many."""
        if step.overtaken:
            overtaken = self.tr("{label}. Nothing changes by it: it has been changed since, as by a training.")
            return overtaken.format(label=step.label)
        if step.photo is not None:
            return self.tr("{label} ({photos})").format(label=step.label, photos=step.photo.path.name)
        if step.photos < 2 or words.count(step.photos) in step.label:
            return step.label
        photos = words.counted(step.photos, self.tr("photo"), self.tr("photos", "", step.photos))
        return self.tr("{label} ({photos})").format(label=step.label, photos=photos)
