"""Which photos a sentence fits best: what "finds this photo 4th" looks like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.encoders.find import library_encoder
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import JobContext
from core.library.library import Library
from core.library.near_duplicates import group_numbers
from core.library.queries import contents
from core.metrics.retrieval import ranks
from core.ranking import group_columns, starter_texts


@dataclass(frozen=True)
class FittingRequest:
    """``text``: a caption of the photo ``image_id``; ``count`` photos are wanted for it."""

    library: Path
    image_id: int
    text: str
    count: int = 6


@dataclass(frozen=True)
class Fitting:
    """The photos that ``text`` fits best, best first, near-duplicates as one. ``rank``: the place of its own photo
    among ``gallery``, as the scores count it."""

    text: str
    image_ids: tuple[int, ...]
    rank: float
    gallery: int


@dataclass(frozen=True)
class FittingReport:
    """``plain``: the same for the plain caption, where there is one that says something else."""

    caption: Fitting
    plain: Fitting | None


def fitting_job(ctx: JobContext, request: FittingRequest) -> FittingReport:
    """The nearest photos to a caption, and to the plain one, by stored vectors; nothing is embedded or written."""
    with Library.open(request.library) as library:
        encoder = library_encoder(library)
        store = VectorStore(library, encoder.fingerprint, encoder.dim)
        photos = contents(library)
        missing = set(store.missing([content for _, content in photos]))
        photos = [photo for photo in photos if photo[1] not in missing]
        ids = np.array([image_id for image_id, _ in photos], np.int64)
        own = np.flatnonzero(ids == request.image_id)
        if not len(own):
            raise UserError("This photo has not been compared with the others yet.", "Caption the library in Deliver.")
        hashes = [content for _, content in photos]
        vectors, groups = store.get(hashes), group_numbers(library, encoder.fingerprint, hashes)
        plain = starter_texts(library).get(request.image_id)
        texts = [request.text] + ([plain] if plain and plain != request.text else [])
        ctx.check_cancelled()
        cosines = np.asarray(encoder.encode_texts(texts) @ vectors.T, np.float32)
    found = [
        _fitting(text, row, ids, groups, int(own[0]), request.count) for text, row in zip(texts, cosines, strict=True)
    ]
    return FittingReport(found[0], found[1] if len(found) > 1 else None)


def _fitting(text: str, cosines: np.ndarray, ids: np.ndarray, groups: np.ndarray, own: int, count: int) -> Fitting:
    """``cosines`` and ``groups`` ``[photos]``. A group is shown by its own photo, or by the nearest of it."""
    best, column = group_columns(cosines[None], groups)
    place = ranks(best, column[own : own + 1]).mean_rank_of_ties
    shown = {int(column[own]): int(ids[own])}
    for at in np.argsort(-cosines, kind="stable"):
        shown.setdefault(int(column[at]), int(ids[at]))
    nearest = np.argsort(-best[0], kind="stable")[:count]
    return Fitting(text, tuple(shown[int(one)] for one in nearest), float(place[0]), best.shape[1])
