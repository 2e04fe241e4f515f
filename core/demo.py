"""``demo``: the whole journey in a few minutes without a network, on rendered scenes or on a folder of real photos.

A library is made, a handful of photos get captions, both stages run, captions are ranked, the model becomes an ONNX
bundle, and the bundle captions the folder. The sample scenes speak a dialect that the starter's language model and
mapper never heard, so what the demo reports is what the seeds and the two stages taught.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.batch.requests import CaptionReport, CaptionRequest
from core.batch.runner import caption_folder
from core.demo_captions import CAPTIONS_FILE, by_photo, captions_beside
from core.encoders.open_clip_encoder import OpenClipEncoder, load_encoder
from core.encoders.search import cover
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import JobContext
from core.judging import Judged, StageScores, caption_all, score_stage
from core.library.edits import add_captions
from core.library.library import Library
from core.library.queries import images_of, seeds
from core.library.records import ImageRow
from core.library.scan import ScanReport, scan
from core.onnx.export import ExportReport, ExportRequest, export_job
from core.ranking import ordinal
from core.starter.scenes_library import TRUTH_FILE, read_truth, write_sample_library
from core.starter.scenes_words import DEMO
from core.training.job import train_job
from core.training.messages import TrainReport, TrainRequest

SCENES, SEEDS = 160, 32
SAMPLE_LIBRARY = 7
"""Which sample library the demo renders; the starter models were built from library 1."""
SENTENCES_A_SEED = 2
SETTINGS: Mapping[str, object] = {"stage1.steps": 80, "stage1.minimum_steps": 80}
"""Where the demo's training is shorter than a library's: so few seeds are learned by then."""
ENDS_AFTER_S, AFTERWARDS_S = 285, 75
"""On a slow machine the demo trains fewer steps: it ends so many seconds after it began, what follows included."""
COMPARED = 64
"""Photos on which bundle and model are compared."""
LINES_FILE = "captions.jsonl"
_SHOWN, _SHOWN_FAILED = 8, 20


@dataclass(frozen=True)
class DemoRequest:
    """``photos``: a folder of real photos with ``captions.csv`` (``image,caption``); ``None`` renders scenes.

    ``out``: where library, bundle and captions stay; ``None`` leaves nothing behind.
    """

    photos: Path | None = None
    seeds: int = SEEDS
    out: Path | None = None
    overrides: Mapping[str, object] | None = None


@dataclass(frozen=True)
class DemoReport:
    """What the demo did and measured; both stages were judged on the photos that were no seeds.

    ``failed``: files without a caption and why; ``skipped``: lines of the captions file that say nothing.
    """

    photos: int
    seeds: int
    seconds: float
    stage1: StageScores
    stage2: StageScores
    training: TrainReport
    export: ExportReport
    captions: tuple[Mapping[str, object], ...]
    failed: tuple[tuple[str, str], ...] = ()
    skipped: int = 0

    def to_dict(self) -> dict[str, object]:
        parity = self.export.parity
        return {
            "photos": self.photos,
            "seeds": self.seeds,
            "seconds": round(self.seconds, 1),
            "stage1": self.stage1.summary(),
            "stage2": self.stage2.summary(),
            "kept": self.training.kept,
            "reason": self.training.reason,
            "parity": {"photos": parity.photos, "identical": parity.identical},
            "captions": list(self.captions),
            "failed": [{"file": file, "reason": reason} for file, reason in self.failed],
            "skipped": self.skipped,
        }

    def table(self) -> str:
        """The two stages side by side, and some captions."""
        one, two = self.stage1.summary(), self.stage2.summary()
        lines = [f"{self.photos} photos, {self.seeds} seeds, {self.seconds:.0f} seconds", ""]
        lines.append(f"{'':18}{'stage 1':>10}{'stage 2':>10}")
        for name, first in one.items():
            second = two[name]
            if first is not None and second is not None:
                lines.append(f"{_TITLES[name]:18}{first:>10.3f}{second:>10.3f}")
        parity = self.export.parity
        lines += ["", f"Kept: {self.training.kept}. {self.training.reason}"]
        lines += [f"ONNX bundle: {parity.identical} of {parity.photos} photos get the same captions as from the model."]
        lines += ["", *(_shown(row) for row in self.captions[:_SHOWN])]
        if self.skipped:
            lines.append(f"{self.skipped:,} lines of {CAPTIONS_FILE} say nothing.")
        if self.failed:
            lines.append(f"{len(self.failed):,} could not be captioned:")
            lines += [f"  {file}: {reason}" for file, reason in self.failed[:_SHOWN_FAILED]]
            if len(self.failed) > _SHOWN_FAILED:
                lines.append(f"  and {len(self.failed) - _SHOWN_FAILED:,} more")
        return "\n".join(lines)


_TITLES = {
    "clip_s": "CLIP-S",
    "r1": "R@1 %",
    "mrr": "MRR",
    "cider": "CIDEr-D",
    "truth_precision": "truth: precision %",
    "truth_recall": "truth: recall %",
    "unique_ratio": "unique captions",
    "rep2": "repeated pairs",
}


def demo_job(ctx: JobContext, request: DemoRequest) -> DemoReport:
    """Run the journey.

    Raises:
        UserError: the folder of photos has no captions to take seeds from that can be read, or too few of them.
    """
    started = time.perf_counter()
    with _workplace(request.out) as work:
        folder = request.photos or _render(ctx, work / "photos")
        told = captions_beside(folder)
        encoder = load_encoder("starter")
        with Library.open_or_create(work / "demo.seedcap", exclusive=True) as library:
            scanned = scan(library, folder, ctx)
            sentences = by_photo(library, told)
            _caption_some(library, encoder, sentences, request.seeds, ctx)
            overrides = {**(SETTINGS if request.photos is None else {}), **(request.overrides or {})}
            left = None if request.photos else ENDS_AFTER_S - AFTERWARDS_S - (time.perf_counter() - started)
            minutes = None if left is None else max(left, 1) / 60
            training = train_job(ctx, TrainRequest(library=library.path, overrides=overrides, limit_minutes=minutes))
            stages = _judge(library, encoder, training, sentences, folder, ctx)
            photos = [image.path for image in images_of(library)]
            compared = [photos[i] for i in np.linspace(0, len(photos) - 1, min(COMPARED, len(photos))).astype(int)]
            export = export_job(ctx, _export_request(training, work / "bundle", compared))
            report = _caption(ctx, folder, work)
            labelled = len(seeds(library))
        captions = _rows(work / LINES_FILE)
    seconds = time.perf_counter() - started
    failed = _failed(folder, scanned, report)
    return DemoReport(len(photos), labelled, seconds, *stages, training, export, captions, failed, told.skipped_count)


@contextmanager
def _workplace(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="seedcap-demo-") as folder:
            yield Path(folder)
        return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty.", "Choose a new folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    yield out


def _render(ctx: JobContext, folder: Path) -> Path:
    ctx.progress(0, None, f"Rendering {SCENES} sample scenes")
    write_sample_library(folder, SCENES, DEMO, seed=SAMPLE_LIBRARY)
    return folder


def _caption_some(
    library: Library, encoder: OpenClipEncoder, sentences: Mapping[int, tuple[str, ...]], number: int, ctx: JobContext
) -> None:
    """Give captions to ``number`` photos that cover the library, as "label these next" would suggest."""
    from core.encoders.embed import embed_library

    embed_library(library, encoder, ctx)
    images = [image for image in images_of(library) if image.id in sentences]
    if len(images) < number + 2:
        raise UserError(
            f"Only {len(images)} photos have captions in {CAPTIONS_FILE}.", "Use fewer --seeds, or caption more photos."
        )
    vectors = _vectors(library, encoder, images)
    chosen = [images[i] for i in cover(vectors, number)]
    texts = {image.id: sentences[image.id][:SENTENCES_A_SEED] for image in chosen}
    add_captions(library, texts, is_seed=True, label="Seeds of the demo")


def _vectors(library: Library, encoder: OpenClipEncoder, images: list[ImageRow]) -> np.ndarray:
    return VectorStore(library, encoder.fingerprint, encoder.dim).get([image.content_hash for image in images])


def _judge(
    library: Library,
    encoder: OpenClipEncoder,
    training: TrainReport,
    sentences: Mapping[int, tuple[str, ...]],
    folder: Path,
    ctx: JobContext,
) -> tuple[StageScores, StageScores]:
    """Both stages on every photo with sentences that was no seed."""
    labelled = {seed.image_id for seed in seeds(library)}
    images = [image for image in images_of(library) if image.id not in labelled and image.id in sentences]
    known = {s.file: s.scene for s in read_truth(folder)} if (folder / TRUTH_FILE).is_file() else {}
    scenes = tuple(known[image.path.name] for image in images) if known else None
    judged = Judged(_vectors(library, encoder, images), tuple(sentences[image.id] for image in images), scenes)
    one, two = (
        score_stage(caption_all(training.folder / stage, encoder, judged.images, ctx), judged, encoder)
        for stage in ("stage1", "stage2")
    )
    return one, two


def _export_request(training: TrainReport, out: Path, photos: list[Path]) -> ExportRequest:
    source = "starter" if training.kept == "before" else str(training.folder / training.kept)
    return ExportRequest(source, out, photos=tuple(photos))


def _caption(ctx: JobContext, folder: Path, work: Path) -> CaptionReport:
    return caption_folder(ctx, CaptionRequest(folder, work / LINES_FILE, work / "bundle", rank=True))


def _rows(lines: Path) -> tuple[Mapping[str, object], ...]:
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    told = ("file", "caption", "score", "rank", "gallery")
    return tuple({name: row[name] for name in told} for row in rows if row["caption"])


def _shown(row: Mapping[str, Any]) -> str:
    found = f"finds this photo {ordinal(round(row['rank']))} of {row['gallery']:,}"
    return f"{row['file']}: {row['caption']} ({found})"


def _failed(folder: Path, scanned: ScanReport, report: CaptionReport) -> tuple[tuple[str, str], ...]:
    """What could not be used, each file once: the scan and the captioning look at the same ones."""
    failed = {_name(folder, error.path): error.reason for error in scanned.errors}
    return tuple((failed | dict(report.failed)).items())


def _name(folder: Path, file: Path) -> str:
    """As the captioning of a folder names its files."""
    absolute = folder.absolute()
    return file.relative_to(absolute).as_posix() if file.is_relative_to(absolute) else str(file)
