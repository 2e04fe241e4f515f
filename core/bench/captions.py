"""``bench captions``: the starter without a single seed, one greedy caption a photo, from its ONNX bundle.

Protocol: Flickr8k dev, 1,000 photos against five sentences each; CIDEr-D with the document frequencies of these
references; lower-cased, punctuation dropped.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.batch.requests import CaptionRequest
from core.batch.runner import caption_folder
from core.bench.result import BenchResult, Measure, need_data
from core.jobs import JobContext
from core.metrics.caption_scores import reference_scores
from core.metrics.guards import guard_summary
from core.onnx.export import STARTER, ExportRequest, export_job
from core.starter.corpus import CaptionedPhoto, read_split


@dataclass(frozen=True)
class CaptionsRequest:
    data: Path | None
    source: str = STARTER


def run(ctx: JobContext, request: CaptionsRequest) -> BenchResult:
    data = need_data(request.data, "flickr8k/captions.csv", "flickr8k/images")
    photos = read_split(data, "flickr8k", "dev")
    with tempfile.TemporaryDirectory(prefix="seedcap-bench-") as scratch:
        work = Path(scratch)
        some = tuple(p.path for p in photos[:100])
        parity = export_job(ctx, ExportRequest(request.source, work / "bundle", photos=some)).parity
        report = caption_folder(
            ctx, CaptionRequest(link_photos(photos, work / "photos"), work / "out.jsonl", work / "bundle")
        )
        rows = [json.loads(line) for line in (work / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    said = {row["file"]: row["caption"] for row in rows}
    captions = [said[p.path.name] for p in photos]
    scores = reference_scores(captions, [p.captions for p in photos])
    guards = guard_summary(captions)
    cider, bleu = scores.cider_interval, scores.bleu4_interval
    return BenchResult(
        "captions",
        (
            Measure("cider", scores.cider, "", low=cider.low, high=cider.high),
            Measure("bleu4", scores.bleu4, "", low=bleu.low, high=bleu.high),
            Measure("unique_ratio", guards["unique_ratio"], "", 0.5),
            Measure("rep2", guards["rep2"], ""),
            Measure("length", guards["length"], "words"),
            Measure("rate", report.rate, "photos/s"),
            Measure("parity_identical", parity.identical, f"of {parity.photos}", parity.photos),
        ),
    )


def link_photos(photos: list[CaptionedPhoto], folder: Path) -> Path:
    """A folder of links to the photos: a part of a data set as a person's folder would be."""
    folder.mkdir(parents=True)
    for photo in photos:
        (folder / photo.path.name).symlink_to(photo.path.resolve())
    return folder
