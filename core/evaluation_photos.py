"""The part of an evaluation that looks at the photos: scores of an encoder, retrieval, and what nothing supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.encoders.encoder import Encoder
from core.encoders.search import neighbours
from core.errors import UserError
from core.exchange.evaluation_files import find_photo, photos_by_name
from core.images.decode import ImageError
from core.images.preprocess import load_pixels
from core.jobs import JobContext
from core.metrics.bootstrap import Interval, bootstrap_mean
from core.metrics.cider import CiderD
from core.metrics.clip_score import clip_s, ref_clip_s, row_cosines
from core.metrics.contrastive import both_directions, log_p_own_photo
from core.metrics.diversity import cider_between
from core.metrics.retrieval import bag_ranks, ranks
from core.metrics.word_guards import Unsupported, unseen_words, unsupported_words

BAG = 9
"""Others in a bag, of the 4 to 20 that are in use: chance is one in ten."""
SIMILAR = 5
"""Photos that CIDErBtw compares with."""
_SMALLEST_BAG = 4
_BATCH = 32


@dataclass(frozen=True)
class Rows:
    """Captions and what belongs to them, place by place; ``seeds``: all texts whose words count as known."""

    names: list[str]
    captions: list[str]
    references: list[list[str]]
    seeds: list[str]

    def only(self, places: Sequence[int]) -> Rows:
        names, captions = [self.names[i] for i in places], [self.captions[i] for i in places]
        return Rows(names, captions, [self.references[i] for i in places], self.seeds)


@dataclass
class PhotoScores:
    """``review``: by file name, words that no seed has and the photo does not support; ``left_out``: what could not be
    measured and why, a sentence each; ``failed``: photos that could not be read."""

    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    review: dict[str, list[Unsupported]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def score_photos(ctx: JobContext, folder: Path, encoder: Encoder, rows: Rows) -> PhotoScores:
    """CLIP-S, RefCLIP-S with the encoder's prompt; retrieval among the scored photos and bags without it."""
    scores = PhotoScores()
    images, read = _image_vectors(ctx, folder, encoder, rows.names, scores.failed)
    if not len(read):
        raise UserError(f"None of the photos could be read from {folder}.", "Check the folder given with --images.")
    rows = rows.only(read)
    ctx.progress(0, None, "Reading the captions")
    prompted = encoder.encode_texts(rows.captions)
    _clip_scores(scores, encoder, rows, images, prompted)
    ctx.check_cancelled()
    plain = encoder.encode_texts(rows.captions, prompt=False)
    _retrieval(scores, images, plain)
    _against_similar(scores, rows, images, plain)
    ctx.check_cancelled()
    _review(scores, encoder, rows, images)
    return scores


def _clip_scores(scores: PhotoScores, encoder: Encoder, rows: Rows, images: np.ndarray, prompted: np.ndarray) -> None:
    owner = np.repeat(np.arange(len(rows.names)), [len(group) for group in rows.references])
    references = encoder.encode_texts([text for group in rows.references for text in group])
    clip = clip_s(row_cosines(images, prompted))
    scores.metrics["clip_s"] = float(clip.mean())
    scores.metrics["ref_clip_s"] = float(ref_clip_s(clip, prompted, references, owner).mean())
    scores.intervals["clip_s"] = bootstrap_mean(clip)
    count = getattr(encoder, "count_too_long", None)
    if count is None:
        scores.left_out["too long"] = f"captions too long for the encoder: {encoder.id} does not count tokens"
    else:
        scores.metrics["too_long"] = count(rows.captions) / len(rows.captions)


def _retrieval(scores: PhotoScores, images: np.ndarray, plain: np.ndarray) -> None:
    cosines = plain @ images.T
    own = np.arange(len(images))
    to_image, to_text = ranks(cosines, own), ranks(cosines.T, own)
    scores.metrics["gallery"] = float(len(images))
    scores.metrics |= {f"{key}_t2i": value for key, value in to_image.summary().items()}
    scores.metrics |= {f"{key}_i2t": value for key, value in to_text.summary().items()}
    scores.metrics["contrastive"] = float(log_p_own_photo(cosines).mean())
    if len(images) > 1:
        scores.metrics["contrastive_both"] = float(both_directions(cosines).mean())
    scores.intervals["mrr_t2i"] = bootstrap_mean(to_image.reciprocal())
    scores.intervals["r1_t2i"] = bootstrap_mean(100 * to_image.hits(1))


def _against_similar(scores: PhotoScores, rows: Rows, images: np.ndarray, plain: np.ndarray) -> None:
    bags = neighbours(images, BAG)
    full = np.flatnonzero((bags >= 0).sum(axis=1) >= _SMALLEST_BAG)
    if not len(full):
        scores.left_out["bags"] = f"bags: no photo has {_SMALLEST_BAG} others that are not near-duplicates of it"
    else:
        found = bag_ranks(plain, images, bags)
        hits = 100 * found.hits(1)[full]
        scores.metrics["bag_accuracy"] = float(hits.mean())
        scores.metrics["bag_chance"] = float(100 * (1 / (1 + (bags[full] >= 0).sum(axis=1))).mean())
        scores.intervals["bag_accuracy"] = bootstrap_mean(hits)
    between = cider_between(rows.captions, CiderD(rows.references), bags[:, :SIMILAR])
    if np.isnan(between).all():
        scores.left_out["CIDErBtw"] = "CIDErBtw: no photo has another that is not a near-duplicate of it"
    else:
        scores.metrics["cider_between"] = float(100 * np.nanmean(between))


def _review(scores: PhotoScores, encoder: Encoder, rows: Rows, images: np.ndarray) -> None:
    unseen = unseen_words(rows.captions, rows.seeds)
    vocabulary = sorted({word for words in unseen for word in words})
    found = unsupported_words(unseen, vocabulary, encoder.encode_texts(vocabulary), images) if vocabulary else []
    scores.review = {name: words for name, words in zip(rows.names, found, strict=False) if words}
    scores.metrics["unsupported"] = len(scores.review) / len(rows.names)


def _image_vectors(
    ctx: JobContext, folder: Path, encoder: Encoder, names: Sequence[str], failed: dict[str, str]
) -> tuple[np.ndarray, list[int]]:
    """Unit rows of the photos that can be read, and which of ``names`` they are; the others go to ``failed``."""
    by_name = photos_by_name(folder)
    vectors: list[np.ndarray] = []
    read: list[int] = []
    for start in range(0, len(names), _BATCH):
        ctx.check_cancelled()
        ctx.progress(start, len(names), "Looking at the photos")
        pixels = []
        for index in range(start, min(start + _BATCH, len(names))):
            path = find_photo(folder, names[index], by_name)
            if path is None:
                failed[names[index]] = f"no such photo below {folder}, or several of that name"
                continue
            try:
                pixels.append(load_pixels(path, encoder.preprocess))
            except ImageError as error:
                failed[names[index]] = str(error)
                continue
            read.append(index)
        if pixels:
            vectors.append(encoder.encode_images(np.stack(pixels)))
    ctx.progress(len(names), len(names), "Looking at the photos")
    return (np.concatenate(vectors) if vectors else np.zeros((0, encoder.dim), np.float32)), read
