"""``bench encoder``: does the encoder find the photo of a sentence and the sentence of a photo?

Protocol: Flickr8k dev, 1,000 photos with five sentences each; a photo's own is any of its five; no prompt. The 113 dev
photos at hand in their original aspect are measured beside the same 113 squashed ones, in a gallery of 113.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.bench.result import BenchResult, Measure, need_data
from core.encoders.encoder import Encoder
from core.encoders.open_clip_encoder import load_encoder
from core.images.decode import load_image
from core.images.preprocess import preprocess
from core.jobs import JobContext
from core.starter.corpus import CaptionedPhoto, read_split
from core.starter.joint_space import recall_at

AIMS = {"r1_i2t": 40.0, "r1_t2i": 30.0}
_BATCH = 50


@dataclass(frozen=True)
class EncoderRequest:
    data: Path | None
    encoder: str = "starter"


def run(ctx: JobContext, request: EncoderRequest) -> BenchResult:
    data = need_data(request.data, "flickr8k/captions.csv", "flickr8k/images")
    encoder = load_encoder(request.encoder)
    photos = read_split(data, "flickr8k", "dev")
    figures = _retrieval(encoder, photos, ctx)
    measures = [
        Measure(name, figures[name], "%", AIMS.get(name))
        for name in ("r1_i2t", "r5_i2t", "r10_i2t", "r1_t2i", "r5_t2i", "r10_t2i")
    ]
    originals = data / "flickr8k_original" / "images"
    if originals.is_dir():
        some = [p for p in photos if (originals / p.path.name).is_file()]
        original = [CaptionedPhoto(originals / p.path.name, p.captions) for p in some]
        for label, group in (("squashed", some), ("original", original)):
            part = _retrieval(encoder, group, ctx)
            measures += [Measure(f"{name}_{label}_{len(group)}", part[name], "%") for name in ("r1_i2t", "r1_t2i")]
    measures.append(Measure("true_pair_cosine", figures["cosine"], ""))
    return BenchResult("encoder", tuple(measures))


def _retrieval(encoder: Encoder, photos: Sequence[CaptionedPhoto], ctx: JobContext) -> dict[str, float]:
    images = image_vectors(encoder, [p.path for p in photos], ctx)
    texts = encoder.encode_texts([c for p in photos for c in p.captions], prompt=False)
    owner = np.repeat(np.arange(len(photos)), [len(p.captions) for p in photos])
    return recall_at(images, texts, owner) | {"cosine": float((texts * images[owner]).sum(1).mean())}


def image_vectors(encoder: Encoder, paths: Sequence[Path], ctx: JobContext) -> np.ndarray:
    """Unit vectors ``[n, dim]`` of photos on disk."""
    rows = []
    for start in range(0, len(paths), _BATCH):
        batch = [preprocess(load_image(path), encoder.preprocess) for path in paths[start : start + _BATCH]]
        rows.append(encoder.encode_images(np.stack(batch)))
        ctx.progress(min(start + _BATCH, len(paths)), len(paths), "Looking at photos")
        ctx.check_cancelled()
    return np.concatenate(rows)
