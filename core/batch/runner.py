"""Captioning many photos: a plain folder into a JSON Lines file, or a library into its own database."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.batch import bundles
from core.batch.engine import WROTE_NOTHING, CaptionEngine
from core.batch.folder_rank import VectorFile, rank_captions
from core.batch.listing import Item, Shard, count_folder, list_folder
from core.batch.pipeline import Prepared, in_batches, prepare_ahead
from core.batch.progress import BatchProgress, RateMeter
from core.batch.records import (
    PhotoRecord,
    RecordWriter,
    drop_torn_line,
    read_records,
    rewrite,
    write_json_atomically,
)
from core.captioner.decoding import DecodingOptions
from core.captioner.rerank import CONSIDERED, fluency_weight
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.providers import usable_cores
from core.onnx.session import Bundle, open_bundle

BATCH = 32
LISTED_FAILURES = 1000
"""Failures named in a report; all of them are in the output and the ledger."""
_LATEST = 3


@dataclass(frozen=True)
class CaptionOptions:
    """How captions are made. ``None`` leaves it to the bundle's own settings.

    ``candidates``: captions a photo; with more than one and no ``method`` by beam search. ``by_score``: the caption
    that stands for a photo is the candidate with the highest CLIP-S. ``distinctive``: from 0 (wording) to 1 (telling
    photos apart), which of at least five captions are taken (:mod:`core.captioner.rerank`), and, in a library whose
    model has both stages, a mix of them.
    """

    candidates: int = 1
    method: Literal["greedy", "beam", "sample"] | None = None
    beams: int | None = None
    max_tokens: int | None = None
    seed: int = 0
    by_score: bool = False
    distinctive: float | None = None
    batch: int = BATCH
    threads: int | None = None
    provider: str = "auto"


@dataclass(frozen=True)
class CaptionRequest:
    """A folder to caption into ``out``. ``rank``: also where each caption's photo ranks in the folder.

    ``resume``: go on with an ``out`` that is there; ``retry_failed``: try its failed photos again as well.
    """

    source: Path
    out: Path
    bundle: Path | None = None
    rank: bool = False
    shard: Shard | None = None
    resume: bool = False
    retry_failed: bool = False
    options: CaptionOptions = field(default_factory=CaptionOptions)


@dataclass(frozen=True)
class LibraryCaptionRequest:
    """A library whose photos get candidates. ``existing`` decides about photos that have captions already.

    ``resume``: go on with the job that was stopped; ``retry_failed``: the failed photos of the last job, without
    ``resume`` these only. ``existing`` is then as the job was begun, and a ``UserError`` if it says something else;
    ``None`` leaves it to that job, for a new one it is "skip". ``shard``, ``image_ids``: these photos only. ``faster``:
    with the int8 bundle of the library's model, where that loses little on its photos and no mix is asked for.
    """

    library: Path
    bundle: Path | None = None
    existing: Literal["skip", "add", "replace-model"] | None = None
    shard: Shard | None = None
    resume: bool = False
    retry_failed: bool = False
    image_ids: tuple[int, ...] | None = None
    options: CaptionOptions = field(default_factory=CaptionOptions)
    faster: bool = False


@dataclass(frozen=True)
class CaptionReport:
    """``done``: photos captioned now; ``already``: by an earlier job; ``failed``: ``(file, reason)``, the first
    thousand of ``failed_count``. ``rate``: photos a second. ``shares``: where the time went, 0..1.
    ``gallery``: photos that were ranked against each other, if any. ``skipped``: photos of a library that were left
    alone because they have captions."""

    done: int
    failed: tuple[tuple[str, str], ...]
    seconds: float
    rate: float
    failed_count: int = 0
    already: int = 0
    bundle: Path | None = None
    model_hash: str = ""
    provider: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    gallery: int | None = None
    skipped: int = 0


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
    engine = make_engine(bundle, replace(request.options, by_score=request.options.by_score or request.rank))
    done, failed = _earlier(request, out, _settings(request, bundle, engine.options))
    vectors = VectorFile(_beside(out, "vectors"), bundle.encoder.dim) if request.rank else None
    run = _FolderRun(ctx, request, engine, vectors, failed)
    run.caption(out, done)
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
    weight = fluency_weight(wanted.distinctive)
    return CaptionEngine(bundle, options, by_score=True, fluency=weight, keep=wanted.candidates)


def decoding_options(bundle: Bundle, wanted: CaptionOptions) -> DecodingOptions:
    """The bundle's decoding settings with what a person asked for."""
    defaults = bundle.decoding()
    candidates = wanted.candidates if wanted.distinctive is None else max(wanted.candidates, CONSIDERED)
    method = wanted.method or ("beam" if candidates > 1 and defaults.method == "greedy" else defaults.method)
    beams = wanted.beams or defaults.beams
    return bundle.decoding(
        method=method,
        candidates=1 if method == "greedy" else candidates,
        beams=max(beams, candidates) if method == "beam" else beams,
        max_tokens=wanted.max_tokens or defaults.max_tokens,
        seed=wanted.seed,
    )


class Tally:
    """Counts a job's photos and tells how it goes; shared by folders and libraries."""

    def __init__(self, ctx: JobContext, total: int) -> None:
        self._ctx, self.total = ctx, total
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
        self.tally = Tally(ctx, count_folder(request.source, shard=request.shard))
        self.tally.list_failures(failed)

    def caption(self, out: Path, done: set[str]) -> None:
        """Caption what is not ``done``, batch by batch; every batch is on its way to the disk before the next one."""
        self.tally.total = max(0, self.tally.total - len(done))
        items = list_folder(self._request.source, shard=self._request.shard, done=done)
        with RecordWriter(out) as writer, closing(self._batches(items)) as batches:
            for batch in batches:
                records = self._caption(batch)
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
        items = (Item(name, self._request.source / name) for name in lacking)
        with closing(self._batches(items)) as batches:
            for batch in batches:
                usable = [one for one in batch if one.pixels is not None]
                names = [one.item.file for one in usable]
                photos = self._engine.embed([one.pixels for one in usable if one.pixels is not None])
                texts = self._engine.bundle.encoder.encode_texts([lacking[name] for name in names])
                self._vectors.append(names, photos, texts)

    def _batches(self, items: Iterable[Item]) -> Generator[list[Prepared[Item]]]:
        size, engine = self._request.options.batch, self._engine
        prepared = prepare_ahead(
            items,
            lambda item: None if item.reason else item.path,
            engine.bundle.encoder.preprocess,
            workers=usable_cores(),
            ahead=2 * size,
        )
        with closing(prepared):
            batches = in_batches(prepared, size)
            while True:
                with engine.timers.of("wait"):
                    batch = next(batches, None)
                if batch is None:
                    return
                self._ctx.check_cancelled()
                yield batch

    def _caption(self, batch: list[Prepared[Item]]) -> list[PhotoRecord]:
        usable = [one for one in batch if one.pixels is not None]
        photos = self._engine.embed([one.pixels for one in usable if one.pixels is not None])
        self._ctx.check_cancelled()
        names = [one.item.file for one in usable]
        candidates, texts = self._engine.caption(photos, [name_seed(name) for name in names], self._ctx)
        if self._vectors is not None:
            kept = [row for row, found in enumerate(candidates) if found]
            self._vectors.append([names[row] for row in kept], photos[kept], texts[kept])
        made = dict(zip(names, candidates, strict=True))
        return [_record(one, made.get(one.item.file, ())) for one in batch]


def name_seed(name: str) -> int:
    """The number that decides what is sampled for a photo: by its name, not by its place in a batch or shard."""
    from hashlib import blake2b
    from os import fsencode

    return int.from_bytes(blake2b(fsencode(name), digest_size=7).digest(), "big")


def _record(one: Prepared[Item], candidates: tuple[Any, ...]) -> PhotoRecord:
    if candidates:
        return PhotoRecord(one.item.file, candidates[0].caption, candidates[0].score, candidates)
    return PhotoRecord(one.item.file, error=one.item.reason or one.error or WROTE_NOTHING)


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
    """Names of the photos that ``out`` has a line for, and those that failed; makes ``out`` fit to go on with."""
    note = _beside(out, "job")
    done: set[str] = set()
    failed: list[tuple[str, str]] = []
    if out.exists():
        _check_settings(request, note, settings)
        for record in read_records(out):  # to its end before anything is changed: it may be somebody else's file
            if record.error is None:
                done.add(record.file)
            elif not request.retry_failed:
                done.add(record.file)
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


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")
