"""Finding photos by words, and finding the photos worth labelling next: jobs over a library's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.batch.bundles import filled_starter
from core.batch.doubts import model_doubts
from core.encoders.embed import embed_library
from core.encoders.encoder import Encoder
from core.encoders.load import load_encoder
from core.encoders.search import cover, top_k
from core.encoders.store import VectorStore, stored_encoders
from core.errors import UserError
from core.jobs import JobContext
from core.library.filters.nodes import EVERYTHING
from core.library.filters.parser import parse
from core.library.library import Library
from core.library.queries import contents, image_ids, image_rows, seeds
from core.library.records import ImageRow
from core.library.runs import current_run, encoder_name
from core.library.splits import held_out
from core.onnx.bundle import BundleError

STARTER = "starter"
_ASKED, _ASKED_EACH = 64, 6
"""Photos the model is asked about: so many at least, and so many for each one wanted."""
_CELLS = 1 << 24


@dataclass(frozen=True)
class SearchRequest:
    """``text``: what the photos should show; at most ``count`` are wanted, of those for which ``filter`` holds."""

    library: Path
    text: str
    count: int = 20
    filter: str = ""


@dataclass(frozen=True)
class Hit:
    """A photo found, and the cosine between it and the words."""

    image_id: int
    path: Path
    cosine: float


@dataclass(frozen=True)
class SearchReport:
    """``hits``: best first; ``photos``: how many were searched; ``failed``: those that could not be read, and why."""

    hits: tuple[Hit, ...]
    photos: int
    failed: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class SimilarRequest:
    """Which photos are most like the photo ``image_id``; at most ``count`` besides itself."""

    library: Path
    image_id: int
    count: int = 20


@dataclass(frozen=True)
class SuggestRequest:
    """``count``: how many photos to suggest. ``unsure``: count what the library's model is unsure of for more."""

    library: Path
    count: int = 10
    unsure: bool = True


@dataclass(frozen=True)
class SuggestReport:
    """``photos``: what to label next, most useful first; ``labelled``: how many photos are labelled already.

    ``doubts``: for each of ``photos`` how unsure the model is of its own caption, in nats a token; empty where no model
    was asked.
    """

    photos: tuple[ImageRow, ...]
    labelled: int
    failed: tuple[tuple[Path, str], ...] = ()
    doubts: tuple[float, ...] = ()


def search_job(ctx: JobContext, request: SearchRequest) -> SearchReport:
    """The photos nearest to the words; photos that have no vector yet are embedded first."""
    _require_positive(request.count)
    text = " ".join(request.text.split())
    if not text:
        raise UserError("There are no words to search for.", "Write what the photos should show.")
    wanted = parse(request.filter)
    with Library.open(request.library) as library:
        encoder = library_encoder(library)
        failed = embed_library(library, encoder, ctx).failed
        store = VectorStore(library, encoder.fingerprint, encoder.dim)
        photos = _with_vectors(library, store)
        if wanted != EVERYTHING:
            fitting = set(image_ids(library, filter=wanted).tolist())
            photos = [photo for photo in photos if photo[0] in fitting]
        vectors = store.get([content_hash for _, content_hash in photos])
        indices, cosines = top_k(encoder.encode_texts([text])[0], vectors, request.count)
        hits = _hits(library, [photos[one][0] for one in indices], cosines)
    return SearchReport(hits, len(photos), failed)


def similar_job(ctx: JobContext, request: SimilarRequest) -> SearchReport:
    """The photo itself, then those nearest to it by whatever vectors there are: no model is loaded where all have one.

    Raises:
        UserError: the photo cannot be used, so it has no vector.
    """
    _require_positive(request.count)
    with Library.open(request.library) as library:
        store, failed = _any_store(library, ctx)
        photos = _with_vectors(library, store)
        ids = [image_id for image_id, _ in photos]
        if request.image_id not in ids:
            raise UserError(
                "This photo cannot be compared: it could not be read, or is no longer there.", "Choose another one."
            )
        own = ids.index(request.image_id)
        vectors = store.get([content_hash for _, content_hash in photos])
        indices, cosines = top_k(vectors[own], vectors, request.count + 1)
        others = [at for at, index in enumerate(indices) if index != own][: request.count]  # a copy may come before it
        found = [request.image_id, *(ids[indices[at]] for at in others)]
        hits = _hits(library, found, np.concatenate([[1.0], cosines[others]]))
    return SearchReport(hits, len(photos), failed)


def _hits(library: Library, found: Sequence[int], cosines: np.ndarray) -> tuple[Hit, ...]:
    rows = {row.id: row for row in image_rows(library, found)}
    pairs = zip(found, cosines, strict=True)
    return tuple(Hit(one, rows[one].path, float(cosine)) for one, cosine in pairs if one in rows)


def suggest_job(ctx: JobContext, request: SuggestRequest) -> SuggestReport:
    """The unlabelled photos that, together with the labelled ones, cover the library best.

    Once a model was trained, photos it is unsure of, and those like them, count for more: of several times as many
    photos as are wanted it says what they show, and how sure it is decides how much it is worth to cover their like.
    """
    _require_positive(request.count)
    with Library.open(request.library) as library:
        store, failed = _any_store(library, ctx)
        photos = _with_vectors(library, store)
        labelled = {seed.content_hash for seed in seeds(library)}
        done = labelled | held_out(library)
        vectors = store.get([content_hash for _, content_hash in photos])
        allowed = np.zeros(len(photos), bool)
        chosen: list[int] = []
        seen: set[str] = set()
        for place, (_, content_hash) in enumerate(photos):
            if content_hash in seen:
                continue  # of several copies one is enough
            seen.add(content_hash)
            if content_hash in done:
                chosen.append(place)
            else:
                allowed[place] = True
        asked = cover(vectors, max(_ASKED, _ASKED_EACH * request.count), chosen=chosen, allowed=allowed)
        doubts = model_doubts(library, store.fingerprint, vectors[asked], ctx) if request.unsure else None
        picked, said = asked[: request.count], ()
        if doubts is not None:
            only = np.zeros(len(photos), bool)
            only[asked] = True
            weights = doubt_weights(vectors, vectors[asked], doubts)
            picked = cover(vectors, request.count, chosen=chosen, allowed=only, weights=weights)
            known = dict(zip(asked.tolist(), doubts.tolist(), strict=True))
            said = tuple(known[int(one)] for one in picked)
        rows = image_rows(library, [photos[one][0] for one in picked])
    return SuggestReport(tuple(rows), len(labelled), failed, said)


def doubt_weights(vectors: np.ndarray, asked: np.ndarray, doubts: np.ndarray) -> np.ndarray:
    """What covering each of ``vectors`` ``[n, dim]`` is worth: the ``doubts`` ``[m]`` of the nearest of ``asked``
    ``[m, dim]``, as multiples of their mean, from a quarter to four."""
    relative = np.clip(doubts / max(float(doubts.mean()), 1e-6), 0.25, 4.0)
    step = max(1, _CELLS // max(1, len(asked)))
    nearest = [(vectors[at : at + step] @ asked.T).argmax(axis=1) for at in range(0, len(vectors), step)]
    return relative[np.concatenate(nearest)]


def library_encoder(library: Library) -> Encoder:
    """The encoder that this library is captioned and searched with: its current run's, else the starter's.

    Taken from an exported bundle where there is one (no torch then), else loaded by its name.
    """
    run = current_run(library)
    name = encoder_name(run)
    bundle = _bundled(library.bundles_dir / run.id) if run else None
    if bundle is None and name == STARTER:
        made = filled_starter()
        bundle = _bundled(made) if made else None
    if bundle is not None:
        return bundle
    return load_encoder(name)


def _require_positive(count: int) -> None:
    if count < 1:
        raise UserError(f"{count} photos cannot be found.", "Ask for at least one.")


def _with_vectors(library: Library, store: VectorStore) -> list[tuple[int, str]]:
    """``(image_id, content_hash)`` of the usable photos with a vector: a scan may bring others in at any time."""
    photos = contents(library)
    missing = set(store.missing([content_hash for _, content_hash in photos]))
    return [photo for photo in photos if photo[1] not in missing]


def _any_store(library: Library, ctx: JobContext) -> tuple[VectorStore, tuple[tuple[Path, str], ...]]:
    """Vectors of every photo, of whatever encoder has them; only when none has are photos embedded."""
    hashes = [content_hash for _, content_hash in contents(library)]
    for stored in stored_encoders(library):
        store = VectorStore(library, stored.fingerprint, stored.dim)
        if not store.missing(hashes):
            return store, ()
    ctx.progress(0, len(hashes), "Looking at the photos")  # getting the encoder ready takes seconds
    encoder = library_encoder(library)
    report = embed_library(library, encoder, ctx)
    return VectorStore(library, encoder.fingerprint, encoder.dim), report.failed


def _bundled(folder: Path) -> Encoder | None:
    if not (folder / "manifest.json").is_file():
        return None
    from core.onnx.session import open_bundle

    try:
        return open_bundle(folder).encoder
    except BundleError:
        return None  # a damaged export is no reason not to search; captioning says so and exports it again
