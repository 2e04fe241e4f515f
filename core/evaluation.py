"""Every metric of captions against references of people and, where the photos are at hand, against the photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from core.encoders.encoder import Encoder
from core.errors import UserError
from core.exchange.evaluation_files import find_photo, pair, photos_by_name, read_predictions, read_references
from core.images.decode import ImageError
from core.images.preprocess import load_pixels
from core.jobs import JobContext
from core.metrics.bootstrap import Interval, bootstrap_mean
from core.metrics.caption_scores import reference_scores
from core.metrics.clip_score import clip_s, ref_clip_s, row_cosines
from core.metrics.guards import guard_summary
from core.metrics.retrieval import ranks

_BATCH = 32


@dataclass(frozen=True)
class EvaluateRequest:
    """``images``: the folder of the photos, for CLIP-S and retrieval; ``split``: use these rows of a CSV only."""

    predictions: Path
    references: Path
    split: str | None = None
    images: Path | None = None
    encoder: str = "starter"


@dataclass(frozen=True)
class EvaluateReport:
    """``metrics``: name to figure. Text metrics and R@k are percent (times 100), CLIP-S, RefCLIP-S and MRR as they are,
    shares of the guards 0..1. ``failed``: predictions with an error and photos that could not be read."""

    scored: int
    without_reference: int
    without_prediction: int
    references_per_photo: float
    encoder: str | None
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    failed: dict[str, str] = field(default_factory=dict)


def evaluate_job(
    ctx: JobContext, request: EvaluateRequest, load: Callable[[str], Encoder] | None = None
) -> EvaluateReport:
    """Score a predictions file. ``load`` gives the encoder of a name (default: the open_clip one)."""
    predictions = read_predictions(request.predictions)
    references = read_references(request.references, request.split)
    pairs = pair(predictions.captions, references)
    if not pairs:
        raise UserError(
            f"No photo of {request.predictions} has a reference in {request.references}.",
            "Check that both name the photos alike.",
        )
    names = list(pairs)
    captions = [predictions.captions[name] for name in names]
    texts = [references[pairs[name]] for name in names]
    ctx.progress(0, None, f"Comparing {len(names)} captions with their references")
    scores = reference_scores(captions, texts)
    metrics = {key: value for key, value in asdict(scores).items() if isinstance(value, float)}
    metrics |= guard_summary(captions)
    intervals = {"cider": scores.cider_interval, "bleu4": scores.bleu4_interval}
    failed = dict(predictions.errors)
    encoder_id = None
    if request.images is not None:
        encoder = (load or _open_clip)(request.encoder)
        encoder_id = encoder.id
        more, more_intervals = _against_photos(ctx, request.images, encoder, (names, captions, texts), failed)
        metrics |= more
        intervals |= more_intervals
    return EvaluateReport(
        scored=len(names),
        without_reference=len(predictions.captions) - len(pairs),
        without_prediction=len(references) - len(pairs),
        references_per_photo=float(np.mean([len(group) for group in texts])),
        encoder=encoder_id,
        metrics=metrics,
        intervals=intervals,
        failed=failed,
    )


def _against_photos(
    ctx: JobContext,
    folder: Path,
    encoder: Encoder,
    rows: tuple[list[str], list[str], list[list[str]]],
    failed: dict[str, str],
) -> tuple[dict[str, float], dict[str, Interval]]:
    """CLIP-S and RefCLIP-S with the encoder's prompt; retrieval among the scored photos without it."""
    names, captions, references = rows
    images, read = _image_vectors(ctx, folder, encoder, names, failed)
    if not len(read):
        raise UserError(f"None of the photos could be read from {folder}.", "Check the folder given with --images.")
    captions = [captions[i] for i in read]
    references = [references[i] for i in read]
    ctx.progress(0, None, "Reading the captions")
    prompted = encoder.encode_texts(captions)
    plain = encoder.encode_texts(captions, prompt=False)
    owner = np.repeat(np.arange(len(read)), [len(group) for group in references])
    ctx.check_cancelled()
    reference_vectors = encoder.encode_texts([text for group in references for text in group])
    scores = clip_s(row_cosines(images, prompted))
    with_references = ref_clip_s(scores, prompted, reference_vectors, owner)
    own = np.arange(len(read))
    to_image, to_text = ranks(plain @ images.T, own), ranks(images @ plain.T, own)
    metrics = {"clip_s": float(scores.mean()), "ref_clip_s": float(with_references.mean()), "gallery": float(len(read))}
    metrics |= {f"{key}_t2i": value for key, value in to_image.summary().items()}
    metrics |= {f"{key}_i2t": value for key, value in to_text.summary().items()}
    return metrics, {
        "clip_s": bootstrap_mean(scores),
        "mrr_t2i": bootstrap_mean(to_image.reciprocal()),
        "r1_t2i": bootstrap_mean(100 * to_image.hits(1)),
    }


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


def _open_clip(name: str) -> Encoder:
    from core.encoders.open_clip_encoder import load_encoder

    return load_encoder(name)
