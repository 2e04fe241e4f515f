"""Captioning many photos: a plain folder into a JSON Lines file, or a library into its own database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.batch import bundles
from core.batch.engine import CaptionEngine
from core.batch.folder_rank import VectorFile, rank_captions
from core.batch.listing import Item, count_folder, list_folder
from core.batch.local import Done, LocalRunner, Runner, photos_in_portions
from core.batch.out_file import beside, only_writer
from core.batch.photo_list import count_listed, listed_items
from core.batch.pipeline import Prepared
from core.batch.progress import BatchProgress, RateMeter
from core.batch.records import (
    PhotoRecord,
    RecordWriter,
    drop_torn_line,
    read_records,
    rewrite,
    write_json_atomically,
)
from core.batch.requests import CaptionOptions, CaptionReport, CaptionRequest, LibraryCaptionRequest
from core.captioner.decoding import DecodingOptions
from core.captioner.rerank import CONSIDERED, fluency_weight
from core.encoders.encoder import NONE_TOO_LONG, Encoder, TooLong, sharpness, too_long
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.session import Bundle, open_bundle

LISTED_FAILURES = 1000
"""Failures named in a report; all of them are in the output and the ledger."""
_LATEST = 3


def caption_folder(ctx: JobContext, request: CaptionRequest) -> CaptionReport:
    """Caption every photo below ``request.source``; needs no database and no torch.

    A photo that cannot be used gets a line with its reason. Stopped at any moment, ``out`` holds whole lines only
    (but for a torn last one after a kill) and ``resume`` goes on behind them. Raises ``UserError`` for what a person
    can mend, :class:`core.jobs.Cancelled` when asked to stop.
    """
    if not request.source.is_dir():
        raise UserError(f"{request.source} is not a folder.", "Name a folder of photos, or a library.")
    out = request.out.absolute()
    if not out.parent.is_dir():
        raise UserError(f"The folder of {request.out} does not exist.", f"Make {out.parent} first.")
    if out.exists() and not request.resume:
        raise UserError(f"{request.out} is there already.", "Go on with it with --resume, or name another file.")
    bundle = open_bundle(
        request.bundle or bundles.starter_bundle(ctx), request.options.threads, request.options.provider
    )
    options = replace(request.options, by_score=request.options.by_score or request.rank)
    engine = make_engine(bundle, options)
    runner = make_runner(engine, options)
    with only_writer(out):
        return _caption_into(ctx, request, engine, runner)


def photos_left(request: CaptionRequest) -> int:
    """About how many photos :func:`caption_folder` would do; 0 where it refuses to begin."""
    out = request.out.absolute()
    if not request.source.is_dir() or (out.exists() and not request.resume):
        return 0
    done = 0
    if out.exists():
        done = sum(1 for one in read_records(out) if one.error is None or not request.retry_failed)
    return max(0, _photos(request) - done)


def _photos(request: CaptionRequest) -> int:
    if request.photo_list is not None:
        return count_listed(request.photo_list, shard=request.shard)
    return count_folder(request.source, shard=request.shard)


def _caption_into(ctx: JobContext, request: CaptionRequest, engine: CaptionEngine, runner: Runner) -> CaptionReport:
    out, bundle = request.out.absolute(), engine.bundle
    done, failed = _earlier(request, out, _settings(request, bundle, engine.options))
    vectors = VectorFile(beside(out, "vectors"), bundle.encoder.dim) if request.rank else None
    run = _FolderRun(ctx, request, engine, vectors, failed)
    run.caption(out, done, runner)
    gallery = None
    if vectors is not None:
        run.add_missing_vectors(out)
        gallery = rank_captions(ctx, out, vectors)
        vectors.remove()
    return replace(run.tally.report(engine), already=len(done), gallery=gallery)


def caption_library(ctx: JobContext, request: LibraryCaptionRequest) -> CaptionReport:
    """Caption the photos of a library into candidates, then score them; see :mod:`core.batch.library_runner`."""
    from core.batch import library_runner  # the database is loaded for a library only

    return library_runner.run(ctx, request)


def make_engine(bundle: Bundle, wanted: CaptionOptions) -> CaptionEngine:
    """An engine that captions as a person asked for; ``UserError`` where that makes no sense."""
    options = decoding_options(bundle, wanted)
    if wanted.distinctive is None:
        return CaptionEngine(bundle, options, by_score=wanted.by_score)
    if not 0 <= wanted.distinctive <= 1:
        raise UserError(f"How distinctive is a number from 0 to 1, not {wanted.distinctive:g}.", "0.5 is the middle.")
    if options.method == "greedy":
        raise UserError("Greedy decoding gives nothing to choose from.", "Use beam or sample, or leave it open.")
    weight = fluency_weight(wanted.distinctive, sharpness(bundle.encoder))
    return CaptionEngine(bundle, options, by_score=True, fluency=weight, keep=wanted.candidates or 1)


def make_runner(engine: CaptionEngine, options: CaptionOptions) -> Runner:
    """Where the photos are captioned; ``UserError`` if that is on Ray and Ray is not installed."""
    if options.engine == "local":
        return LocalRunner(engine, options.batch)
    from core.batch.ray_runner import RayRunner

    return RayRunner(engine.bundle, options)


def decoding_options(bundle: Bundle, wanted: CaptionOptions) -> DecodingOptions:
    """The bundle's decoding settings with what a person asked for."""
    defaults = bundle.decoding()
    candidates = wanted.candidates or 1
    if wanted.distinctive is not None:
        candidates = max(candidates, CONSIDERED)
    searches = wanted.beams is not None or (candidates > 1 and defaults.method == "greedy")
    method = wanted.method or ("beam" if searches else defaults.method)
    beams = wanted.beams or defaults.beams
    return bundle.decoding(
        method=method,
        candidates=1 if method == "greedy" else candidates,
        beams=max(beams, candidates) if method == "beam" else beams,
        max_tokens=wanted.max_tokens or defaults.max_tokens,
        seed=wanted.seed or 0,
    )


class Tally:
    """Counts a job's photos and tells how it goes; shared by folders and libraries. ``encoder``: says which captions
    are longer than it reads."""

    def __init__(self, ctx: JobContext, total: int, encoder: Encoder | None = None) -> None:
        self._ctx, self.total, self._encoder = ctx, total, encoder
        self._too_long = NONE_TOO_LONG
        self._meter = RateMeter()
        self.done, self.seen, self.failed_count = 0, 0, 0
        self.failed: list[tuple[str, str]] = []

    def list_failures(self, failures: Iterable[tuple[str, str]]) -> None:
        """Failures for the report; those of an earlier job are not work of this one."""
        for file, reason in failures:
            self.failed_count += 1
            if len(self.failed) < LISTED_FAILURES:
                self.failed.append((file, reason))

    def add(self, finished: Iterable[PhotoRecord]) -> None:
        """These photos are finished: counted, and told to whoever watches."""
        latest: list[tuple[str, str]] = []
        number = 0
        for record in finished:
            number += 1
            if record.caption is None:
                self.list_failures([(record.file, record.error or "")])
            else:
                self.done += 1
                latest.append((record.file, record.caption))
        if self._encoder is not None:
            found = too_long(self._encoder, [caption for _, caption in latest])
            self._too_long = TooLong(self._too_long.captions + found.captions, found.reads or self._too_long.reads)
        self._meter.add(number)
        self.seen += number
        self.total = max(self.total, self.seen)
        left = self.total - self.seen
        self._ctx.partial(
            BatchProgress(
                self.seen,
                self.total,
                self.failed_count,
                self._meter.rate,
                self._meter.eta_s(left),
                tuple(latest[-_LATEST:]),
            )
        )
        self._ctx.progress(self.seen, self.total, self._meter.words("Captioning", left))

    def report(self, engine: CaptionEngine) -> CaptionReport:
        seconds = self._meter.seconds
        bundle = engine.bundle
        return CaptionReport(
            done=self.done,
            failed=tuple(self.failed),
            seconds=seconds,
            rate=self.done / seconds if seconds > 0 else 0.0,
            failed_count=self.failed_count,
            bundle=bundle.folder,
            model_hash=bundle.manifest.model_hash,
            provider=bundle.provider.reason,
            shares=engine.timers.shares(),
            too_long=self._too_long,
        )


class _FolderRun:
    def __init__(
        self,
        ctx: JobContext,
        request: CaptionRequest,
        engine: CaptionEngine,
        vectors: VectorFile | None,
        failed: list[tuple[str, str]],
    ) -> None:
        self._ctx, self._request, self._engine, self._vectors = ctx, request, engine, vectors
        self._ctx.progress(0, None, "Looking for photos")
        self.tally = Tally(ctx, _photos(request), engine.bundle.encoder)
        self.tally.list_failures(failed)

    def caption(self, out: Path, done: set[str], runner: Runner) -> None:
        """Caption what is not ``done``; every batch is on its way to the disk before the next one."""
        self.tally.total = max(0, self.tally.total - len(done))
        with RecordWriter(out) as writer, closing(runner.run(self._items(done), self._ctx)) as batches:
            for batch in batches:
                if self._vectors is not None:
                    _keep_vectors(self._vectors, batch)
                records = [self._record(one) for one in batch]
                writer.write(records)
                self.tally.add(records)

    def add_missing_vectors(self, out: Path) -> None:
        """Embed photos that were captioned by a job that did not rank."""
        assert self._vectors is not None
        places = self._vectors.places()
        lacking = {
            record.file: record.caption
            for record in read_records(out)
            if record.caption is not None and not self._vectors.knows(record.file, places)
        }
        items = [Item(name, self._request.source / name) for name in lacking]
        local = LocalRunner(self._engine, self._request.options.batch)
        with closing(local.prepared(items, self._ctx)) as batches:
            for batch in batches:
                usable = [one for one in batch if one.pixels is not None]
                parts = photos_in_portions(usable, local.size, lambda some: self._embed(some, lacking))
                for names, photos, texts in parts:
                    self._vectors.append(names, photos, texts)

    def _embed(
        self, usable: Sequence[Prepared], captions: Mapping[str, str]
    ) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Names, photo vectors and caption vectors of photos with pixels."""
        names = [one.item.file for one in usable]
        photos = self._engine.embed([one.pixels for one in usable if one.pixels is not None])
        return names, photos, self._engine.bundle.encoder.encode_texts([captions[name] for name in names])

    def _items(self, done: set[str]) -> Iterator[Item]:
        request = self._request
        if request.photo_list is not None:
            return listed_items(request.photo_list, request.source, shard=request.shard, done=done)
        return list_folder(request.source, shard=request.shard, done=done)

    def _record(self, one: Done) -> PhotoRecord:
        manifest = self._engine.bundle.manifest
        about = PhotoRecord(
            one.item.file,
            content=one.item.content or one.content,
            model=manifest.model_hash,
            source=manifest.source,
        )
        if one.error is not None:
            return replace(about, error=one.error)
        best = one.candidates[0]
        return replace(about, caption=best.caption, score=best.score, candidates=one.candidates)


def _keep_vectors(vectors: VectorFile, batch: Sequence[Done]) -> None:
    kept = [(one.item.file, one.photo, one.text) for one in batch if one.photo is not None and one.text is not None]
    if kept:
        names, photos, texts = zip(*kept, strict=True)
        vectors.append(names, np.stack(photos), np.stack(texts))


def _settings(request: CaptionRequest, bundle: Bundle, options: DecodingOptions) -> dict[str, Any]:
    """What must be the same when a job is gone on with, or the file would hold captions of two kinds."""
    values = asdict(options)
    del values["max_rows"]
    return {
        "source": str(request.source.absolute()),
        "model": bundle.manifest.model_hash,
        "by_score": request.options.by_score or request.rank,
        "distinctive": request.options.distinctive,
        "shard": None if request.shard is None else str(request.shard),
        "decoding": json.loads(json.dumps(values)),
    }


def _earlier(request: CaptionRequest, out: Path, settings: dict[str, Any]) -> tuple[set[str], list[tuple[str, str]]]:
    """The photos that ``out`` has a line for, and those that failed; makes ``out`` fit to go on with.

    A photo is known by its name in the folder, one of a list by its content.
    """
    note = beside(out, "job")
    done: set[str] = set()
    failed: list[tuple[str, str]] = []
    if out.exists():
        _check_settings(request, note, settings)
        for record in read_records(out):  # to its end before anything is changed: it may be somebody else's file
            if record.error is not None and request.retry_failed:
                continue
            done.add(record.file if request.photo_list is None else record.content or record.file)
            if record.error is not None:
                failed.append((record.file, record.error))
        drop_torn_line(out)
        if request.retry_failed:
            rewrite(out, lambda record: record if record.error is None else None)
    write_json_atomically(note, settings)
    return done, failed


def _check_settings(request: CaptionRequest, note: Path, settings: dict[str, Any]) -> None:
    words = {"source": "of another folder", "model": "with another model", "shard": "for another shard",
             "by_score": "with another choice of --rank", "distinctive": "with another choice of --distinctive",
             "decoding": "with other settings"}  # fmt: skip
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the file came here alone: its lines are all there is to go by
    for key, what in words.items():
        if isinstance(before, dict) and before.get(key) != settings[key]:
            raise UserError(
                f"{request.out} was begun {what}.", "Give the same arguments as then, or name another file with --out."
            )
