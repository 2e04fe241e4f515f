"""Embedding the photos of a library that have no vector yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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

_BATCH = 32
_ROWS_A_SHARD = 256
_DECODERS = 2
_AHEAD = 2 * _BATCH


@dataclass(frozen=True)
class EmbedReport:
    """``embedded``: contents embedded now; ``failed``: photos that could not be read, each with its reason."""

    embedded: int
    failed: tuple[tuple[Path, str], ...]


def embed_library(library: Library, encoder: Encoder, ctx: JobContext) -> EmbedReport:
    """Embed every usable photo whose content has no vector of ``encoder`` yet.

    Two threads decode ahead while the encoder works. A photo that cannot be read gets its reason recorded and the
    others go on. Whatever was embedded when the job is cancelled is kept.
    """
    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    photos = {content_hash: image_id for image_id, content_hash in contents(library)}
    todo = image_rows(library, [photos[one] for one in store.missing(list(photos))])
    writer = _Writer(store)
    failed: list[tuple[Path, str]] = []
    done = 0
    ctx.progress(0, len(todo), "Looking at the photos")
    try:
        for batch in _decoded(todo, encoder, ctx):
            hashes: list[str] = []
            pixels: list[np.ndarray] = []
            for photo, result in batch:
                if isinstance(result, ImageError):
                    set_error(library, photo.id, result.message)
                    failed.append((photo.path, result.message))
                else:
                    hashes.append(photo.content_hash)
                    pixels.append(result)
            if pixels:
                writer.add(hashes, encoder.encode_images(np.stack(pixels)))
            done += len(batch)
            ctx.progress(done, len(todo), "Looking at the photos")
    finally:
        writer.flush()
    return EmbedReport(done - len(failed), tuple(failed))


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


def _decoded(
    photos: Sequence[ImageRow], encoder: Encoder, ctx: JobContext
) -> Iterator[list[tuple[ImageRow, np.ndarray | ImageError]]]:
    """Photos with their pixels or the reason why there are none, in batches, decoded a little ahead."""

    def load(photo: ImageRow) -> np.ndarray | ImageError:
        try:
            return load_pixels(photo.path, encoder.preprocess)
        except ImageError as error:
            return error

    waiting: deque[tuple[ImageRow, Future[np.ndarray | ImageError]]] = deque()
    remaining = iter(photos)
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
        try:
            while True:
                ctx.check_cancelled()
                while len(waiting) < _AHEAD and (photo := next(remaining, None)) is not None:
                    waiting.append((photo, pool.submit(load, photo)))
                if not waiting:
                    return
                batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
                yield [(photo, future.result()) for photo, future in batch]
        finally:
            pool.shutdown(cancel_futures=True)
