"""Every call from the window into core's library, in one place. Plain dataclasses in and out; no Qt, no model library.

Methods of :class:`LibraryService` read and write the database and are called in a lane (``gui/lane.py``), never in the
GUI thread. Long work is in ``gui/tasks.py``. Core modules are imported when they are first needed, so that the window
is there before SQLAlchemy is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.errors import UserError
from core.paths import data_dir
from core.training.messages import TrainRequest
from gui import history, rewriting, trainings
from gui.comparing import BlindRounds
from gui.export_preview import ExportPreview, preview_export
from gui.filters import Filter, quoted
from gui.folders import FolderTree, folder_tree
from gui.tasks import FIRST_CAPTIONS, ExportOrder
from gui.versions import Earlier, earlier_texts

if TYPE_CHECKING:
    from core.exchange.history import LastExport
    from core.library.decided import Decided
    from core.library.in_vain import InVain
    from core.library.leaving import Leaving
    from core.library.library import Library
    from core.library.records import CaptionRow, Counts, ImageRow, RunRow
    from core.library.steps import Switched
    from core.library.trash import Throw, Trashed

_MARK = re.compile(r"-[0-9a-f]{8}$")  # what makes the name of a library for a folder unique

Sort = Literal["path", "score", "weakest", "distinctiveness"]


@dataclass(frozen=True)
class Photo:
    """A photo and its captions, the one that stands for it first. ``changed``: since one of them was written."""

    image: ImageRow
    captions: tuple[CaptionRow, ...] = ()
    changed: bool = False

    @property
    def live(self) -> tuple[CaptionRow, ...]:
        return tuple(caption for caption in self.captions if caption.state != "rejected")

    @property
    def best(self) -> CaptionRow | None:
        live = self.live
        return live[0] if live else None

    @property
    def text(self) -> str:
        best = self.best
        return best.text if best is not None else ""

    @property
    def own(self) -> tuple[CaptionRow, ...]:
        """What the person has written, oldest first."""
        mine = [caption for caption in self.captions if caption.is_seed and caption.state != "rejected"]
        return tuple(sorted(mine, key=lambda caption: caption.id))

    @property
    def kept(self) -> tuple[CaptionRow, ...]:
        """What is exported of it: what the person has written, then what was accepted of the model's."""
        return *self.own, *(one for one in self.captions if one.state == "accepted" and not one.is_seed)

    @property
    def suggestion(self) -> CaptionRow | None:
        """The best that the model has said."""
        return next((caption for caption in self.live if not caption.is_seed), None)

    @property
    def candidates(self) -> tuple[CaptionRow, ...]:
        return tuple(caption for caption in self.captions if caption.state == "candidate")


@dataclass(frozen=True)
class Query:
    """Which photos the grid shows, in which order. ``found``: only these, in this order (a search by words, or photos
    like one). ``folder``: those in it and below, by its full name; empty for all."""

    filter: Filter = field(default_factory=Filter)
    sort: Sort = "path"
    found: tuple[int, ...] | None = None
    folder: str = ""

    @property
    def everything(self) -> bool:
        return self.filter.empty and self.found is None and not self.folder

    @property
    def text(self) -> str:
        """The filter and the folder as core reads them."""
        if not self.folder:
            return self.filter.query
        inside = f"folder:{quoted(self.folder.rstrip('/') + '/')}"
        return inside if self.filter.empty else f"{inside} ({self.filter.query})"


@dataclass(frozen=True)
class FirstPhotos:
    """The beginning of a list: ``ids`` in order, int64 ``[n]``, and what is known of these photos."""

    ids: np.ndarray
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Overview:
    """What the whole window says about the library."""

    name: str
    counts: Counts
    folders: tuple[Path, ...]
    undo: str | None
    redo: str | None
    to_review: int  # photos with suggestions and no accepted caption, near-duplicates as one
    uncaptioned: int
    run_id: str | None  # the run whose model captions come from; None: the starter's
    run_date: datetime | None  # when that run began
    stopped: TrainRequest | None  # how to go on with the last training, where it was cut off
    trainings: trainings.Here  # what is known of trainings here, and how long they take
    captioning_left: int  # photos that the last captioning, cut off, has not done
    outdated: int  # photos to review whose suggestions are all from another model than the one in use
    report: Path | None = None  # the page about the newest training that has one
    ready: bool = True  # the model in use can begin to caption within seconds
    candidate_order: float = 1.0  # of suggestions, from the person's wording (0) to telling photos apart (1)
    score_sharpness: float = 1.0  # of the encoder that scored them
    in_vain: InVain | None = None  # what the last captioning had nothing new for


@dataclass(frozen=True)
class Undone:
    """A step that was taken back, or done again: what it was, and of how many photos; ``photo`` where it is one.
    ``overtaken``: nothing has changed by it, since something else had changed the same meanwhile. ``trouble``: what
    could not be done with files, a sentence each."""

    label: str
    photos: int = 0
    photo: ImageRow | None = None
    overtaken: bool = False
    trouble: tuple[str, ...] = ()


def sample_folder() -> Path:
    """Where the photos of the sample library are rendered."""
    return data_dir() / "Sample scenes"


class LibraryService:
    """One open library."""

    def __init__(self, library: Library, opened_as: Path) -> None:
        self._library = library
        self._opened_as = opened_as

    @classmethod
    def open(cls, folder: Path) -> LibraryService:
        """The library in ``folder``, or the one that holds these photos, made when there is none."""
        from core.library.library import Library
        from core.library.trash import bring_back, stragglers

        of_photos = folder.suffix != ".seedcap"
        library = Library.for_photos(folder, exclusive=True) if of_photos else Library.open(folder, exclusive=True)
        bring_back(library, stragglers(library))  # an undo that was cut short
        return cls(library, folder)

    def is_of(self, *folders: Path) -> bool:
        """Whether one of these is the library, or a folder of photos that it looks after."""
        from core.library import queries

        if not {self.path, self._opened_as}.isdisjoint(folders):
            return True
        try:
            return not set(queries.folders(self._library)).isdisjoint(folders)
        except UserError:  # its database cannot be read any more; that must not keep another one from being opened
            return False

    def close(self) -> None:
        self._library.close()

    @property
    def path(self) -> Path:
        return self._library.path

    @property
    def name(self) -> str:
        return self._library.name

    @property
    def blind(self) -> BlindRounds:
        return BlindRounds(self._library)

    # -- what is there ----------------------------------------------------------------------------------------------

    def own_texts(self) -> list[str]:
        """Every caption of the person's own."""
        from core.library import queries

        return [text for seed in queries.seeds(self._library) for text in seed.texts]

    def overview(self) -> Overview:
        from core.library import edits, queries
        from core.library.in_vain import in_vain
        from core.library.ledger import unfinished_job

        counts = queries.counts(self._library)
        folders = tuple(queries.folders(self._library))
        run, runs = queries.current_run(self._library), queries.runs(self._library)
        unfinished, outdated = unfinished_job(self._library, "caption"), queries.outdated(self._library)
        return Overview(
            # A library made for one folder goes by that folder's name; its own carries a mark to be unique.
            folders[0].name if len(folders) == 1 else _MARK.sub("", self.name),
            counts,
            folders,
            edits.can_undo(self._library),
            edits.can_redo(self._library),
            self._number_to_review(),
            queries.uncaptioned(self._library),
            None if run is None else run.id,
            None if run is None else run.created_at,
            trainings.stopped(self.path, runs),
            trainings.here(runs),
            unfinished.todo if unfinished is not None else 0,
            len(outdated),
            trainings.newest_report(runs),
            run is None or (self._library.bundles_dir / run.id / "manifest.json").is_file(),
            queries.candidate_order(self._library),
            queries.score_sharpness(self._library),
            in_vain(self._library, outdated),
        )

    def _number_to_review(self) -> int:
        from core.library import queries
        from core.library.near_duplicates import number_of_groups

        waiting = self.ids(Query(Filter(text=queries.TO_REVIEW)))
        return number_of_groups(self._library, waiting.tolist()) if len(waiting) else 0

    def ids(self, query: Query) -> np.ndarray:
        """The photos that a query asks for, in its order."""
        from core.library import queries

        # What was found by words comes best first.
        sort = "given" if query.found is not None and query.sort == "path" else query.sort
        return queries.image_ids(self._library, filter=query.text, ids=query.found, sort=sort)

    def first(self, query: Query, count: int) -> FirstPhotos | None:
        """The first photos that a query asks for, long before all of them are known; None where it takes as long."""
        from core.library.paging import page

        if query.found is not None:
            return None
        ids = page(self._library, query.text, sort=query.sort, limit=count).ids
        return FirstPhotos(ids, tuple(self.photos(ids)))

    def photos(self, ids: np.ndarray | Sequence[int]) -> list[Photo]:
        from core.library import queries

        wanted = [int(image_id) for image_id in ids]
        rows = {row.id: row for row in queries.image_rows(self._library, wanted)}
        captions = queries.captions_of(self._library, wanted)
        return [Photo(rows[key], tuple(captions.get(key, ()))) for key in wanted if key in rows]

    def photo(self, image_id: int) -> Photo | None:
        """A photo to look at: it is told whether it has changed since a caption was written."""
        from core.library import queries

        found = self.photos([image_id])
        changed = len(queries.image_ids(self._library, filter="state:changed", ids=[image_id])) > 0
        return replace(found[0], changed=changed) if found else None

    def earlier(self, image_id: int) -> tuple[Earlier, ...]:
        """What the captions of a photo said before."""
        from core.library.history import photo_history

        return earlier_texts(photo_history(self._library, image_id))

    def leaving(self, folder: Path) -> Leaving:
        """How many photos would be let go of with a folder."""
        from core.library.leaving import leaving

        return leaving(self._library, folder)

    def folder_tree(self) -> FolderTree:
        from core.library import queries

        posix = {str(root): root.as_posix() for root in queries.folders(self._library)}
        counts = queries.folder_counts(self._library)
        return folder_tree(posix.values(), [(posix.get(root, root), inside, n) for root, inside, n in counts])

    def failed(self) -> list[ImageRow]:
        from core.library import queries

        return queries.failed_images(self._library)

    def to_review(self, here: int | None = None) -> np.ndarray:
        """Photos with suggestions but no accepted caption yet, the lowest score first.

        Of near-duplicates one: the photo ``here``, where it is among them.
        """
        from core.library import queries
        from core.library.near_duplicates import one_of_each

        waiting = self.ids(Query(Filter(text=queries.TO_REVIEW), "weakest"))
        order = waiting.tolist()
        if here is not None and here in order:
            order.insert(0, here)
        return waiting[np.isin(waiting, one_of_each(self._library, order))]

    def decided_today(self) -> Decided:
        """What has been accepted and rejected since midnight, here where the person is."""
        from core.library.decided import decided_since

        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return decided_since(self._library, midnight)

    def near_duplicates(self, image_id: int) -> list[Photo]:
        """The others of a photo's group."""
        from core.library.near_duplicates import group_of

        group = group_of(self._library, image_id)
        return self.photos([one for one in group.image_ids if one != image_id]) if group is not None else []

    def runs(self) -> list[RunRow]:
        from core.library import queries

        return queries.runs(self._library)

    def end_training(self, wanted: bool) -> None:
        """Have the newest training, running or stopped, come to its end without learning more; or not any more."""
        from core.library import queries

        trainings.end_here(queries.runs(self._library), wanted)

    def history(self) -> tuple[history.RunLine, ...]:
        """The trainings so far, side by side."""
        return history.run_lines(self._library)

    def preview_export(self, order: ExportOrder, limit: int) -> ExportPreview:
        """What an export would do, file by file; the first ``limit`` of them."""
        return preview_export(self._library, order, limit)

    def last_export(self) -> LastExport | None:
        """What undoing the last export would take back."""
        from core.exchange.history import describe_last

        return describe_last(self.path)

    def preview_rewrite(self, order: rewriting.RewriteOrder, limit: int) -> rewriting.RewritePreview:
        return rewriting.preview(self._library, order, limit)

    def runs_cut_off(self) -> None:
        """After a worker has ended without a word: its training is not running any more, and can be gone on with."""
        from core.library.runs import INTERRUPTED, RUNNING, runs, update_run

        for run in runs(self._library):
            if run.status == RUNNING:
                update_run(self._library, run.id, status=INTERRUPTED)

    def claim_first_captions(self, added: int) -> tuple[int, ...]:
        """Photos of a library that is new, for the starter to speak of: see :mod:`core.library.newness`."""
        from core.library.newness import claim_first_captions

        return claim_first_captions(self._library, added, FIRST_CAPTIONS)

    def use_run(self, run_id: str | None) -> None:
        """Captions come from this run's model from now on; None: from the starter's."""
        from core.library.using import use_model

        use_model(self._library, run_id)

    # -- what a person does -----------------------------------------------------------------------------------------

    def chosen(self) -> tuple[int, ...]:
        """The photos that were chosen to be captioned next, while some of them wait."""
        from core.library.chosen import chosen

        return chosen(self._library)

    def keep_chosen(self, image_ids: Sequence[int]) -> None:
        from core.library.chosen import keep_chosen

        keep_chosen(self._library, image_ids)

    def write_seed(self, image_id: int, caption_id: int | None, text: str) -> int | None:
        """Keep what was typed for a photo; returns the id the caption has now.

        ``None`` where another caption of the photo says it already: what is typed next is not to change that one.
        """
        from core.library import edits, queries

        others = {one.id for one in queries.captions_of(self._library, [image_id])[image_id]} - {caption_id}
        written = None
        if caption_id is not None:
            with suppress(
                UserError
            ):  # taken away meanwhile, by undo or a job: what was typed since is kept all the same
                written = edits.edit_caption(self._library, caption_id, text)
        if written is None:
            written = edits.add_seed(self._library, image_id, text)
        return None if written in others else written

    def take_back(self, caption_id: int, text: str) -> tuple[bool, int | None]:
        from core.library import edits

        return edits.take_back(self._library, caption_id, text)

    def accept(self, caption_ids: Sequence[int]) -> None:
        from core.library import edits

        edits.accept(self._library, caption_ids)

    def share(self, caption_id: int, image_ids: Sequence[int], text: str | None) -> int:
        from core.library import edits

        return edits.share_caption(self._library, caption_id, image_ids, text)

    def reject(self, caption_ids: Sequence[int]) -> None:
        from core.library import edits

        edits.reject(self._library, caption_ids)

    def use_again(self, caption_id: int) -> int:
        from core.library import edits

        return edits.use_again(self._library, caption_id)

    def rewrite(self, order: rewriting.RewriteOrder) -> rewriting.RewritePreview:
        return rewriting.rewrite(self._library, order)

    def write_sample_seeds(self, number: int) -> int:
        """For the sample library: captions for ``number`` scenes, spread over it, as one step that can be undone."""
        from core.library import edits, queries
        from core.starter.scenes_library import read_truth

        told = {scene.file: scene.captions for scene in read_truth(sample_folder())}
        rows = [row for row in queries.images_of(self._library) if told.get(row.path.name)]
        step = max(1, len(rows) // max(1, number))
        texts = {row.id: told[row.path.name][:1] for row in rows[::step][:number]}
        return edits.add_captions(self._library, texts, is_seed=True, label="Write captions of sample scenes")

    def remove(self, caption_id: int) -> None:
        from core.library import edits

        edits.remove_caption(self._library, caption_id)

    def order_candidates(self, distinctive: float) -> None:
        from core.library import edits

        edits.order_candidates(self._library, distinctive)

    def remove_photos(self, image_ids: Sequence[int]) -> int:
        from core.library import removing

        return removing.remove_photos(self._library, image_ids)

    def put_photos_back(self, image_ids: Sequence[int]) -> tuple[int, Trashed]:
        from core.library import removing, trash

        return removing.put_photos_back(self._library, image_ids), trash.bring_back(self._library, image_ids)

    def trash_photos(self, image_ids: Sequence[int], throw: Throw) -> Trashed:
        from core.library import trash

        return trash.trash_photos(self._library, image_ids, throw)

    def undo(self, throw: Throw) -> Undone | None:
        from core.library import edits

        return self._named(edits.undo_step(self._library), throw)

    def redo(self, throw: Throw) -> Undone | None:
        from core.library import edits

        return self._named(edits.redo_step(self._library), throw)

    def _named(self, step: Switched | None, throw: Throw) -> Undone | None:
        from core.library import queries, trash

        if step is None:
            return None
        files = trash.follow(self._library, step, throw)
        rows = queries.image_rows(self._library, step.photos) if len(step.photos) == 1 else []
        return Undone(step.label, len(step.photos), rows[0] if rows else None, step.overtaken, files.failed)
