"""The jobs that the window starts: thin functions around core's, run by the bridge in a worker process.

No Qt and no model library is imported here at the top, and every request, partial result and result is a dataclass of
this module or of ``core.training.messages``: what crosses the pipe never makes the window's process import torch.
``needs`` names the modules that a worker imports before a job counts as begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.jobs import JobContext
from core.marking import tr
from core.training.messages import TrainReport, TrainRequest

J = TypeVar("J", bound=Callable[..., Any])
Existing = Literal["skip", "add", "replace-model"]


def needs(*modules: str) -> Callable[[J], J]:
    """Modules to import before the job begins: until then cancelling ends the worker at once."""

    def mark(job: J) -> J:
        job.needs = modules  # type: ignore[attr-defined]
        return job

    return mark


# -- requests and results ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScanOrder:
    """``folders``: new ones to look through; none: all that the library knows."""

    library: Path
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ScanResult:
    found: int
    added: int
    changed: int
    missing: int
    errors: tuple[tuple[str, str], ...]
    renamed: int = 0
    returned: int = 0
    away: tuple[Path, ...] = ()
    """Folders of the library that are not there now."""
    removed: int = 0


@dataclass(frozen=True)
class TakeOutOrder:
    """Let go of a folder that is gone for good."""

    library: Path
    folder: Path


@dataclass(frozen=True)
class TakenOut:
    """``moved``: photos whose captions a copy has now; ``kept``: those that stay as missing for their captions;
    ``forgotten``: those that had none, of which undo brings ``undoable`` back."""

    moved: int
    kept: int
    forgotten: int = 0
    undoable: int = 0


@dataclass(frozen=True)
class SearchOrder:
    library: Path
    text: str
    count: int


@dataclass(frozen=True)
class SearchResult:
    text: str
    image_ids: tuple[int, ...]


@dataclass(frozen=True)
class SimilarOrder:
    library: Path
    image_id: int
    count: int


@dataclass(frozen=True)
class SimilarResult:
    """``image_ids``: the photo itself, then the most alike first."""

    image_id: int
    image_ids: tuple[int, ...]


@dataclass(frozen=True)
class SuggestOrder:
    library: Path
    count: int


@dataclass(frozen=True)
class Suggestion:
    image_ids: tuple[int, ...]


@dataclass(frozen=True)
class CaptionOrder:
    """``candidates``: None for as many as the job that goes on was begun with. ``distinctive``: None for captions as
    the model was trained, else from 0 (the wording of the seeds) to 1 (telling photos apart)."""

    library: Path
    existing: Existing = "skip"
    candidates: int | None = 1
    only_failed: bool = False
    resume: bool = False
    renew: bool = False  # also photos whose suggestions are all from another model than the one in use
    distinctive: float | None = None
    faster: bool = False  # with the int8 bundle, where that loses little
    model: str | None = None  # "starter" or the id of a run instead of the model in use
    bundle: Path | None = None  # one of the person's own instead
    paced: str = ""  # what the pace of this captioning is remembered of


@dataclass(frozen=True)
class FirstCaptionsOrder:
    """The photos of a new library that the starter model says something about unasked."""

    library: Path
    image_ids: tuple[int, ...]


@dataclass(frozen=True)
class CaptionResult:
    """``nothing_new``: of those ``done``, photos of which the model says only what is there, or was rejected, already.
    ``seconds``: in all, getting the model ready included."""

    done: int
    failed: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    nothing_new: int = 0
    remark: str = ""  # on captions that the encoder does not read to their end


@dataclass(frozen=True)
class ExportOrder:
    """``target``: a folder or a file, None for beside the photos. ``overwrite`` files that say something else."""

    library: Path
    format: Literal["txt", "jsonl", "csv", "coco", "xmp", "metadata"]
    which: Literal["accepted", "best"] = "accepted"
    target: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class ExportResult:
    folder: Path
    written: int
    same: int
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class UndoExportOrder:
    library: Path


@dataclass(frozen=True)
class UndoExportResult:
    """``kept``: files that were left as they are, and why."""

    restored: int
    removed: int
    kept: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ImportOrder:
    """Captions of a file, as ``seedcap import`` takes them in: as seeds."""

    library: Path
    file: Path


@dataclass(frozen=True)
class ImportResult:
    """``captions``: new ones; ``present``: how many were there already; ``photos``: how many the file speaks of. What
    was left out, and what was guessed: ``unmatched`` names of no photo here, ``ambiguous`` names of several, the first
    of ``skipped_count`` lines, columns that were ``ignored``, the ``encoding`` where the file does not say it."""

    captions: int
    present: int
    photos: int
    unmatched: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    ignored: tuple[str, ...] = ()
    encoding: str | None = None


@dataclass(frozen=True)
class SampleOrder:
    """Render the sample scenes into ``folder``."""

    folder: Path
    count: int = 160
    seed: int = 7


# -- jobs -------------------------------------------------------------------------------------------------------------


@needs("core.library.scan")
def scan_folders(ctx: JobContext, order: ScanOrder) -> ScanResult:
    from core.library import queries
    from core.library.library import Library
    from core.library.scan import scan_all

    with Library.open(order.library) as library:
        report = scan_all(library, order.folders or tuple(queries.folders(library)), ctx)
        away = tuple(folder for folder in queries.folders(library) if not folder.exists())
    return ScanResult(
        report.found,
        report.added,
        report.changed,
        report.missing,
        tuple((str(error.path), error.reason) for error in report.errors),
        report.renamed,
        report.returned,
        away,
        report.removed,
    )


@needs("core.library.leaving")
def take_out_folder(ctx: JobContext, order: TakeOutOrder) -> TakenOut:
    from core.library.leaving import take_out
    from core.library.library import Library

    with Library.open(order.library) as library:
        result = take_out(library, order.folder, ctx)
    return TakenOut(result.moved, result.kept, result.forgotten, result.undoable)


@needs("core.encoders.find")
def search_words(ctx: JobContext, order: SearchOrder) -> SearchResult:
    """The photos that show what the words say, best first."""
    from core.encoders.find import SearchRequest, search_job

    report = search_job(ctx, SearchRequest(order.library, order.text, order.count))
    return SearchResult(order.text, tuple(hit.image_id for hit in report.hits))


@needs("core.encoders.find")
def similar_photos(ctx: JobContext, order: SimilarOrder) -> SimilarResult:
    """The photos most like one."""
    from core.encoders.find import SimilarRequest, similar_job

    report = similar_job(ctx, SimilarRequest(order.library, order.image_id, order.count))
    return SimilarResult(order.image_id, tuple(hit.image_id for hit in report.hits))


@needs("core.encoders.find")
def suggest_photos(ctx: JobContext, order: SuggestOrder) -> Suggestion:
    """Photos to caption next: those that, with the ones captioned already, cover the library best."""
    from core.encoders.find import SuggestRequest, suggest_job

    report = suggest_job(ctx, SuggestRequest(order.library, order.count))
    return Suggestion(tuple(photo.id for photo in report.photos))


@needs("core.training.job", "core.training.loop", "core.encoders.open_clip_encoder", "transformers")
def train(ctx: JobContext, request: TrainRequest) -> TrainReport:
    """Both stages. What it reports on the way are the messages of ``core.training.messages``."""
    from core.training.job import train_job

    return train_job(ctx, request)


@needs("core.batch.library_runner")
def caption_photos(ctx: JobContext, order: CaptionOrder) -> CaptionResult:
    """Caption the library with its bundle, then score; ``BatchProgress`` tells rate and time left on the way."""
    from core.batch.library_runner import run
    from core.batch.pace import keep_pace
    from core.batch.requests import CaptionOptions, LibraryCaptionRequest
    from core.library import queries
    from core.library.library import Library

    began = time.monotonic()
    options = CaptionOptions(candidates=order.candidates, distinctive=order.distinctive)
    image_ids = None
    if order.renew:
        with Library.open(order.library) as library:
            image_ids = (*queries.image_ids(library, has_caption=False).tolist(), *queries.outdated(library).tolist())
    request = LibraryCaptionRequest(
        order.library,
        existing=None if order.resume or order.only_failed else order.existing,
        resume=order.resume,
        retry_failed=order.only_failed,
        image_ids=image_ids,
        options=options,
        faster=order.faster,
        bundle=order.bundle,
        model=order.model,
    )
    said = _PlainMessages(ctx)
    report = run(said, request)
    keep_pace(order.paced, report.done, time.monotonic() - said.ready_at)
    return CaptionResult(
        report.done, report.failed, time.monotonic() - began, report.nothing_new, report.too_long.sentence()
    )


FIRST_CAPTIONS = 200  # photos of a new library


@needs("core.batch.library_runner")
def first_captions(ctx: JobContext, order: FirstCaptionsOrder) -> CaptionResult:
    """One suggestion for each of these photos. Cancelled, it is let go of, since nobody asked for it."""
    from core.batch.library_runner import KIND, run
    from core.batch.requests import LibraryCaptionRequest
    from core.jobs import Cancelled
    from core.library import ledger, queries
    from core.library.library import Library

    with Library.open(order.library) as library:
        all_of_them = queries.counts(library).photos <= len(order.image_ids)
    # Ranks are among all photos of a library: in a large one that takes far longer than these captions.
    request = LibraryCaptionRequest(order.library, existing="skip", image_ids=order.image_ids, rank=all_of_them)
    try:
        report = run(_PlainMessages(ctx), request)
    except Cancelled:
        with Library.open(order.library) as library:
            begun = ledger.unfinished_job(library, KIND)
            if begun is not None:
                ledger.close_job(library, begun.id, "done", "The rest was left to what a person asks for.")
        raise
    return CaptionResult(report.done, report.failed, report.seconds)


CAPTIONING = tr("Captioning")
GETTING_READY = tr("Getting your model ready; this is done once")
EXPORTING = "Exporting the model"  # what ``core.batch.bundles`` says while it makes a bundle


class _PlainMessages:
    """The window tells rate and time left itself: of "Captioning, 3.1 photos/s, …" it shows what is being done."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self.ready_at = time.monotonic()  # when the model was there, as far as is known
        self.partial = ctx.partial
        self.check_cancelled = ctx.check_cancelled

    def progress(self, done: int, total: int | None, message: str = "") -> None:
        said = message.split(",")[0]
        if said == EXPORTING:
            self.ready_at = time.monotonic()
        self._ctx.progress(done, total, GETTING_READY if said == EXPORTING else said)


@needs("core.exchange.exports")
def export_captions(ctx: JobContext, order: ExportOrder) -> ExportResult:
    """Write the captions out; the plan is made anew, since the files may have changed since it was looked at."""
    from core.exchange.exports import plan_export, write_export
    from core.library.library import Library

    with Library.open(order.library) as library:
        plan = plan_export(library, order.format, order.target, which=order.which, overwrite=order.overwrite)
        report = write_export(plan, ctx)
    paths = [item.path for item in plan.items] or [path for path, _ in plan.refused]
    folder = paths[0].parent
    return ExportResult(
        folder,
        report.written,
        report.same,
        tuple(str(path) for path in report.kept),
        tuple((str(path), reason) for path, reason in report.failed),
    )


@needs("core.exchange.exports")
def undo_last_export(ctx: JobContext, order: UndoExportOrder) -> UndoExportResult:
    """Put back what the last export changed."""
    from core.exchange.exports import undo_export
    from core.library.library import Library

    with Library.open(order.library) as library:
        report = undo_export(library, ctx)
    kept = tuple((str(path), reason) for path, reason in report.kept)
    return UndoExportResult(len(report.restored), len(report.removed), kept)


@needs("core.exchange.imports")
def take_in_captions(ctx: JobContext, order: ImportOrder) -> ImportResult:
    """Take the captions of a file in, as one step that can be undone."""
    from core.exchange.imports import import_captions
    from core.library.library import Library

    ctx.progress(0, None, f"Reading {order.file.name}")
    with Library.open(order.library) as library:
        report = import_captions(library, order.file)
    return ImportResult(**vars(report))


@needs("core.starter.scenes_library")
def render_samples(ctx: JobContext, order: SampleOrder) -> Path:
    """Paint the sample scenes, unless they are there already."""
    from core.starter.scenes_library import TRUTH_FILE, write_sample_library
    from core.starter.scenes_words import DEMO

    if not (order.folder / TRUTH_FILE).exists():
        ctx.progress(0, None, tr("Painting scenes; this takes a few seconds"))
        write_sample_library(order.folder, order.count, DEMO, order.seed)
    return order.folder
