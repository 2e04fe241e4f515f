"""The jobs that the window starts: thin functions around core's, run by the bridge in a worker process.

No Qt and no model library is imported here at the top, and every request, partial result and result is a dataclass of
this module or of ``core.training.messages``: what crosses the pipe never makes the window's process import torch.
``needs`` names the modules that a worker imports before a job counts as begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.errors import UserError
from core.jobs import JobContext
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
class SuggestOrder:
    library: Path
    count: int


@dataclass(frozen=True)
class Suggestion:
    image_ids: tuple[int, ...]


@dataclass(frozen=True)
class CaptionOrder:
    library: Path
    existing: Existing = "skip"
    candidates: int = 1
    only_failed: bool = False


@dataclass(frozen=True)
class CaptionResult:
    done: int
    failed: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class ExportOrder:
    """``target``: a folder or a file, None for beside the photos. ``overwrite`` files that say something else."""

    library: Path
    format: Literal["txt", "jsonl", "csv", "coco"]
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
class SampleOrder:
    """Render the sample scenes into ``folder``."""

    folder: Path
    count: int = 160
    seed: int = 3


# -- jobs -------------------------------------------------------------------------------------------------------------


@needs("core.library.scan")
def scan_folders(ctx: JobContext, order: ScanOrder) -> ScanResult:
    from core.library import queries
    from core.library.library import Library
    from core.library.scan import scan

    with Library.open(order.library) as library:
        folders = order.folders or tuple(queries.folders(library))
        reports = [scan(library, folder, ctx) for folder in folders]
    return ScanResult(
        sum(report.found for report in reports),
        sum(report.added for report in reports),
        sum(report.changed for report in reports),
        sum(report.missing for report in reports),
        tuple((str(error.path), error.reason) for report in reports for error in report.errors),
    )


@needs("core.onnx.session")
def search_words(ctx: JobContext, order: SearchOrder) -> SearchResult:
    raise UserError("This part of Seedcap is not there yet.", "")


@needs("core.onnx.session")
def suggest_photos(ctx: JobContext, order: SuggestOrder) -> Suggestion:
    raise UserError("This part of Seedcap is not there yet.", "")


@needs("core.training.job")
def train(ctx: JobContext, request: TrainRequest) -> TrainReport:
    """Both stages. What it reports on the way are the messages of ``core.training.messages``."""
    from core.training.job import train_job

    return train_job(ctx, request)


@needs("core.batch.runner")
def caption_photos(ctx: JobContext, order: CaptionOrder) -> CaptionResult:
    raise UserError("This part of Seedcap is not there yet.", "")


@needs("core.exchange.exports")
def export_captions(ctx: JobContext, order: ExportOrder) -> ExportResult:
    """Write the captions out; the plan is made anew, since the files may have changed since it was looked at."""
    from core.exchange.exports import plan_export, write_export
    from core.library.library import Library

    with Library.open(order.library) as library:
        plan = plan_export(library, order.format, order.target, which=order.which, overwrite=order.overwrite)
        report = write_export(plan, ctx)
    folder = plan.items[0].path.parent
    return ExportResult(
        folder,
        report.written,
        report.same,
        tuple(str(path) for path in report.kept),
        tuple((str(path), reason) for path, reason in report.failed),
    )


@needs("core.starter.scenes_library")
def render_samples(ctx: JobContext, order: SampleOrder) -> Path:
    """Paint the sample scenes, unless they are there already."""
    from core.starter.scenes_library import TRUTH_FILE, write_sample_library
    from core.starter.scenes_words import DEMO

    if not (order.folder / TRUTH_FILE).exists():
        ctx.progress(0, None, "Painting scenes; this takes a few seconds")
        write_sample_library(order.folder, order.count, DEMO, order.seed)
    return order.folder
