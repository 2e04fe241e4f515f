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

from core.jobs import JobContext
from core.onnx import bundle as files
from core.onnx import quantize
from core.onnx.bundle import Manifest, sha256_of, write_manifest
from core.onnx.precision_loss import PrecisionLoss, measure_loss
from core.onnx.session import Bundle, open_bundle

SAME_VECTOR = 0.999
"""From this cosine on a vector counts as the exact encoder's: vectors and scores of both stand beside each other."""
LEAST_COSINE = 0.99
"""Below this an image encoder stays exact: docs/decisions/0030 has what captions lose at each cosine."""
_SENTENCES = (
    "A brown dog runs through the grass.",
    "Two children in red jackets sit on a wooden bench beside a lake and look at the mountains.",
    "an airport with many planes near several buildings",
    "12 o'clock",
)
_READ = 32
"""Word pieces of these sentences that the decoder is tried with."""


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
        read = _sentences(open_bundle(original, provider="cpu")) if precision == "int8" else {}
        quantize.convert(folder, precision, read)
        manifest = write_manifest(replace(manifest, precision=precision), folder)
        ctx.check_cancelled()
        manifest = _settle_texts(manifest, original, folder)
        loss = _loss(ctx, original, folder, evidence)
        if sha256_of(folder / files.IMAGE_ENCODER) != sha256_of(original / files.IMAGE_ENCODER):
            # A cosine of NaN, of an encoder whose numbers overflow, is not near either.
            if not loss.cosine >= LEAST_COSINE:
                _take_back(original, folder, files.IMAGE_ENCODER)
                manifest = write_manifest(manifest, folder)
                loss = _loss(ctx, original, folder, evidence)
            elif loss.cosine < SAME_VECTOR:
                manifest = _with_own_fingerprint(manifest, folder)
        return write_manifest(replace(manifest, precision_loss=loss.to_dict()), folder)


def _sentences(bundle: Bundle) -> dict[str, np.ndarray]:
    """Inputs of the decoder: the vector of a sentence, and words that follow."""
    part = bundle.manifest.decoder
    words = bundle.tokenizer.encode(" ".join(_SENTENCES), add_special_tokens=False).ids
    room = min(_READ, part.max_positions - part.prefix_length)
    return {
        "embeddings": bundle.encoder.encode_texts(_SENTENCES[:1], prompt=False)[:, None],
        "input_ids": np.array([words[:room]], np.int64),
        "past": np.zeros((part.layers, 2, 1, part.heads, 0, part.head_dim), np.float32),
    }


def _loss(ctx: JobContext, original: Path, folder: Path, evidence: Evidence) -> PrecisionLoss:
    exact, other = (open_bundle(one, provider="cpu") for one in (original, folder))
    return measure_loss(exact, other, evidence.photos, captions=evidence.captions, on=evidence.on, ctx=ctx)


def _with_own_fingerprint(manifest: Manifest, folder: Path) -> Manifest:
    name = f"{manifest.encoder.fingerprint} {manifest.precision} {sha256_of(folder / files.IMAGE_ENCODER)}"
    own = hashlib.sha256(name.encode()).hexdigest()
    return replace(manifest, encoder=replace(manifest.encoder, fingerprint=own))


def _settle_texts(manifest: Manifest, original: Path, folder: Path) -> Manifest:
    """Keep the smaller text encoder where its vectors pass for the exact one's, or take the exact one back: scores of
    both stand beside each other."""
    if sha256_of(folder / files.TEXT_ENCODER) == sha256_of(original / files.TEXT_ENCODER):
        return manifest
    exact, other = (open_bundle(one, provider="cpu").encoder.encode_texts(_SENTENCES) for one in (original, folder))
    if not (exact * other).sum(axis=1).min() >= SAME_VECTOR:
        _take_back(original, folder, files.TEXT_ENCODER)
    return write_manifest(manifest, folder)


def _take_back(original: Path, folder: Path, graph: str) -> None:
    """The exact graph in the place of the smaller one, with the weights beside it if it has any."""
    for path in folder.glob(f"{graph}*"):
        path.unlink()
    for path in original.glob(f"{graph}*"):
        shutil.copy2(path, folder)
