"""``bench one-button``: 500 photos, 50 of them captioned, both stages, from the press of the button to the verdict.

The photos are half of Flickr8k dev (the starter has seen none of them), one sentence a seed. Both stages are judged on
the other half, which no stage sees: MRR of the greedy caption among its 500 photos.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from core.bench.captions import link_photos
from core.bench.encoder import image_vectors
from core.bench.result import BenchResult, Measure, need_data
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import JobContext
from core.judging import Judged, StageScores, caption_all, score_stage
from core.library.edits import add_captions
from core.library.library import Library
from core.library.queries import images_of
from core.library.scan import scan
from core.metrics.bootstrap import paired_bootstrap
from core.starter.corpus import CaptionedPhoto, read_split
from core.training.job import train_job
from core.training.messages import TrainRequest

PHOTOS, SEEDS = 500, 50
AIM_MINUTES = 6.0


@dataclass(frozen=True)
class OneButtonRequest:
    data: Path | None
    seed: int = 0


def run(ctx: JobContext, request: OneButtonRequest) -> BenchResult:
    data = need_data(request.data, "flickr8k/captions.csv", "flickr8k/images")
    photos = read_split(data, "flickr8k", "dev")
    learned, judged_photos = photos[:PHOTOS], photos[PHOTOS : 2 * PHOTOS]
    with tempfile.TemporaryDirectory(prefix="seedcap-bench-") as scratch:
        library_folder = _library(Path(scratch), learned, ctx)
        started = time.perf_counter()
        report = train_job(ctx, TrainRequest(library=library_folder, seed=request.seed))
        minutes = (time.perf_counter() - started) / 60
        stages = _judge(report.folder, judged_photos, ctx)
    one, two = stages
    mrr = paired_bootstrap(one.reciprocal_rank, two.reciprocal_rank)
    cider = paired_bootstrap(one.cider, two.cider)
    measures = (
        Measure("minutes", minutes, "min", AIM_MINUTES, higher_is_better=False),
        Measure("mrr_gain", mrr.value, "", 0.0, low=mrr.low, high=mrr.high, beyond=True),
        Measure("stage1_mrr", float(one.reciprocal_rank.mean()), ""),
        Measure("stage2_mrr", float(two.reciprocal_rank.mean()), ""),
        Measure("cider_gain", 100 * cider.value, "", low=100 * cider.low, high=100 * cider.high),
        Measure("stage1_cider", float(100 * one.cider.mean()), ""),
        Measure("stage2_cider", float(100 * two.cider.mean()), ""),
        Measure("stage1_steps", report.results["stage1"].steps, "steps", 100),
        Measure("stage2_steps", report.results["stage2"].steps, "steps", 100),
    )
    return BenchResult("one-button", measures, (f"Kept: {report.kept}. {report.reason}",))


def _library(scratch: Path, photos: list[CaptionedPhoto], ctx: JobContext) -> Path:
    """A library of links to the photos, the first sentence of every tenth as its seed."""
    folder = link_photos(photos, scratch / "photos")
    captions = {photo.path.name: photo.captions[0] for photo in photos[:: PHOTOS // SEEDS]}
    with Library.create(scratch / "bench.seedcap") as library:
        scan(library, folder, ctx)
        ids = {image.path.name: image.id for image in images_of(library)}
        seeds = {ids[name]: [text] for name, text in captions.items()}
        add_captions(library, seeds, is_seed=True, label="Seeds of the benchmark")
        return library.path


def _judge(run: Path, photos: list[CaptionedPhoto], ctx: JobContext) -> tuple[StageScores, StageScores]:
    encoder = load_encoder("starter")
    vectors = image_vectors(encoder, [p.path for p in photos], ctx)
    judged = Judged(vectors, tuple(p.captions for p in photos), None)
    one, two = (score_stage(caption_all(run / s, encoder, vectors, ctx), judged, encoder) for s in ("stage1", "stage2"))
    return one, two
