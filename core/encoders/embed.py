"""Embedding the photos of a library that have no vector yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.encoders.encoder import Encoder
from core.encoders.store import VectorStore
from core.images.decode import ImageError
from core.images.preprocess import load_pixels
from core.jobs import JobContext
from core.library.candidates import set_error
from core.library.library import Library
from core.library.queries import contents, image_rows
from core.library.records import ImageRow
from core.library.unchanged import Stamp, load_unchanged, stamps
from core.running_out import Portion, in_portions, no_room

_BATCH = 32
_ROWS_A_SHARD = 256
_DECODERS = 2
_AHEAD = 2 * _BATCH


@dataclass(frozen=True)
class EmbedReport:
    """``embedded``: contents embedded now; ``failed``: photos that could not be read, each with its reason."""

    embedded: int
    failed: tuple[tuple[Path, str], ...]


def embed_library(
    library: Library, encoder: Encoder, ctx: JobContext, *, only: Container[str] | None = None
) -> EmbedReport:
    """Embed every usable photo whose content has no vector of ``encoder`` yet; ``only``: of these contents.

    A file that has changed since the last scan is recorded as one that cannot be used, so that no content ever gets the
    vector of another one; the next scan takes it in again.

    Two threads decode ahead while the encoder works. A photo that cannot be read gets its reason recorded and the
    others go on; of several copies of one content, each is tried until one can be read. Whatever was embedded when the
    job is cancelled is kept. Where memory does not suffice for a batch, it goes on with smaller ones.

    Raises:
        NoRoomError: not even one photo fits.
    """
    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    todo = [copies for copies in _copies(library, store) if only is None or copies[0].content_hash in only]
    known = stamps(library, [row.id for copies in todo for row in copies])
    writer, portion = _Writer(store), Portion(_BATCH)
    failed: list[tuple[Path, str]] = []
    done = embedded = 0
    ctx.progress(0, len(todo), "Looking at the photos")
    try:
        for batch in _decoded(todo, known, encoder, ctx):
            hashes: list[str] = []
            pixels: list[np.ndarray] = []
            for found in batch:
                for photo, reason in found.unreadable:
                    set_error(library, photo.id, reason)
                    failed.append((photo.path, reason))
                if found.pixels is not None:
                    hashes.append(found.content_hash)
                    pixels.append(found.pixels)
            if pixels:
                writer.add(hashes, vectors_of(encoder, pixels, portion))
            done += len(batch)
            embedded += len(pixels)
            ctx.progress(done, len(todo), "Looking at the photos")
    finally:
        writer.flush()
    return EmbedReport(embedded, tuple(failed))


def vectors_of(encoder: Encoder, pixels: Sequence[np.ndarray], portion: Portion) -> np.ndarray:
    """Unit rows ``[n, dim]``, of as many photos at once as memory has room for."""
    none_fits = no_room("Even one photo at a time", getattr(encoder, "device", "cpu"))
    parts = in_portions(pixels, portion, lambda some: encoder.encode_images(np.stack(some)), none_fits)
    return np.concatenate(list(parts))


class _Writer:
    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._hashes: list[str] = []
        self._vectors: list[np.ndarray] = []

    def add(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        self._hashes.extend(hashes)
        self._vectors.append(vectors)
        if len(self._hashes) >= _ROWS_A_SHARD:
            self.flush()

    def flush(self) -> None:
        if self._hashes:
            self._store.append(self._hashes, np.concatenate(self._vectors))
            self._hashes, self._vectors = [], []


def _copies(library: Library, store: VectorStore) -> list[list[ImageRow]]:
    """The photos of each content that has no vector yet."""
    photos = contents(library)
    missing = set(store.missing([content_hash for _, content_hash in photos]))
    copies: dict[str, list[ImageRow]] = {}
    for row in image_rows(library, [image_id for image_id, content_hash in photos if content_hash in missing]):
        copies.setdefault(row.content_hash, []).append(row)
    return list(copies.values())


@dataclass(frozen=True)
class _Found:
    """``pixels`` of the first copy that could be read; ``unreadable``: those before it, and why."""

    content_hash: str
    pixels: np.ndarray | None
    unreadable: tuple[tuple[ImageRow, str], ...]


def _decoded(
    todo: Sequence[Sequence[ImageRow]], known: Mapping[int, Stamp], encoder: Encoder, ctx: JobContext
) -> Iterator[list[_Found]]:
    """Contents with their pixels or the reasons why there are none, in batches, decoded a little ahead."""

    def load(copies: Sequence[ImageRow]) -> _Found:
        unreadable: list[tuple[ImageRow, str]] = []
        for photo in copies:
            try:
                pixels = load_unchanged(photo, known, partial(load_pixels, photo.path, encoder.preprocess))
                return _Found(photo.content_hash, pixels, tuple(unreadable))
            except ImageError as error:
                unreadable.append((photo, error.message))
        return _Found(copies[0].content_hash, None, tuple(unreadable))

    waiting: deque[Future[_Found]] = deque()
    remaining = iter(todo)
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
        try:
            while True:
                ctx.check_cancelled()
                while len(waiting) < _AHEAD and (copies := next(remaining, None)) is not None:
                    waiting.append(pool.submit(load, copies))
                if not waiting:
                    return
                yield [waiting.popleft().result() for _ in range(min(_BATCH, len(waiting)))]
        finally:
            pool.shutdown(cancel_futures=True)
