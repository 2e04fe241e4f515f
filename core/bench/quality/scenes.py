"""Truth and style: rendered scenes in a dialect that the starter's language model and mapper have never heard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import paths
from core.bench.quality.cells import Cells
from core.bench.quality.material import Material, Photos
from core.bench.quality.rows import Rows, labelled_data
from core.bench.result import BenchResult, Measure
from core.encoders.open_clip_encoder import load_encoder
from core.images.preprocess import preprocess
from core.jobs import JobContext
from core.metrics.bootstrap import Difference, compare
from core.starter.corpus import CaptionedPhoto
from core.starter.scenes import Scene, sample_scene
from core.starter.scenes_render import render
from core.starter.scenes_words import DEMO, STYLE, Dialect, sentences
from core.starter.truth import score_truth, style_rate
from core.training.data import CaptionedVectors, TrainingData
from core.training.presets import find_preset, with_overrides

LABELLED, UNLABELLED, JUDGED = 32, 300, 200
FIRST_SEED = 500_000
"""Far from the demo's scenes and from those the starter was built on."""
SENTENCES_OF_STYLE = 2_000
_SIDE = 224
_BATCH = 50


@dataclass(frozen=True)
class Scenes:
    """Scenes as photos with vectors; ``truth`` of the same."""

    photos: Photos
    truth: tuple[Scene, ...]


def scenes(material: Material, first: int, count: int, dialect: Dialect) -> Scenes:
    """``count`` scenes from seed ``first`` on, with two sentences each in ``dialect``."""
    truth = tuple(sample_scene(seed) for seed in range(first, first + count))
    encoder = material.encoder

    def make() -> np.ndarray:
        rows = []
        for start in range(0, count, _BATCH):
            pixels = [preprocess(render(one, _SIDE), encoder.preprocess) for one in truth[start : start + _BATCH]]
            rows.append(encoder.encode_images(np.stack(pixels)))
            material.ctx.progress(start, count, "Painting scenes")
            material.ctx.check_cancelled()
        return np.concatenate(rows)

    vectors = material.cells.array("scenes", {"encoder": encoder.fingerprint, "first": first, "count": count}, make)
    photos = tuple(
        CaptionedPhoto(Path(f"{first + i}"), tuple(sentences(one, dialect, n=2, seed=first + i)))
        for i, one in enumerate(truth)
    )
    return Scenes(Photos(photos, vectors), truth)


def truth_task(ctx: JobContext, seeds: int, work: Path | None) -> BenchResult:
    """Stage 2 against stage 1 in what captions say of a scene, and how much of that is true."""
    material = _material(ctx, work)
    rows, start = Rows(material), paths.starter_dir() / "captioner"
    judged = scenes(material, FIRST_SEED, JUDGED, DEMO)
    one, two = [], []
    for seed in range(seeds):
        pool = scenes(material, FIRST_SEED + 10_000 * (seed + 1), LABELLED + UNLABELLED, DEMO)
        data = labelled_data(pool.photos, np.arange(LABELLED), seed)
        preset = find_preset("recommended")
        first = rows.train(f"truth-1-{seed}", data, preset, stages="1", start=start, seed=seed)
        second = rows.train(f"truth-2-{seed}", data, preset, stages="2", start=first.checkpoint, seed=seed)
        for found, trained in ((one, first), (two, second)):
            found.append(_told(rows.captions("truth", trained.checkpoint, judged.photos), judged))
    before, after = np.sum(one, axis=0), np.sum(two, axis=0)
    precision, recall = _gain(before, after, 0, 1), _gain(before, after, 2, 3)
    measures = (
        Measure("precision_gain", precision.value, "%", 0.0, low=precision.low, high=precision.high, seeds=seeds),
        Measure("recall_gain", recall.value, "%", 3.0, low=recall.low, high=recall.high, seeds=seeds),
        Measure("recall_gain_p", recall.p, "", 0.05, higher_is_better=False, seeds=seeds),
        Measure("stage1_recall", _share(before, 2, 3), "%", seeds=seeds),
        Measure("stage1_precision", _share(before, 0, 1), "%", seeds=seeds),
    )
    return BenchResult("quality truth", measures, (f"{JUDGED} scenes; {LABELLED} labelled, {UNLABELLED} not.",))


def style_task(ctx: JobContext, seeds: int, work: Path | None) -> BenchResult:
    """Sentences of a dialect alone, of scenes that no photo shows: does it speak so, and say as much that is true?"""
    material = _material(ctx, work)
    rows, start = Rows(material), paths.starter_dir() / "captioner"
    judged = scenes(material, FIRST_SEED, JUDGED, STYLE)
    plain = _told(rows.captions("style-before", start, judged.photos), judged)
    rates, told = [], []
    for seed in range(seeds):
        data = _sentences_alone(judged.photos, FIRST_SEED + 100_000 + 10_000 * seed)
        overrides = {"stage1.pairs": 0, "stage1.texts": 64, "stage1.steps": 300, "stage1.minimum_steps": 300}
        preset = with_overrides(find_preset("recommended"), overrides)
        one = rows.train(f"style-{seed}", data, preset, stages="1", start=start, seed=seed)
        captions = rows.captions("style", one.checkpoint, judged.photos)
        rates.append(style_rate(captions, STYLE))
        told.append(_told(captions, judged))
    after = np.sum(told, axis=0)
    recall = _gain(plain * seeds, after, 2, 3)
    measures = (
        Measure("style_rate", 100 * float(np.mean(rates)), "%", 90.0, seeds=seeds),
        Measure("recall_change", recall.value, "%", -3.0, low=recall.low, high=recall.high, seeds=seeds),
        Measure("recall", _share(after, 2, 3), "%", seeds=seeds),
        Measure("recall_before", _share(plain, 2, 3), "%"),
    )
    return BenchResult("quality style", measures, (f"{SENTENCES_OF_STYLE} sentences, {JUDGED} scenes judged.",))


def _material(ctx: JobContext, work: Path | None) -> Material:
    folder = (work or paths.cache_dir() / "bench-quality") / "cells"
    return Material(Path(), load_encoder("starter"), Cells(folder), ctx)


def _sentences_alone(photos: Photos, first: int) -> TrainingData:
    """Sentences of the style; no photo has a caption. A few scenes' vectors are there to judge on, without words."""
    texts = []
    for seed in range(first, first + SENTENCES_OF_STYLE // 2):
        texts += sentences(sample_scene(seed), STYLE, n=2, seed=seed)
    ids = np.arange(2 * _BATCH, dtype=np.int64)
    nobody = CaptionedVectors(ids[:0], photos.vectors[:0], ())
    known, judged = (photos.vectors[:_BATCH], ids[:_BATCH]), (photos.vectors[_BATCH : 2 * _BATCH], ids[_BATCH:])
    return TrainingData(nobody, nobody, *known, *judged, tuple(texts))


def _told(captions: list[str], judged: Scenes) -> np.ndarray:
    """``[n, 4]``: claims that are true, claims, facts told, facts there are."""
    scores = [score_truth(text, one) for text, one in zip(captions, judged.truth, strict=True)]
    return np.array([(one.true, one.claimed, one.told, one.total) for one in scores], float)


def _share(rows: np.ndarray, part: int, whole: int) -> float:
    return float(100 * rows[:, part].sum() / max(1.0, rows[:, whole].sum()))


def _gain(before: np.ndarray, after: np.ndarray, part: int, whole: int) -> Difference:
    return compare(len(before), lambda rows: _share(after[rows], part, whole) - _share(before[rows], part, whole))
