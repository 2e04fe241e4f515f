"""The captions of a folder as a file: one JSON object a line, written so that a kill at any moment loses nothing.

A line is ``{"file", "caption", "score", "candidates": [{"caption", "score", "log_prob"}, ...], "error", "content",
"model", "source"}``; with a rank in the folder also ``"rank"`` and ``"gallery"``. ``file`` is relative to the folder,
with ``/`` between its parts; ``content`` is the hash of the photo's file, by which parts from several machines are
merged, ``model`` the hash of the bundle and ``source`` what it was made of. Older files lack some of these.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from core.disk import replacing
from core.errors import UserError

_BEGINNING = b'{"file": "'
_NAME_ANOTHER = "Name the file of an earlier 'caption' with --out, or a new one without --resume."


@dataclass(frozen=True)
class Candidate:
    """A caption for a photo; ``score`` is its CLIP-S, ``log_prob`` the model's own, in nats, end token included;
    ``mean_log_prob``: per token, ``None`` in a file from before it was kept."""

    caption: str
    score: float
    log_prob: float
    mean_log_prob: float | None = None


@dataclass(frozen=True)
class PhotoRecord:
    """What became of a photo: the caption that stands for it and all candidates, or ``error``: why there is none.

    ``content``: sha256 of the photo's file, ``None`` where it could not be read or in an older file; ``model``: that of
    the bundle's files; ``source``: of its manifest, a run's id or "starter".
    """

    file: str
    caption: str | None = None
    score: float | None = None
    candidates: tuple[Candidate, ...] = ()
    error: str | None = None
    rank: float | None = None
    gallery: int | None = None
    content: str | None = None
    model: str | None = None
    source: str | None = None

    def to_line(self) -> bytes:
        """The record as :func:`json_line`."""
        values = asdict(self)
        if self.rank is None:
            del values["rank"], values["gallery"]
        for candidate in values["candidates"]:
            if candidate["mean_log_prob"] is None:
                del candidate["mean_log_prob"]
        return json_line(values)

    def with_rank(self, rank: float, gallery: int) -> PhotoRecord:
        return replace(self, rank=rank, gallery=gallery)

    def without_rank(self) -> PhotoRecord:
        return replace(self, rank=None, gallery=None)

    @classmethod
    def from_line(cls, line: bytes) -> PhotoRecord:
        """The reverse of :meth:`to_line`; ``ValueError`` for anything else."""
        try:
            values = json.loads(line.decode("utf-8"))
            candidates = tuple(
                Candidate(c["caption"], c["score"], c["log_prob"], c.get("mean_log_prob")) for c in values["candidates"]
            )
            record = cls(
                values["file"], values["caption"], values["score"], candidates, values["error"],
                values.get("rank"), values.get("gallery"), values.get("content"), values.get("model"),
                values.get("source"),
            )  # fmt: skip
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a caption record: {error}") from error
        if not isinstance(record.file, str) or (record.caption is None) == (record.error is None):
            raise ValueError("not a caption record")
        if not (_has_texts(record) and _has_numbers(record)):
            raise ValueError("not a caption record")
        return record


def _has_texts(record: PhotoRecord) -> bool:
    """Whether all words are text that a database and a file can hold; names of files are any that a system may have."""
    optional = (record.caption, record.content, record.model, record.source)
    words = [*(one for one in optional if one is not None), *(one.caption for one in record.candidates)]
    return isinstance(record.error, str | None) and all(isinstance(one, str) and _is_unicode(one) for one in words)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can name
        return False
    return True


def _has_numbers(record: PhotoRecord) -> bool:
    """Whether all numbers can be written again: JSON has no infinity and no NaN, though Python reads them."""
    optional = (record.score, record.rank, record.gallery)
    numbers = [one for one in optional if one is not None]
    numbers += [number for one in record.candidates for number in (one.score, one.log_prob)]
    numbers += [one.mean_log_prob for one in record.candidates if one.mean_log_prob is not None]
    return all(isinstance(one, int | float) and abs(one) < math.inf for one in numbers)


def json_line(values: dict[str, Any]) -> bytes:
    """A JSON line, UTF-8. A file name that is not valid Unicode keeps its bytes as escapes."""
    try:
        return (json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(values, allow_nan=False) + "\n").encode("ascii")


def not_writable(path: Path, error: OSError) -> UserError:
    """What is said when a file that is being written cannot be any more, as on a full disk."""
    return UserError(f"{path} cannot be written any more: {error.strerror}.", "Make room, then go on with --resume.")


class RecordWriter:
    """Appends records; each call reaches the operating system before it returns, so that a kill loses no line."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("ab")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.", "Name another file with --out.") from error
        self._path = path
        self._whole = True  # as far as is known

    def write(self, records: list[PhotoRecord]) -> None:
        """Append these records. A full disk is a ``UserError``; a line it tore is cut off on resume."""
        try:
            self._file.write(b"".join(record.to_line() for record in records))
            self._file.flush()
        except OSError as error:
            self._whole = False
            raise not_writable(self._path, error) from error

    def close(self) -> None:
        """Put everything on the disk and close. After a failed :meth:`write` that has been told already."""
        if self._file.closed:
            return
        try:
            self._file.flush()
            if self._whole:
                os.fsync(self._file.fileno())
        except OSError as error:
            if self._whole:
                raise not_writable(self._path, error) from error
        finally:
            with suppress(OSError):
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_records(path: Path, next_step: str = _NAME_ANOTHER) -> Iterator[PhotoRecord]:
    """The records of a file, one at a time; what a kill left of a last line is none. Any other line that is not a
    record is a ``UserError`` that names its number and says ``next_step``: the file is not ours."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if _is_torn(line):
                return
            try:
                yield PhotoRecord.from_line(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}, is not a line that Seedcap wrote.", next_step) from error


def _is_torn(line: bytes) -> bool:
    """Whether this is the beginning of a record, cut off anywhere before the end of its line."""
    if line.endswith(b"\n"):
        return False
    line = line.rstrip(b"\0")  # a power cut may leave zeros
    if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
        return False
    with suppress(ValueError):
        PhotoRecord.from_line(line)
        return True
    with suppress(ValueError, RecursionError):
        json.loads(line)
        return False  # whole, and something else
    return True


def drop_torn_line(path: Path) -> int:
    """Cut off what a kill left of a last line; returns the number of bytes dropped.

    For a file of which :func:`read_records` has read every line: in any other it would cut off somebody's last line.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            block = file.read(keep - start)
            newline = block.rfind(b"\n")
            keep = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if keep < size:
            file.truncate(keep)
        return size - keep


def rewrite(path: Path, change: Callable[[PhotoRecord], PhotoRecord | None]) -> None:
    """Write the file again with each record changed, or left out (``None``); in one move, one record at a time."""
    with replacing(path) as file:
        for record in read_records(path):
            changed = change(record)
            if changed is not None:
                file.write(changed.to_line())


def write_json_atomically(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
