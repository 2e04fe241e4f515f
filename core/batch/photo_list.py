"""A list of photos to caption elsewhere: written by a library, read beside a copy of its photos on another machine.

A line is ``{"content", "file", "size"}``: sha256 of the photo's file, its path below the folder that the library's
folders share, with ``/`` between its parts, and its size in bytes. Of copies one is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from core.batch.listing import Item, Shard
from core.batch.records import json_line
from core.errors import UserError
from core.library.relative import stays_inside

_HASH = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Write the list again with 'seedcap caption LIB --write-list', or take a fresh copy of it."


@dataclass(frozen=True)
class ListedPhoto:
    """A line of a list; ``size`` in bytes."""

    content: str
    file: str
    size: int

    def to_line(self) -> bytes:
        return json_line(asdict(self))


def read_list(path: Path, *, shard: Shard | None = None) -> Iterator[ListedPhoto]:
    """The photos of a list, or of a part of it. ``UserError`` names the first line that is none: work left out without
    a word would be missed only when everything is done."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    photo = _parse(line)
                except ValueError as error:
                    raise UserError(f"{path}, line {number}, names no photo: {error}.", _AGAIN) from error
                if shard is None or shard.holds_hash(photo.content):
                    yield photo
    except OSError as error:
        raise UserError(f"The list {path} cannot be read: {error.strerror}.", "Check its name.") from error


def count_listed(path: Path, *, shard: Shard | None = None) -> int:
    """How many photos :func:`read_list` gives."""
    return sum(1 for _ in read_list(path, shard=shard))


def listed_items(path: Path, folder: Path, *, shard: Shard | None = None, done: Container[str] = ()) -> Iterator[Item]:
    """The photos of a list as they lie below ``folder``, without those whose content is ``done``."""
    for photo in read_list(path, shard=shard):
        if photo.content not in done:
            yield Item(photo.file, folder / photo.file, content=photo.content)


def _parse(line: bytes) -> ListedPhoto:
    try:
        values = json.loads(line)
        photo = ListedPhoto(values["content"], values["file"], values["size"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is cut off, or of another kind") from None
    if not isinstance(photo.content, str) or not _HASH.fullmatch(photo.content):
        raise ValueError("its content is no sha256")
    if not stays_inside(photo.file):
        raise ValueError("its path leads out of the folder")
    return photo
