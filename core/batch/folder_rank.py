"""The rank of each caption's photo among all photos of the folder, computed once all of them are captioned.

While a folder is captioned, the vectors of photos and captions go to a file beside the output, so that memory stays
the same however many photos there are and a stopped job loses none of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.batch.records import PhotoRecord, not_writable, read_records, rewrite
from core.encoders.search import duplicate_groups
from core.jobs import JobContext
from core.ranking import rank_of

_CHUNK_CELLS = 1 << 24


class VectorFile:
    """Rows of (file name's hash, photo vector, caption vector), appended; the last row of a file counts."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self._row = np.dtype([("file", "V16"), ("photo", "<f4", (dim,)), ("caption", "<f4", (dim,))])
        if path.exists():  # a kill may have left part of a row
            whole = path.stat().st_size // self._row.itemsize * self._row.itemsize
            with path.open("r+b") as file:
                file.truncate(whole)

    def append(self, names: Sequence[str], photos: np.ndarray, captions: np.ndarray) -> None:
        rows = np.zeros(len(names), self._row)
        rows["file"] = [np.void(_key(name)) for name in names]
        rows["photo"], rows["caption"] = photos, captions
        try:
            with self.path.open("ab") as file:
                file.write(rows.tobytes())
        except OSError as error:
            raise not_writable(self.path, error) from error

    def rows(self) -> np.ndarray:
        """All rows, mapped and not read."""
        if not self.path.exists() or not self.path.stat().st_size:
            return np.zeros(0, self._row)
        return np.memmap(self.path, self._row, mode="r")

    def places(self) -> dict[bytes, int]:
        """Row number by the hash of the file name."""
        return {bytes(key): at for at, key in enumerate(self.rows()["file"])}

    def knows(self, name: str, places: dict[bytes, int]) -> bool:
        """Whether a photo of this name has a row, by the result of :meth:`places`."""
        return _key(name) in places

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _key(name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()


def rank_captions(ctx: JobContext, out: Path, vectors: VectorFile) -> int:
    """Write ``rank`` and ``gallery`` into every record of ``out`` that has a caption and vectors; returns the gallery.

    The gallery is the number of photos, near-duplicates counted once; ranks start at 1, ties share their mean.
    """
    places, rows = vectors.places(), vectors.rows()
    names = [record.file for record in read_records(out) if record.caption is not None]
    names = [name for name in names if _key(name) in places]
    if not names:
        return 0
    own = np.array([places[_key(name)] for name in names])
    photos = np.ascontiguousarray(rows["photo"][own])
    ctx.progress(0, None, "Comparing the photos")
    groups = duplicate_groups(photos)
    gallery = len(np.unique(groups))
    ranks: dict[str, float] = {}
    step = max(1, _CHUNK_CELLS // len(photos))
    for start in range(0, len(names), step):
        ctx.check_cancelled()
        ctx.progress(start, len(names), "Ranking the captions")
        chunk = np.arange(start, min(start + step, len(names)))
        similarities = rows["caption"][own[chunk]] @ photos.T
        ranks |= zip(names[start : start + step], rank_of(similarities, chunk, groups).tolist(), strict=True)
    del rows
    ctx.progress(len(names), len(names), "Ranking the captions")

    def ranked(record: PhotoRecord) -> PhotoRecord:
        rank = ranks.get(record.file)
        return record if rank is None else record.with_rank(rank, gallery)

    rewrite(out, ranked)
    return gallery
