"""Embeddings on disk, made once for each content and encoder.

``LIB/vectors/<fingerprint, 16 digits>/00000.npy`` and so on: each append writes a new file and never touches an old
one. Which content lies where is the ``vector`` table, committed after the file is safely on disk. So whatever the
moment of a crash, a row always points at data, and a file without rows is only wasted space.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.sqlite import insert

from core.library.library import Library
from core.library.tables import Vector

_UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder with vectors in a library: ``count`` contents, each ``dim`` numbers."""

    fingerprint: str
    dim: int
    count: int


def stored_encoders(library: Library) -> list[StoredEncoder]:
    """The encoders that have vectors in the library, the one with most of them first."""
    query = select(Vector.encoder, func.count(), func.max(Vector.shard)).group_by(Vector.encoder)
    with library.session() as session:
        rows = [(encoder, count, shard) for encoder, count, shard in session.execute(query)]
    found: list[StoredEncoder] = []
    for encoder, count, shard in rows:
        path = library.vectors_dir / encoder[:16] / _file_name(shard)
        try:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError, EOFError):
            continue
        if len(shape) == 2:
            found.append(StoredEncoder(encoder, shape[1], count))
    return sorted(found, key=lambda one: -one.count)


def _file_name(shard: int) -> str:
    return f"{shard:05d}.npy"


class VectorStore:
    """The embeddings of one encoder in one library; any thread or process may read and append."""

    def __init__(self, library: Library, encoder_fingerprint: str, dim: int) -> None:
        self._library = library
        self._encoder = encoder_fingerprint
        self._dim = dim
        self._folder = library.vectors_dir / encoder_fingerprint[:16]
        self._forget_damaged()

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """Those of ``hashes`` that have no vector yet, each once, in the order given."""
        places = self._places(hashes)
        return [one for one in dict.fromkeys(hashes) if one not in places]

    def append(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        """Keep unit ``vectors`` ``[n, dim]`` of the contents ``hashes``; one that is there already stays as it is.

        Raises ``ValueError`` for another shape, or rows that are not finite and of unit length.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.shape != (len(hashes), self._dim):
            raise ValueError(f"expected {len(hashes)} vectors of {self._dim} numbers, got {vectors.shape}")
        if not len(hashes):
            return
        norms = np.linalg.norm(vectors, axis=1)
        if not np.all(np.abs(norms - 1) < _UNIT_TOLERANCE):
            raise ValueError("every vector must be finite and of unit length")
        shard = self._write_shard(vectors)
        rows = [
            {"encoder": self._encoder, "content_hash": one, "shard": shard, "row": row}
            for row, one in enumerate(hashes)
        ]
        with self._library.writing() as session:
            session.execute(insert(Vector).on_conflict_do_nothing(), rows)

    def get(self, hashes: Sequence[str]) -> np.ndarray:
        """The vectors of ``hashes`` in this order, float32 ``[n, dim]``; ``KeyError`` names the first missing hash."""
        places = self._places(hashes)
        result = np.empty((len(hashes), self._dim), np.float32)
        wanted: dict[int, tuple[list[int], list[int]]] = {}
        for position, one in enumerate(hashes):
            if one not in places:
                raise KeyError(one)
            shard, row = places[one]
            positions, rows = wanted.setdefault(shard, ([], []))
            positions.append(position)
            rows.append(row)
        for shard, (positions, rows) in wanted.items():
            result[positions] = np.load(self._path(shard), mmap_mode="r", allow_pickle=False)[rows]
        return result

    def __len__(self) -> int:
        with self._library.session() as session:
            query = select(func.count()).select_from(Vector).where(Vector.encoder == self._encoder)
            return session.scalar(query) or 0

    def _places(self, hashes: Sequence[str]) -> dict[str, tuple[int, int]]:
        among = text("SELECT value FROM json_each(:hashes)").bindparams(hashes=json.dumps(list(hashes)))
        query = select(Vector.content_hash, Vector.shard, Vector.row)
        query = query.where(Vector.encoder == self._encoder, Vector.content_hash.in_(among))
        with self._library.session() as session:
            return {content_hash: (shard, row) for content_hash, shard, row in session.execute(query)}

    def _write_shard(self, vectors: np.ndarray) -> int:
        """A new file, complete and on disk before its name exists; returns its number."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, vectors, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            number = self._reserve_number()
            temporary.replace(self._path(number))
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self._folder)
        return number

    def _reserve_number(self) -> int:
        """The next free number, its name taken with an empty file, so that two processes never get the same one."""
        number = max((int(path.stem) for path in self._folder.glob("*.npy") if path.stem.isdigit()), default=-1) + 1
        while True:
            try:
                self._path(number).open("xb").close()
                return number
            except FileExistsError:
                number += 1

    def _path(self, shard: int) -> Path:
        return self._folder / _file_name(shard)

    def _forget_damaged(self) -> None:
        """Rows whose file is gone or not what it should be are dropped: those photos are simply embedded again."""
        query = select(Vector.shard, func.max(Vector.row)).where(Vector.encoder == self._encoder).group_by(Vector.shard)
        with self._library.session() as session:
            shards = [(shard, last) for shard, last in session.execute(query)]
        damaged = [shard for shard, last in shards if not self._is_sound(shard, last)]
        if damaged:
            with self._library.writing() as session:
                lost = (Vector.encoder == self._encoder, Vector.shard.in_(damaged))
                session.execute(delete(Vector).where(*lost))

    def _is_sound(self, shard: int, last_row: int) -> bool:
        try:
            array = np.load(self._path(shard), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == self._dim and last_row < len(array)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can (Windows cannot, and does it by itself)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
