"""Captioning the photos of a library: the ledger says what is left, vectors are reused, candidates are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.batch import bundles
from core.batch.as_begun import as_begun, job_params, require_as_begun
from core.batch.engine import CaptionEngine
from core.batch.listing import Item
from core.batch.local import Done
from core.batch.plain import write_plain_captions
from core.batch.records import Candidate, PhotoRecord
from core.batch.requests import CaptionReport, LibraryCaptionRequest
from core.batch.run_of_bundle import RunOfBundle
from core.batch.runner import Tally, make_engine, make_runner
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import Cancelled, JobContext
from core.library import ledger
from core.library.candidates import add_candidates
from core.library.columns import now
from core.library.in_vain import add_in_vain, asked
from core.library.library import Library
from core.library.queries import current_run, image_ids, image_rows
from core.library.records import RunRow
from core.library.runs import find_run
from core.library.unchanged import stamps
from core.onnx.bundle import faster_folder
from core.onnx.session import open_bundle
from core.ranking import rank_library

KIND = "caption"
_ROWS_AT_ONCE = 512
_NUMBERS_AT_ONCE = 1_000_000
"""Photos that a job knows by their number alone; their rows are read as they are needed."""
_GONE = "The photo is not in the library any more."


def library_bundle(
    ctx: JobContext, library: Library, distinctive: float | None = None, model: str | None = None
) -> Path:
    """The bundle of the library's current model, else of the starter; exported first when it is not there.

    ``distinctive``: of a mix of the stages of the current run instead of the one it kept; where there is no such run
    only the choice among candidates differs. One mix a run is kept: another takes its place. ``model``: that one
    instead of the current one, as in :class:`LibraryCaptionRequest`.
    """
    run = _chosen(library, model)
    if run is None or distinctive is None or not (run.folder / "stage2" / "checkpoint.json").is_file():
        return bundle_of(ctx, library, run)
    return bundles.exported(ctx, str(run.folder), library.bundles_dir / f"{run.id}-mixed", distinctive)


def bundle_of(ctx: JobContext, library: Library, run: RunRow | None) -> Path:
    """The bundle of what a run kept, or of the starter; exported first when it is not there."""
    if run is None:
        return bundles.starter_bundle(ctx)
    return bundles.exported(ctx, str(run.folder), library.bundles_dir / run.id)


def _chosen(library: Library, model: str | None) -> RunRow | None:
    """The run that ``model`` names; ``None`` for the starter. A ``UserError`` where there is no such run."""
    if model is None:
        return current_run(library)
    return None if model == bundles.STARTER else find_run(library, model)


def faster_bundle(ctx: JobContext, library: Library, model: str | None = None) -> Path | None:
    """The int8 bundle of the library's model, made and measured on its photos; ``None`` where it loses too much."""
    run = _chosen(library, model)
    source = bundles.STARTER if run is None else str(run.folder)
    folder = faster_folder(library.path, None if run is None else run.id)
    loss = bundles.smaller(ctx, library.path, source, folder)
    return folder if loss is not None and loss.acceptable else None


def run(ctx: JobContext, request: LibraryCaptionRequest) -> CaptionReport:
    """Caption what the request names; every batch is in the database before the next one begins.

    Cancelled or killed, the job keeps what it wrote and ``resume`` goes on with the rest. Afterwards all captions of
    the library are scored, unless the request says otherwise.
    """
    with Library.open(request.library) as library:
        earlier = _earlier(library, request)
        request = request if earlier is None else as_begun(request, earlier.params)
        distinctive = request.options.distinctive
        folder = request.bundle
        if folder is None and request.faster and distinctive is None:
            folder = faster_bundle(ctx, library, request.model)
        folder = folder or library_bundle(ctx, library, distinctive, request.model)
        bundle = open_bundle(folder, request.options.threads, request.options.provider)
        engine = make_engine(bundle, request.options)
        return caption_with(ctx, library, request, engine)


def caption_with(
    ctx: JobContext, library: Library, request: LibraryCaptionRequest, engine: CaptionEngine
) -> CaptionReport:
    """The same on an open library, with a bundle that is open already."""
    job = _job(library, request, engine.bundle.manifest.model_hash)
    try:
        report = _LibraryRun(ctx, library, job, request, engine).caption()
    except Cancelled:
        ledger.close_job(library, job.id, "cancelled")
        raise
    except BaseException as error:
        with suppress(UserError):  # the ledger may be what cannot be written; what went wrong first is what counts
            ledger.close_job(library, job.id, "failed", str(error))
        raise
    ledger.close_job(library, job.id, "interrupted" if ledger.next_items(library, job.id, 1) else "done")
    if report.done and request.rank:
        write_plain_captions(ctx, library)
        rank_library(library, engine.bundle.encoder, ctx)
    return replace(report, already=job.done, skipped=job.skipped)


@dataclass(frozen=True)
class _Job:
    """A row of the ledger: ``existing`` as it was asked for when the job began; ``skipped``: photos left out of it
    because they have captions; ``only``: of what is left to do, these photos."""

    id: int
    existing: Any
    todo: int
    done: int
    skipped: int = 0
    only: Sequence[int] | None = None


def _earlier(library: Library, request: LibraryCaptionRequest) -> ledger.JobRow | None:
    """The job that the request may be about going on with."""
    earlier = ledger.unfinished_job(library, KIND) if request.resume else None
    return ledger.last_job(library, KIND) if earlier is None and request.retry_failed else earlier


def _job(library: Library, request: LibraryCaptionRequest, model_hash: str) -> _Job:
    """The job to go on with, or a new one. One model's job is never gone on with by another one."""
    earlier = _earlier(library, request)
    if earlier is not None and earlier.params.get("model") == model_hash:
        return _go_on(library, request, earlier)
    begun = "skip" if earlier is None else earlier.params.get("existing", "skip")
    request = replace(request, existing=request.existing or begun)
    if earlier is not None and request.retry_failed and not (request.resume and earlier.todo):
        wanted, skipped = ledger.failed_ids(library, earlier.id), 0
        earlier = None
    else:
        wanted, skipped = photos_to_caption(library, request)
    if earlier is not None and request.existing == begun:  # the photos of that job; what is to be added once is there
        wanted = ledger.photos_of(library, earlier.id, wanted, done=begun != "add")
    params = job_params(request, model_hash)
    job = _Job(ledger.start_job(library, KIND, params, wanted), request.existing, len(wanted), 0, skipped)
    if earlier is not None and request.image_ids is None and request.shard is None:
        # Gone on with again, it would have all of them captioned once more.
        ledger.close_job(library, earlier.id, "done", f"Job {job.id}, with another model, took its place.")
    return job


def photos_left(library: Library, request: LibraryCaptionRequest) -> int:
    """About how many photos :func:`run` would do; of a job gone on with all that is left of it."""
    earlier = _earlier(library, request)
    if earlier is None:
        return len(photos_to_caption(library, request)[0])
    return (earlier.todo if request.resume else 0) + (earlier.failed if request.retry_failed else 0)


def photos_to_caption(library: Library, request: LibraryCaptionRequest) -> tuple[list[int], int]:
    """The photos that a new captioning would do, and how many it leaves alone because they have captions."""
    if request.existing in (None, "skip"):
        return _wanted(library, request, has_caption=False), len(_wanted(library, request, has_caption=True))
    return _wanted(library, request, has_caption=None), 0


def _go_on(library: Library, request: LibraryCaptionRequest, earlier: ledger.JobRow) -> _Job:
    """What is left of a job that was stopped, its failed photos, or both."""
    existing = earlier.params.get("existing", "skip")
    if request.existing not in (None, existing):
        raise UserError(
            f"This captioning was begun with another choice for photos that have captions: {existing}.",
            "Go on with it as it was begun, or begin a new one.",
        )
    require_as_begun(request, earlier.params)
    only: Sequence[int] | None = None
    if request.retry_failed:
        only = None if request.resume else ledger.failed_ids(library, earlier.id)
        ledger.retry_failed(library, earlier.id)
    if request.image_ids is not None or request.shard is not None:
        asked = _wanted(library, request, has_caption=None)
        only = asked if only is None else sorted(set(only) & set(asked))
    ledger.close_job(library, earlier.id, "running")
    left = len(ledger.next_items(library, earlier.id, earlier.todo + earlier.failed, only))
    return _Job(earlier.id, existing, left, earlier.done, only=only)


def _wanted(library: Library, request: LibraryCaptionRequest, *, has_caption: bool | None) -> list[int]:
    ids = image_ids(library, has_caption=has_caption, ids=request.image_ids).tolist()
    if request.shard is None:
        return ids
    shard = request.shard
    return [row.id for row in image_rows(library, ids) if shard.holds_hash(row.content_hash)]


class _LibraryRun:
    def __init__(
        self, ctx: JobContext, library: Library, job: _Job, request: LibraryCaptionRequest, engine: CaptionEngine
    ) -> None:
        self._ctx, self._library, self._job, self._request, self._engine = ctx, library, job, request, engine
        manifest = engine.bundle.manifest
        self._run_id = RunOfBundle(library).find(manifest.source, manifest.model_hash)
        self._vectors = VectorStore(library, manifest.encoder.fingerprint, manifest.encoder.dim)
        self._asked = _asked(library, request)
        self._begun = now()
        self._in_vain: list[int] = []

    def caption(self) -> CaptionReport:
        tally = Tally(self._ctx, self._job.todo, self._engine.bundle.encoder)
        earlier = ledger.failed_items(self._library, self._job.id)
        tally.list_failures((one.relative_path, one.error) for one in earlier)
        try:
            self._caption_all(tally)
        finally:  # what was asked has been asked, also by a job that is cancelled
            with suppress(UserError):  # worth less than whatever else goes wrong
                add_in_vain(self._library, self._asked, self._in_vain, self._begun)
        return replace(tally.report(self._engine), nothing_new=len(self._in_vain))

    def _caption_all(self, tally: Tally) -> None:
        runner = make_runner(self._engine, self._request.options)
        # A runner is started once for all of them: it has threads, sessions or a cluster to keep busy.
        while ids := ledger.next_items(self._library, self._job.id, _NUMBERS_AT_ONCE, self._job.only):
            with closing(runner.run(library_items(self._library, self._vectors, ids), self._ctx)) as batches:
                for batch in batches:
                    tally.add(self._write(batch))

    def _write(self, batch: Sequence[Done]) -> list[PhotoRecord]:
        """Keep one batch; the items are marked done in the transaction that writes captions."""
        made = {one.content: one.photo for one in batch if one.content is not None and one.photo is not None}
        lacking = self._vectors.missing(list(made))  # of two copies one is enough
        if lacking:
            self._vectors.append(lacking, np.stack([made[one] for one in lacking]))
        texts = {one.item.image_id: [c.caption for c in one.candidates] for one in batch if one.candidates}
        likely = {one.item.image_id: likelihoods(one.candidates) for one in batch if one.candidates}
        existing = self._job.existing
        ids = add_candidates(self._library, self._run_id, texts, existing, job_id=self._job.id, likelihoods=likely)
        self._in_vain += [image_id for image_id, written in ids.items() if not written]
        errors = {one.item.image_id: one.error for one in batch if one.error is not None}
        if errors:
            ledger.finish_items(self._library, self._job.id, errors)
        return [_record(one) for one in batch]


def _asked(library: Library, request: LibraryCaptionRequest) -> str:
    current = current_run(library)
    model = str(request.bundle or request.model or (current.id if current is not None else bundles.STARTER))
    options = request.options
    return asked(model, options.candidates or 1, options.distinctive, request.faster)


def library_items(library: Library, vectors: VectorStore, ids: Sequence[int]) -> Iterator[Item]:
    """These photos to caption, with their vectors where they are known already."""
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        some = ids[start : start + _ROWS_AT_ONCE]
        rows = image_rows(library, some)
        for gone in set(some) - {row.id for row in rows}:
            yield Item(f"photo {gone}", library.path, _GONE, image_id=gone)
        lacking = set(vectors.missing([row.content_hash for row in rows]))
        known = stamps(library, [row.id for row in rows if row.content_hash in lacking])
        stored = iter(vectors.get([row.content_hash for row in rows if row.content_hash not in lacking]))
        for row in rows:
            content = row.content_hash
            vector = None if content in lacking else next(stored)
            yield Item(row.relative_path, row.path, None, content, known.get(row.id), vector, row.id)


def likelihoods(candidates: Sequence[Candidate]) -> dict[str, float | None]:
    """By its text, how likely the model found each candidate: nats a token."""
    return {one.caption.strip(): one.mean_log_prob for one in candidates}


def _record(one: Done) -> PhotoRecord:
    if one.error is not None:
        return PhotoRecord(one.item.file, error=one.error)
    return PhotoRecord(one.item.file, one.candidates[0].caption, one.candidates[0].score, one.candidates)
