"""How well a caption tells its photo apart from the rest of the library.

Three figures for a caption, all from cosines between its vector (with the encoder's prompt) and the photos':

* CLIP-S = 2.5 · max(cos to its own photo, 0); captions are ordered by 2.5 · cos.
* Rank: the place of its own photo when all photos are sorted by nearness to the caption; 1 is best. Photos that are
  near-duplicates of each other (cosine above 0.97, chains included) are one entry, as near as the nearest of them:
  finding any of them is finding the photo. Ties share their mean rank. The gallery is the number of such entries.
* Distinctiveness: cos to its own photo minus the mean cos to that photo's ten nearest neighbours (near-duplicates left
  out). Above 0 it fits its photo better than the look-alikes; a sentence that fits them all alike is near 0.

The database is imported by the job alone, so that ranking a folder without a library does not load it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.encoders.encoder import NONE_TOO_LONG, Encoder, TooLong, sharpness, too_long
from core.encoders.load import load_encoder
from core.jobs import JobContext
from core.library.records import CaptionRow, ScoreRow
from core.metrics.clip_score import fit
from core.metrics.retrieval import ranks

if TYPE_CHECKING:
    from core.library.library import Library

NEIGHBOURS = 10
_TEXTS_A_STEP = 256
_CHUNK_CELLS = 1 << 24


@dataclass(frozen=True)
class RankRequest:
    """``encoder``: a name; default that of the library's current run, else ``starter``. ``bundle``: use the encoder of
    this ONNX bundle instead, without torch. ``caption_ids``: score these only (an edit), if the scores shown are of the
    same encoder and photos. ``plain``: the sentence each photo's captions are compared with, by photo id; default what
    the starter model says about it."""

    library: Path
    encoder: str | None = None
    bundle: Path | None = None
    caption_ids: tuple[int, ...] | None = None
    plain: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RankReport:
    """Means over the captions scored. ``r1``: percent that find their photo first; ``mrr`` in 0..1."""

    captions: int
    photos: int
    gallery_size: int
    encoder: str
    clip_s: float
    r1: float
    mrr: float
    failed: tuple[tuple[Path, str], ...] = ()
    too_long: TooLong = NONE_TOO_LONG


# --- arrays in, arrays out ---


def group_columns(similarities: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join near-duplicate columns of ``[n, photos]`` by their highest value.

    ``groups`` ``[photos]`` is a group number for each photo. Returns ``[n, groups]`` and each photo's column there.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]])
    column = np.empty(len(groups), np.int64)
    column[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(groups)]))
    if len(starts) == len(groups) and np.array_equal(order, np.arange(len(groups))):
        return similarities, column
    return np.maximum.reduceat(similarities[:, order], starts, axis=1), column


def rank_of(similarities: np.ndarray, own: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Mean rank of ties ``[n]`` of each caption's own photo among all.

    ``similarities`` ``[n, photos]``; ``own`` ``[n]`` the column of each caption's photo; ``groups`` ``[photos]``
    near-duplicate groups, which count as one (default: every photo for itself).
    """
    if groups is not None:
        similarities, column = group_columns(similarities, groups)
        own = column[own]
    return ranks(similarities, own).mean_rank_of_ties


def neighbours_outside(vectors: np.ndarray, rows: np.ndarray, groups: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The ``k`` photos nearest to each of ``rows`` that are not of its own near-duplicate group.

    ``vectors`` ``[photos, dim]`` unit rows. Returns int64 ``[len(rows), k]``, filled up with -1 where fewer are left.
    """
    cosines = vectors[rows] @ vectors.T
    cosines[groups[rows][:, None] == groups[None, :]] = -np.inf
    k_here = min(k, len(vectors))
    nearest = np.argpartition(-cosines, k_here - 1, axis=1)[:, :k_here]
    found = np.full((len(rows), k), -1, np.int64)
    found[:, :k_here] = np.where(np.isfinite(np.take_along_axis(cosines, nearest, axis=1)), nearest, -1)
    return found


def distinctiveness(similarities: np.ndarray, own: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Cosine to the own photo minus the mean cosine to its neighbours, ``[n]``; NaN where it has none.

    ``similarities`` ``[n, photos]``, ``own`` ``[n]``, ``neighbours`` ``[n, k]`` columns, -1 for none.
    """
    there = neighbours >= 0
    values = np.where(there, np.take_along_axis(similarities, np.maximum(neighbours, 0), axis=1), 0.0)
    number = there.sum(axis=1)
    mean = np.divide(values.sum(axis=1), number, out=np.full(len(own), np.nan), where=number > 0)
    return np.take_along_axis(similarities, own[:, None], axis=1)[:, 0] - mean


def score_texts(texts: np.ndarray, own: np.ndarray, photos: np.ndarray, groups: np.ndarray) -> list[ScoreRow]:
    """Scores of captions against a gallery, without the plain caption's rank; holds all n times m cosines.

    ``texts`` ``[n, dim]`` and ``photos`` ``[m, dim]`` unit rows, ``own`` ``[n]`` the photo of each caption, ``groups``
    ``[m]`` near-duplicate groups.
    """
    gallery = len(np.unique(groups))
    similarities = texts @ photos.T
    place = rank_of(similarities, own, groups)
    margin = distinctiveness(similarities, own, neighbours_outside(photos, own, groups))
    score = fit(np.take_along_axis(similarities, own[:, None], axis=1)[:, 0])
    columns = zip(score.tolist(), place.tolist(), margin.tolist(), strict=True)
    return [ScoreRow(s, r, gallery, None, None if np.isnan(d) else d) for s, r, d in columns]


# --- words ---


def ordinal(number: int) -> str:
    """``first``, ``second``, ``third``, ``4th``, ``22nd``, ``1,001st``."""
    words = {1: "first", 2: "second", 3: "third"}
    if number in words:
        return words[number]
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def sentence(score: ScoreRow) -> str:
    """What a person can check: "finds this photo first of 4,812; the plain caption finds it 37th"."""
    if score.gallery_size <= 1:
        return "there is no other photo to tell this one apart from"
    text = f"finds this photo {ordinal(round(score.rank))} of {score.gallery_size:,}"
    if score.plain_rank is None:
        return text
    if round(score.plain_rank) == round(score.rank):
        return f"{text}; so does the plain caption"
    return f"{text}; the plain caption finds it {ordinal(round(score.plain_rank))}"


# --- the job ---


def rank_job(ctx: JobContext, request: RankRequest) -> RankReport:
    """Score every live caption of a library and show the scores, all at once."""
    from core.library.library import Library

    with Library.open(request.library) as library:
        encoder = _encoder(library, request)
        if request.caption_ids is None and not request.plain:
            from core.batch.plain import write_plain_captions

            write_plain_captions(ctx, library)
        return rank_library(library, encoder, ctx, caption_ids=request.caption_ids, plain=request.plain)


def rank_library(
    library: Library,
    encoder: Encoder,
    ctx: JobContext,
    *,
    caption_ids: Iterable[int] | None = None,
    plain: Mapping[int, str] | None = None,
) -> RankReport:
    """Score the captions of an open library with ``encoder``; photos without a vector are embedded first.

    ``plain``: see :class:`RankRequest`; by default what the starter has said so far.
    """
    from core.encoders.embed import embed_library
    from core.encoders.store import VectorStore
    from core.library.near_duplicates import group_numbers, update_groups
    from core.library.queries import all_captions, images_of
    from core.library.scores import gallery_version, write_scores

    embedded = embed_library(library, encoder, ctx)
    version = gallery_version(library)
    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    images = images_of(library)
    unseen = set(store.missing([image.content_hash for image in images]))  # came in since the photos were embedded
    images = [image for image in images if image.content_hash not in unseen]
    captions = _wanted(all_captions(library, states=("accepted", "candidate", "rejected")), caption_ids)
    position = {image.id: index for index, image in enumerate(images)}
    captions = [caption for caption in captions if caption.image_id in position]
    if not captions:
        return RankReport(0, 0, len(images), encoder.id, 0.0, 0.0, 0.0, embedded.failed)
    photos = store.get([image.content_hash for image in images])
    ctx.progress(0, None, "Comparing the photos")
    update_groups(library, encoder.fingerprint, encoder.dim, ctx)
    groups = group_numbers(library, encoder.fingerprint, [image.content_hash for image in images])
    plain_texts = dict(plain or {}) or starter_texts(library)
    about = {caption.image_id for caption in captions}
    plain_texts = {image_id: text for image_id, text in plain_texts.items() if image_id in about}

    texts = [caption.text for caption in captions] + list(plain_texts.values())
    own = np.array([position[c.image_id] for c in captions] + [position[i] for i in plain_texts], np.int64)
    scored = _score_in_steps(_text_vectors(texts, encoder, ctx), own, photos, groups, ctx)
    plain_rank = {i: row.rank for i, row in zip(plain_texts, scored[len(captions) :], strict=True)}
    rows = {
        caption.id: row
        if plain_texts.get(caption.image_id) == caption.text  # it is the plain one
        else replace(row, plain_rank=plain_rank.get(caption.image_id))
        for caption, row in zip(captions, scored[: len(captions)], strict=True)
    }
    ctx.check_cancelled()
    write_scores(
        library,
        encoder.fingerprint,
        rows,
        gallery_version=version,
        complete=caption_ids is None,
        sharpness=sharpness(encoder),
    )
    report = _report(rows.values(), len(about), encoder.id, embedded.failed)
    return replace(report, too_long=too_long(encoder, [caption.text for caption in captions]))


def _wanted(captions: Mapping[int, list[CaptionRow]], ids: Iterable[int] | None) -> list[CaptionRow]:
    every = [caption for group in captions.values() for caption in group]
    if ids is None:
        return every
    chosen = {int(one) for one in ids}
    return [caption for caption in every if caption.id in chosen]


def _text_vectors(texts: Sequence[str], encoder: Encoder, ctx: JobContext) -> np.ndarray:
    """Unit rows ``[n, dim]`` with the prompt; each distinct text is encoded once."""
    distinct = list(dict.fromkeys(texts))
    parts = []
    for start in range(0, len(distinct), _TEXTS_A_STEP):
        ctx.check_cancelled()
        ctx.progress(start, len(distinct), "Reading the captions")
        parts.append(encoder.encode_texts(distinct[start : start + _TEXTS_A_STEP]))
    ctx.progress(len(distinct), len(distinct), "Reading the captions")
    row = {text: index for index, text in enumerate(distinct)}
    return np.concatenate(parts)[[row[text] for text in texts]]


def _score_in_steps(
    texts: np.ndarray, own: np.ndarray, photos: np.ndarray, groups: np.ndarray, ctx: JobContext
) -> list[ScoreRow]:
    rows: list[ScoreRow] = []
    step = max(1, _CHUNK_CELLS // len(photos))
    for start in range(0, len(texts), step):
        ctx.check_cancelled()
        ctx.progress(start, len(texts), "Ranking the captions")
        rows += score_texts(texts[start : start + step], own[start : start + step], photos, groups)
    ctx.progress(len(texts), len(texts), "Ranking the captions")
    return rows


def _report(rows: Iterable[ScoreRow], photos: int, encoder: str, failed: tuple[tuple[Path, str], ...]) -> RankReport:
    scores = list(rows)
    place = np.array([row.rank for row in scores])
    return RankReport(
        captions=len(scores),
        photos=photos,
        gallery_size=scores[0].gallery_size,
        encoder=encoder,
        clip_s=float(np.mean([row.clip_s for row in scores])),
        r1=float(100 * np.mean(place <= 1)),
        mrr=float(np.mean(1 / place)),
        failed=failed,
    )


def starter_texts(library: Library) -> dict[int, str]:
    """What the starter model said about each photo: as a candidate, also where another caption has replaced it, or
    else to be compared with."""
    from sqlalchemy import select

    from core.batch.plain import plain_captions
    from core.library.tables import Caption

    with library.session() as session:
        query = select(Caption.image_id, Caption.text).where(Caption.author == "run", Caption.run_id.is_(None))
        candidates = {row.image_id: row.text for row in session.execute(query.order_by(Caption.id))}
    return plain_captions(library) | candidates


def _encoder(library: Library, request: RankRequest) -> Encoder:
    if request.bundle is not None:
        from core.onnx.session import open_bundle

        return open_bundle(request.bundle).encoder
    return load_encoder(request.encoder or library_encoder(library))


def library_encoder(library: Library) -> str:
    """The encoder's name that the library's current model was trained with; ``starter`` before the first training."""
    from core.library.runs import current_run, encoder_name

    return encoder_name(current_run(library))
