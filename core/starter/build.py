"""``build-starter``: every step from photos and sentences to the folder ``resources/starter``, in one reproducible run.

Each step's result is kept in the work folder under the name of the step, so an interrupted build goes on where it was;
delete the folder to build from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from open_clip.transformer import TextTransformer
from PIL import Image
from tokenizers import Tokenizer

from core.captioner.captioner import Captioner
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import JobContext
from core.starter import encoder_folder, joint_space, text_tower
from core.starter.captioner_training import (
    CaptionCorpus,
    CaptionerConfig,
    PhotoCaptions,
    new_captioner,
    train_captioner,
    write_captioner,
)
from core.starter.corpus import CaptionedPhoto, read_sentences, read_split
from core.starter.image_tower import IMAGE_SIZE, trunk_features
from core.starter.joint_space import Domain, JointConfig, JointSpace
from core.starter.scenes import sample_scene
from core.starter.scenes_render import render
from core.starter.scenes_words import DEMO, STANDARD, STYLE, sentences
from core.starter.text_teacher import teacher_vectors
from core.starter.text_tower import PairedVectors, Sentences, TextTowerConfig
from core.starter.vocabulary import save_tokenizer, train_tokenizer
from core.training.compute import keep_freed_memory

SCENES = 3000
FIRST_SCENE_SEED = 1_000_000
"""Scenes of the build have seeds from here on (sample library 1); demos and benches draw other libraries."""
HELD_BACK = 297
"""The last photos of Flickr8k train (by file name): settings are compared on them, nothing trains on them."""


@dataclass(frozen=True)
class Plan:
    """Where the build reads, works and writes, and the settings of its training steps."""

    data: Path
    work: Path
    out: Path
    joint: JointConfig = field(default_factory=JointConfig)
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)


@dataclass(frozen=True)
class Part:
    """Photos of one kind: how to open them, what describes them, and what of that the captioner may learn."""

    name: str
    images: Sequence[Callable[[], Image.Image]]
    captions: Sequence[Sequence[str]]
    spoken: Sequence[Sequence[str]]
    views: int
    mirror: bool
    share: float

    @property
    def flat(self) -> list[str]:
        return [c for captions in self.captions for c in captions]

    @property
    def owner(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.captions)), [len(c) for c in self.captions])


@dataclass(frozen=True)
class Material:
    """All that the build learns from."""

    parts: tuple[Part, ...]
    held_back: tuple[CaptionedPhoto, ...]
    sentences: tuple[str, ...]


def gather(data: Path) -> Material:
    """Read the train splits and draw the scenes."""
    flickr = read_split(data, "flickr8k", "train")
    flickr, held_back = flickr[:-HELD_BACK], flickr[-HELD_BACK:]
    rsicd = read_split(data, "rsicd", "train")
    sentences_alone = read_sentences(data, exclude_photos={p.path.name.split("_")[0] for p in held_back})
    parts = (
        photo_part("flickr", flickr, views=6, share=0.70),
        photo_part("rsicd", rsicd, views=4, share=0.12),
        _scene_part(),
    )
    return Material(parts, tuple(held_back), tuple(sentences_alone))


def photo_part(name: str, photos: Sequence[CaptionedPhoto], *, views: int, share: float) -> Part:
    captions = [p.captions for p in photos]
    return Part(name, [partial(Image.open, p.path) for p in photos], captions, captions, views, True, share)


def _scene_part() -> Part:
    """Scenes in every dialect for the encoder; the captioner hears the standard one alone, so that seeds matter."""
    seeds = range(FIRST_SCENE_SEED, FIRST_SCENE_SEED + SCENES)
    scenes = [sample_scene(seed) for seed in seeds]
    spoken = [tuple(sentences(s, STANDARD, n=3, seed=seed)) for s, seed in zip(scenes, seeds, strict=True)]
    others = [
        tuple(sentences(s, DEMO, n=2, seed=seed) + sentences(s, STYLE, n=2, seed=seed))
        for s, seed in zip(scenes, seeds, strict=True)
    ]
    captions = [a + b for a, b in zip(spoken, others, strict=True)]
    # Left and right are among the claims, so a scene is never mirrored.
    images = [partial(render, s, IMAGE_SIZE) for s in scenes]
    return Part("scenes", images, captions, spoken, views=2, mirror=False, share=0.18)


@dataclass(frozen=True)
class Corpus:
    """All sentences once, in a fixed order: those of the parts one after the other, then those without a photo."""

    sentences: tuple[str, ...]
    first: dict[str, int]  # where the sentences of a part begin

    @staticmethod
    def of(material: Material) -> Corpus:
        everything: list[str] = []
        first: dict[str, int] = {}
        for part in material.parts:
            first[part.name] = len(everything)
            everything += part.flat
        return Corpus((*everything, *material.sentences), first)

    def rows(self, part: Part) -> np.ndarray:
        return self.first[part.name] + np.arange(len(part.owner))


@dataclass(frozen=True)
class Prepared:
    """What the encoder's half of the build hands to the captioner's half."""

    material: Material
    corpus: Corpus
    tokenizer: Tokenizer
    vectors: np.ndarray  # float16 [n sentences, 512]: where the teacher puts each sentence, as the tower learned to
    images: list[np.ndarray]  # per part, float16 [n, views, 512]


def build_tokenizer(material: Material, work: Path) -> Tokenizer:
    path = work / "tokenizer.json"
    if not path.is_file():
        spoken = [s for part in material.parts for captions in part.spoken for s in captions]
        tokenizer = train_tokenizer([*spoken, *material.sentences])
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in ``path``, made and written the first time."""
    if not path.is_file():
        array = make()
        partial_path = path.with_suffix(".partial.npy")
        np.save(partial_path, array)
        partial_path.replace(path)
    return np.load(path)


def domains_of(material: Material, corpus: Corpus, work: Path, ctx: JobContext) -> tuple[list[Domain], np.ndarray]:
    """Trunk features and teacher vectors of every part, and the teacher vectors of the corpus."""
    teacher = kept(work / "teacher.npy", lambda: teacher_vectors(corpus.sentences, ctx))
    domains = []
    for part in material.parts:
        features = trunk_features(part.images, part.views, work / f"{part.name}-features.npy", ctx, mirror=part.mirror)
        domains.append(Domain(part.name, features, teacher[corpus.rows(part)], part.owner))
    return domains, teacher


def build_joint_space(
    material: Material, domains: Sequence[Domain], config: JointConfig, work: Path, ctx: JobContext
) -> JointSpace:
    path = work / "joint-space.safetensors"
    model = JointSpace()
    if not path.is_file():
        shares = [part.share for part in material.parts]
        model = joint_space.train_joint_space(domains, shares, config, ctx)
        encoder_folder.save_tensors(model, path)
    encoder_folder.load_tensors(model, path)
    return model.eval()


def build_text_tower(
    sentences_ids: Sentences,
    targets: np.ndarray,
    pairs: Sequence[PairedVectors],
    config: TextTowerConfig,
    work: Path,
    ctx: JobContext,
) -> TextTransformer:
    path = work / "text-tower.safetensors"
    tower = text_tower.new_text_tower()
    if not path.is_file():
        text_tower.start_from_teacher(tower, sentences_ids.tokenizer)
        trained = text_tower.train_text_tower(tower, sentences_ids, targets, pairs, config, ctx)
        encoder_folder.save_tensors(trained, path)
    encoder_folder.load_tensors(tower, path)
    return tower.eval()


def photo_vectors(material: Material, domains: Sequence[Domain], model: JointSpace, work: Path) -> list[np.ndarray]:
    """Unit vectors float16 ``[n, views, 512]`` of every part."""
    vectors = []
    for part, domain in zip(material.parts, domains, strict=True):
        make = lambda d=domain, p=part: np.stack(  # noqa: E731
            [joint_space.image_vectors(model.image, d.features, v) for v in range(p.views)], axis=1
        ).astype(np.float16)
        vectors.append(kept(work / f"{part.name}-vectors.npy", make))
    return vectors


def build_encoder(plan: Plan, material: Material, ctx: JobContext) -> Prepared:
    """Everything up to ``out/encoder``, an open_clip folder."""
    keep_freed_memory()
    plan.work.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.of(material)
    tokenizer = build_tokenizer(material, plan.work)
    domains, teacher = domains_of(material, corpus, plan.work, ctx)
    model = build_joint_space(material, domains, plan.joint, plan.work, ctx)
    images = photo_vectors(material, domains, model, plan.work)
    targets = joint_space.text_vectors(model.text, teacher).astype(np.float16)
    pairs = [
        PairedVectors(vectors, corpus.rows(part), part.owner)
        for part, vectors in zip(material.parts, images, strict=True)
    ]
    ids = Sentences(tokenizer, corpus.sentences)
    tower = build_text_tower(ids, targets, pairs, plan.text, plan.work, ctx)
    encoder_folder.write_encoder(model.image, tower, model.log_scale.item(), plan.out / "encoder")
    save_tokenizer(tokenizer, plan.out / "encoder")
    return Prepared(material, corpus, tokenizer, targets, images)


def build_captioner(plan: Plan, prepared: Prepared, ctx: JobContext) -> Captioner:
    """The language model and the mapper, trained."""
    spoken = spoken_rows(prepared.material, prepared.corpus)
    position = np.full(len(prepared.corpus.sentences), -1)
    position[spoken] = np.arange(len(spoken))
    photos = []
    for part, images in zip(prepared.material.parts, prepared.images, strict=True):
        rows = position[prepared.corpus.rows(part)]
        photos.append(PhotoCaptions(images, rows[rows >= 0], part.owner[rows >= 0]))
    encoded = prepared.tokenizer.encode_batch([prepared.corpus.sentences[i] for i in spoken])
    ids = [np.array(e.ids, np.int64) for e in encoded]
    corpus = CaptionCorpus(ids, prepared.vectors[spoken], np.ones(len(ids)))
    model = new_captioner(prepared.tokenizer, load_encoder(f"open_clip:local-dir:{plan.out / 'encoder'}").fingerprint)
    path = plan.work / "captioner.safetensors"
    if not path.is_file():
        train_captioner(model, corpus, photos, plan.captioner, ctx)
        encoder_folder.save_tensors(model, path)
    encoder_folder.load_tensors(model, path)
    return model


def spoken_rows(material: Material, corpus: Corpus) -> np.ndarray:
    """Corpus rows that the captioner may learn: a part's spoken captions come first among those of each photo."""
    rows = []
    for part in material.parts:
        heard = [i < len(s) for c, s in zip(part.captions, part.spoken, strict=True) for i in range(len(c))]
        rows.append(corpus.rows(part)[np.array(heard)])
    alone = np.arange(len(corpus.sentences) - len(material.sentences), len(corpus.sentences))
    return np.concatenate([*rows, alone])


def build(plan: Plan, ctx: JobContext) -> None:
    """The whole starter: encoder, language model, mapper."""
    write_captioner(build_captioner(plan, build_encoder(plan, gather(plan.data), ctx), ctx), plan.out)
