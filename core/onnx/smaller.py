"""From an exact bundle to one with smaller numbers, and what that costs in captions, measured. No torch."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from core.images.preprocess import preprocess
from core.jobs import JobContext
from core.onnx import bundle as files
from core.onnx import quantize
from core.onnx.bundle import Manifest, sha256_of, write_manifest
from core.onnx.precision_loss import measure_loss
from core.onnx.session import open_bundle

SAME_VECTOR = 0.999
"""From this cosine on a vector counts as the exact encoder's: vectors and scores of both stand beside each other."""
LEAST_COSINE = 0.99
"""Below this an image encoder stays exact: docs/decisions/0030 has what captions lose at each cosine."""
_BATCH = 16


@dataclass(frozen=True)
class Evidence:
    """Photos to measure on, what people said of each (``()``: nothing), and what photos these are, in words."""

    photos: Sequence[Image.Image]
    captions: Sequence[Sequence[str]]
    on: str


def make_smaller(ctx: JobContext, folder: Path, manifest: Manifest, precision: str, evidence: Evidence) -> Manifest:
    """Convert the fp32 bundle in ``folder`` in place; its new manifest, which is written there.

    The image encoder stays as it was where its vectors would move further than :data:`LEAST_COSINE`; where they move
    further than :data:`SAME_VECTOR` it has a fingerprint of its own, since its vectors are others.
    """
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.exact.", dir=folder.parent) as place:
        original = Path(shutil.copytree(folder, Path(place) / "bundle"))
        ctx.progress(0, None, "Making the numbers smaller")
        quantize.convert(folder, precision)
        manifest = write_manifest(replace(manifest, precision=precision), folder)
        ctx.check_cancelled()
        manifest = _settle_encoder(ctx, manifest, original, folder, evidence.photos)
        loss = measure_loss(
            open_bundle(original, provider="cpu"),
            open_bundle(folder, provider="cpu"),
            evidence.photos,
            captions=evidence.captions,
            on=evidence.on,
            ctx=ctx,
        )
        return write_manifest(replace(manifest, precision_loss=loss.to_dict()), folder)


def _settle_encoder(
    ctx: JobContext, manifest: Manifest, original: Path, folder: Path, photos: Sequence[Image.Image]
) -> Manifest:
    """Keep the smaller image encoder, under a name of its own if need be, or take the exact one back."""
    graph = folder / files.IMAGE_ENCODER
    if sha256_of(graph) == sha256_of(original / files.IMAGE_ENCODER):
        return manifest
    cosine = _lowest_cosine(ctx, original, folder, photos)
    if cosine < LEAST_COSINE:
        for path in folder.glob(f"{files.IMAGE_ENCODER}*"):
            path.unlink()
        for path in original.glob(f"{files.IMAGE_ENCODER}*"):
            shutil.copy2(path, folder)
    elif cosine < SAME_VECTOR:
        name = f"{manifest.encoder.fingerprint} {manifest.precision} {sha256_of(graph)}"
        own = hashlib.sha256(name.encode()).hexdigest()
        manifest = replace(manifest, encoder=replace(manifest.encoder, fingerprint=own))
    return write_manifest(manifest, folder)


def _lowest_cosine(ctx: JobContext, exact: Path, other: Path, photos: Sequence[Image.Image]) -> float:
    """The lowest cosine of any photo's vectors by the two bundles' encoders."""
    encoders = [open_bundle(folder, provider="cpu").encoder for folder in (exact, other)]
    lowest = 1.0
    for start in range(0, len(photos), _BATCH):
        ctx.check_cancelled()
        ctx.progress(start, len(photos), "Comparing the photos' vectors")
        pixels = np.stack([preprocess(photo, encoders[0].preprocess) for photo in photos[start : start + _BATCH]])
        vectors = [encoder.encode_images(pixels) for encoder in encoders]
        lowest = min(lowest, float((vectors[0] * vectors[1]).sum(axis=1).min()))
    return lowest
