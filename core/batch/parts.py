"""Parts: the captions that several machines made of one folder or list, put together again by content hash.

Only machines' own records are compared, never words with words of people: the first part that captions a photo has it,
another that says something else is a conflict and is named, a line that is damaged costs itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from core.batch.out_file import only_writer
from core.batch.records import PhotoRecord, read_records
from core.disk import is_pipe_or_device, replacing
from core.errors import UserError
from core.jobs import JobContext

LISTED = 1000
"""Things named in a report; all of them are counted."""
_TOLD_EVERY = 256


@dataclass
class Listing:
    """How many there were, and the first thousand by name."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.count += 1
        if len(self.shown) < LISTED:
            self.shown.append(what)


@dataclass
class PartsReport:
    """``photos`` that the parts caption, each counted once; ``repeated``: said again in the same words; ``conflicts``:
    said again in others, and left out; ``failed``: no part has a caption for them; ``damaged``: lines that are no
    records. ``models``: hashes of the bundles that captioned."""

    parts: int
    photos: int = 0
    repeated: int = 0
    conflicts: Listing = field(default_factory=Listing)
    failed: Listing = field(default_factory=Listing)
    damaged: Listing = field(default_factory=Listing)
    models: set[str] = field(default_factory=set)


class Parts:
    """The records of several files. ``key`` gives what a record is about; ``None``: it does not say.

    Of a photo 16 bytes of its key, 8 of its name and 8 of its captions are kept in memory.
    """

    def __init__(self, paths: Sequence[Path], key: Callable[[PhotoRecord], str | None]) -> None:
        for path in paths:
            _require_file(path)
        self._paths, self._key = list(dict.fromkeys(path.absolute() for path in paths)), key
        self._said: dict[bytes, bytes] = {}
        self._names: set[bytes] = set()
        self._failed: dict[bytes, PhotoRecord] = {}
        self.report = PartsReport(len(self._paths))

    def captioned(self, ctx: JobContext) -> Iterator[PhotoRecord]:
        """Each photo's first caption, in the order of the parts."""
        for path in self._paths:
            for number, record in self._records(path):
                if number % _TOLD_EVERY == 1:
                    ctx.check_cancelled()
                    ctx.progress(self.report.photos, None, f"Reading {path.name}")
                if self._is_new(path, number, record):
                    yield record

    def failures(self) -> Iterator[PhotoRecord]:
        """Once all of :meth:`captioned` is read: the photos for which no part has a caption."""
        for key, record in self._failed.items():
            # A file that one machine could not read has no content there: its name is all that another one knows of it.
            elsewhere = record.content is None and _digest(record.file, 8) in self._names
            if key not in self._said and not elsewhere:
                self.report.failed.add(f"{record.file}: {record.error}")
                yield record

    def _records(self, path: Path) -> Iterator[tuple[int, PhotoRecord]]:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield number, PhotoRecord.from_line(line)
                except ValueError:
                    self.report.damaged.add(f"{path.name}, line {number}: it is cut off, or no caption record")

    def _is_new(self, path: Path, number: int, record: PhotoRecord) -> bool:
        about = self._key(record)
        if about is None:
            if record.error is None:
                self.report.damaged.add(f"{path.name}, line {number}: it says nothing of the photo's content")
            else:  # a file that could not be read has no content: it failed, and is nobody's
                self._failed.setdefault(_digest(record.file, 16), record)
            return False
        key = _digest(about, 16)
        if record.caption is None:
            self._failed.setdefault(key, record)
            return False
        self._names.add(_digest(record.file, 8))
        texts = _digest("\n".join([record.caption, *(one.caption for one in record.candidates)]), 8)
        before = self._said.setdefault(key, texts)
        if before is not texts:
            if before == texts:
                self.report.repeated += 1
            else:
                self.report.conflicts.add(f"{record.file}: {path.name}, line {number}, has other words than before")
            return False
        self.report.photos += 1
        if record.model:
            self.report.models.add(record.model)
        return True


def merge_files(ctx: JobContext, paths: Sequence[Path], out: Path, *, dry_run: bool = False) -> PartsReport:
    """Put parts of a captioned folder into one file ``out``: a line a photo, captioned ones first.

    Photos are told apart by name and content, so that copies keep a line each. ``out`` may be one of the parts and is
    replaced in one move, so that any line of it that is no record, but for a torn last one, is a ``UserError``: it
    would be lost. So is a captioning that still writes into it. Ranks, which are of one part only, are left out.
    Merging again changes nothing.
    """
    added_to = out.absolute() in [path.absolute() for path in paths]
    if out.exists() and not added_to:
        raise UserError(f"{out} is there already.", "Name it among the parts as well to add to it, or another file.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder of {out} does not exist.", f"Make {out.absolute().parent} first.")
    parts = Parts(paths, lambda record: f"{record.content}\n{record.file}")
    if added_to:
        for _ in read_records(out, "Write into a new file: lines that are no captions would be lost in this one."):
            ctx.check_cancelled()
    if dry_run:
        _read_to_the_end(parts, ctx)
        return parts.report
    with only_writer(out) if added_to else nullcontext(), replacing(out) as file:
        for record in parts.captioned(ctx):
            file.write(record.without_rank().to_line())
        for record in parts.failures():
            file.write(record.without_rank().to_line())
    return parts.report


def _read_to_the_end(parts: Parts, ctx: JobContext) -> None:
    for _ in parts.captioned(ctx):
        pass
    for _ in parts.failures():
        pass


def _require_file(path: Path) -> None:
    try:
        usable = path.is_file() and not is_pipe_or_device(path)
    except OSError:
        usable = False
    if not usable:
        raise UserError(f"The part {path} is not a file.", "Name the files that 'caption' wrote on the machines.")


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
