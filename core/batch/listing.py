"""What there is to caption in a folder, and which part of it one of several machines takes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.images.content import Stamp
from core.library.walk import FoundFile, walk

_HEAD_BYTES = 65536


@dataclass(frozen=True)
class Item:
    """A photo to caption, by the name that reports give it.

    ``reason``: why it cannot be used, where that is known already. ``content``: the hash it must have (``None``: any);
    ``stamp``: of the file when it was hashed. ``vector``: its unit vector, if that is known: then no file is read.
    ``image_id``: in a library.
    """

    file: str
    path: Path
    reason: str | None = None
    content: str | None = None
    stamp: Stamp | None = None
    vector: np.ndarray | None = None
    image_id: int = 0


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``: every photo belongs to exactly one part, by its content; what a machine cannot read
    is of every part there, since only other machines can know whose it is."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``i/n``. Parts may be counted from 0 or from 1: part n is part 0, and both ways each photo is taken once."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not count >= 1 or index > count:
            raise UserError(f"{text!r} does not say which part of how many.", "Write for example --shard 1/4.")
        return cls(index % count, count)

    def holds(self, item: Item) -> bool:
        """Whether the photo is of this part: by its size and first 64 KB, so that copies stay together; any part, if it
        cannot be read."""
        digest = hashlib.sha256()
        try:
            with item.path.open("rb") as file:
                digest.update(f"{os.fstat(file.fileno()).st_size} ".encode())
                digest.update(file.read(_HEAD_BYTES))
        except OSError:
            return True
        return self.holds_hash(digest.hexdigest())

    def holds_hash(self, content_hash: str) -> bool:
        """Whether a photo with this content hash (hexadecimal) is of this part."""
        return int(content_hash[:16], 16) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def list_folder(folder: Path, *, shard: Shard | None = None, done: Container[str] = ()) -> Iterator[Item]:
    """Every photo below ``folder``, folder by folder in order of name, and everything there that cannot be used.

    Photos whose name is in ``done`` and those of other shards are left out. What cannot be used is of every shard:
    one machine may lack what another one has, a whole folder even, and merging drops failures of what was captioned.
    """
    for entry in walk(folder):
        file = entry.relative or "."
        if file in done:
            continue
        item = Item(file, entry.path, None if isinstance(entry, FoundFile) else entry.reason)
        if shard is None or item.reason is not None or shard.holds(item):
            yield item


def count_folder(folder: Path, *, shard: Shard | None = None) -> int:
    """How many items :func:`list_folder` will give; with a shard an estimate, since only reading each photo tells."""
    number = sum(1 for _ in walk(folder))
    return number if shard is None else max(1, round(number / shard.count))
