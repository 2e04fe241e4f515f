"""Models that never saw the captions of half B: encoder, language model and mapper from half A and sentences alone.

Half A of a train split are its photos at even places by file name, half B those at odd places. The encoder is built
from the pairs of A; the language model from A's captions and sentences of neither half; the mapper is warmed up on
those sentences without a single pair. Whatever a bench learns from B afterwards is news to all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.bench.encoder import image_vectors
from core.captioner.checkpoint import save_captioner
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import JobContext
from core.starter.build import Material, Plan, build_captioner, build_encoder, photo_part
from core.starter.captioner_training import CaptionerConfig, noise_variance
from core.starter.corpus import CaptionedPhoto, read_sentences, read_split
from core.starter.joint_space import JointConfig
from core.starter.text_tower import TextTowerConfig
from core.training.texts import text_vectors

HELD_BACK = 150
"""The last photos of half A of Flickr8k are left out, to measure how far from its captions a new photo lies."""


@dataclass(frozen=True)
class Half:
    """The names of the models in ``folder``."""

    folder: Path

    @property
    def encoder(self) -> str:
        return f"open_clip:local-dir:{self.folder / 'encoder'}"

    @property
    def captioner(self) -> Path:
        return self.folder / "captioner"


def half_a(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    return list(photos[0::2])


def half_b(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    return list(photos[1::2])


def half_b_rows(count: int) -> np.ndarray:
    """Where the photos of half B are among ``count`` photos sorted by file name."""
    return np.arange(1, count, 2)


def photo_number(photo: CaptionedPhoto) -> str:
    """The Flickr number that the file name begins with."""
    return photo.path.name.split("_")[0]


def material_of_half_a(data: Path) -> Material:
    """What the models are built from: nothing of it describes a photo of half B."""
    flickr, rsicd = (read_split(data, name, "train") for name in ("flickr8k", "rsicd"))
    known, held_back = half_a(flickr)[:-HELD_BACK], half_a(flickr)[-HELD_BACK:]
    unknown = {photo_number(one) for one in [*half_b(flickr), *held_back]}
    parts = (
        photo_part("flickr", known, views=4, share=0.78),
        photo_part("rsicd", half_a(rsicd), views=3, share=0.22),
    )
    return Material(parts, tuple(held_back), tuple(read_sentences(data, exclude_photos=unknown)))


def build_half(data: Path, work: Path, ctx: JobContext) -> Half:
    """Build the models, or find them built; an interrupted build goes on at the step it was in."""
    half = Half(work / "models")
    if (half.captioner / "checkpoint.json").is_file():
        return half
    material = material_of_half_a(data)
    plan = Plan(data, work, half.folder, JointConfig(steps=260), TextTowerConfig(steps=450))
    prepared = build_encoder(plan, material, ctx)
    config = CaptionerConfig(warm_steps=900, paired_steps=0, noise=_noise(half, material.held_back, ctx))
    save_captioner(build_captioner(replace(plan, captioner=config), prepared, ctx), half.captioner)
    return half


def _noise(half: Half, photos: Sequence[CaptionedPhoto], ctx: JobContext) -> float:
    """The noise that takes a sentence as far away as photos are that the encoder has never seen."""
    encoder = load_encoder(half.encoder)
    images = image_vectors(encoder, [one.path for one in photos], ctx)
    cosines = [
        float(image @ text)
        for image, one in zip(images, photos, strict=True)
        for text in text_vectors(encoder, one.captions, prompt=False)
    ]
    return noise_variance(float(np.mean(cosines)), images.shape[1])
