"""What a training learns from, written down in its run folder, so that it goes on with the same whatever came since."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.training.data import CaptionedVectors, TrainingData
from core.training.runfolder import write_text

if TYPE_CHECKING:
    from core.encoders.store import VectorStore

SNAPSHOT = "learned_from.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Photo:
    """A photo of a training set by its id in the library and its content; ``captions`` where it is a seed."""

    id: int
    content_hash: str
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """The photos, the captions and the split; vectors are found again by content."""

    seeds: tuple[Photo, ...]
    held_seeds: tuple[Photo, ...]
    unlabelled: tuple[Photo, ...]
    gallery: tuple[Photo, ...]
    texts: tuple[str, ...]

    def hashes(self) -> list[str]:
        parts = (self.seeds, self.held_seeds, self.unlabelled, self.gallery)
        return [photo.content_hash for part in parts for photo in part]

    def data(self, store: VectorStore) -> TrainingData:
        """The training data, in the order it had. ``KeyError`` where a vector is missing."""
        return TrainingData(
            seeds=_captioned(self.seeds, store),
            held_seeds=_captioned(self.held_seeds, store),
            unlabelled=_vectors(self.unlabelled, store),
            unlabelled_ids=_ids(self.unlabelled),
            gallery=_vectors(self.gallery, store),
            gallery_ids=_ids(self.gallery),
            texts=self.texts,
        )


def take_snapshot(data: TrainingData, hashes: Mapping[int, str]) -> Snapshot:
    """``hashes``: the content of every photo of ``data`` by its id."""

    def seeds(part: CaptionedVectors) -> tuple[Photo, ...]:
        return tuple(Photo(int(one), hashes[int(one)], c) for one, c in zip(part.ids, part.captions, strict=True))

    def photos(ids: np.ndarray) -> tuple[Photo, ...]:
        return tuple(Photo(int(one), hashes[int(one)]) for one in ids)

    return Snapshot(
        seeds(data.seeds), seeds(data.held_seeds), photos(data.unlabelled_ids), photos(data.gallery_ids), data.texts
    )


def write_snapshot(run: Path, snapshot: Snapshot) -> None:
    """Write it to the run folder, whole or not at all."""
    document: dict[str, Any] = {"schema_version": _SCHEMA, "texts": snapshot.texts}
    for name in ("seeds", "held_seeds", "unlabelled", "gallery"):
        photos: Sequence[Photo] = getattr(snapshot, name)
        document[name] = [[one.id, one.content_hash, *([one.captions] if one.captions else [])] for one in photos]
    write_text(run / SNAPSHOT, json.dumps(document, ensure_ascii=False))


def read_snapshot(run: Path) -> Snapshot | None:
    """What :func:`write_snapshot` wrote; ``None`` where a training of an earlier version wrote nothing.

    Raises:
        UserError: the file is damaged.
    """
    file = run / SNAPSHOT
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema_version"] != _SCHEMA:
            raise ValueError(f"it has version {document['schema_version']!r}")
        parts = (tuple(map(_photo, document[n])) for n in ("seeds", "held_seeds", "unlabelled", "gallery"))
        return Snapshot(*parts, texts=tuple(str(one) for one in document["texts"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"The training cannot go on: {file} is damaged ({error}).", "Start a new training.", topic="begin anew"
        ) from error


def _photo(row: Any) -> Photo:
    number, content_hash, *captions = row
    return Photo(int(number), str(content_hash), tuple(str(one) for one in captions[0]) if captions else ())


def _ids(photos: Sequence[Photo]) -> np.ndarray:
    return np.array([photo.id for photo in photos], np.int64)


def _vectors(photos: Sequence[Photo], store: VectorStore) -> np.ndarray:
    return store.get([photo.content_hash for photo in photos])


def _captioned(photos: Sequence[Photo], store: VectorStore) -> CaptionedVectors:
    return CaptionedVectors(_ids(photos), _vectors(photos, store), tuple(photo.captions for photo in photos))
