"""Embeddings on disk, made once for each content and encoder.

``LIB/vectors/<fingerprint, 16 digits>/00000.npy`` and so on: each append writes a new file and never touches an old
one. Which content lies where is the ``vector`` table, committed after the file is safely on disk. So whatever the
moment of a crash, a row always points at data, and a file without rows is only wasted space. A file that is gone, torn,
a link, or holds something else than vectors loses its rows when it is first looked at: its photos are embedded again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.sqlite import insert

from core.disk import sync_folder
from core.errors import UserError
from core.library.library import Library
from core.library.tables import Vector

_UNIT_TOLERANCE = 1e-2
_STALE_S = 24 * 3600


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
        array = _open_shard(_shard_folder(library, encoder), shard)
        if array is not None and array.ndim == 2:
            found.append(StoredEncoder(encoder, array.shape[1], count))
    return sorted(found, key=lambda one: -one.count)


def _file_name(shard: int) -> str:
    return f"{shard:05d}.npy"


def _shard_folder(library: Library, encoder: str) -> Path:
    """Where an encoder's vectors lie. A fingerprint that is none (a stranger's database may say ``..``) is hashed."""
    name = str(encoder)[:16]
    if not name.isalnum():
        name = hashlib.sha256(str(encoder).encode("utf-8", "replace")).hexdigest()[:16]
    return library.vectors_dir / name


def _open_shard(folder: Path, shard: int) -> np.ndarray | None:
    """The vectors of a file, not read yet; ``None`` when it is gone, torn, a link out of the library, or no array."""
    if not isinstance(shard, int) or folder.is_symlink():
        return None
    path = folder / _file_name(shard)
    try:
        if path.is_symlink():
            return None
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


class VectorStore:
    """The embeddings of one encoder in one library; any thread or process may read and append."""

    def __init__(self, library: Library, encoder_fingerprint: str, dim: int) -> None:
        self._library = library
        self._encoder = self.fingerprint = encoder_fingerprint
        self._dim = dim
        self._folder = _shard_folder(library, encoder_fingerprint)
        self._read: set[int] = set()
        self._forget_damaged()
        self._clear_unfinished()

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """Those of ``hashes`` that have no vector yet, each once, in the order given."""
        places = self._places(hashes)
        spoiled = {
            shard for shard in {shard for shard, _ in places.values()} - self._read if not self._holds_vectors(shard)
        }
        if spoiled:
            self._forget(spoiled)
        return [one for one in dict.fromkeys(hashes) if one not in places or places[one][0] in spoiled]

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
            array = _open_shard(self._folder, shard)
            if array is None or array.ndim != 2 or array.shape[1] != self._dim or max(rows) >= len(array):
                self._forget([shard])
                raise UserError(
                    f"Vectors of the library {self._library.name} are gone or damaged ({self._path(shard).name}).",
                    "Start again: the photos that they belong to are looked at once more.",
                )
            result[positions] = array[rows]
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
        try:
            return self._write(vectors)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise UserError(
                f"The vectors of {self._library.name} cannot be written: "
                + ("the disk is full; what was saved before is safe." if full else f"{error.strerror}."),
                "Free some space and try again." if full else f"Check the rights of {self._folder}.",
            ) from error

    def _write(self, vectors: np.ndarray) -> int:
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
        sync_folder(self._folder)
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
            self._forget(damaged)

    def _forget(self, shards: Iterable[int]) -> None:
        with self._library.writing() as session:
            session.execute(delete(Vector).where(Vector.encoder == self._encoder, Vector.shard.in_(list(shards))))

    def _is_sound(self, shard: int, last_row: int) -> bool:
        """By its header and its length; what it holds is looked at when it is first needed."""
        array = _open_shard(self._folder, shard)
        if array is None or not isinstance(last_row, int):
            return False
        return array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == self._dim and last_row < len(array)

    def _holds_vectors(self, shard: int) -> bool:
        """Whether every row is of unit length: a power cut may leave a file of the right length, full of zeros."""
        array = _open_shard(self._folder, shard)
        if array is None or array.ndim != 2 or array.shape[1] != self._dim:
            return False
        self._read.add(shard)
        return bool(np.all(np.abs(np.linalg.norm(array, axis=1) - 1) < _UNIT_TOLERANCE))

    def _clear_unfinished(self) -> None:
        """Remove what a crash left of files that never got their name; those of today may belong to another process."""
        for left in self._folder.glob("*.part"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_S:
                    left.unlink()
