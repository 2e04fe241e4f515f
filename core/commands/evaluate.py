"""``evaluate``: captions against references, and against the photos where they are at hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.result import CommandResult
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.evaluation import EvaluateReport

HELP = """Measure captions against references: BLEU, ROUGE-L, CIDEr-D, unique ratio, repetition, length; with --images
also CLIP-S, RefCLIP-S and retrieval."""

_SHOWN = 10
_ROWS = (
    ("CIDEr-D", "cider", 1),
    ("CIDEr", "cider_original", 1),
    ("BLEU-1", "bleu1", 1),
    ("BLEU-2", "bleu2", 1),
    ("BLEU-3", "bleu3", 1),
    ("BLEU-4", "bleu4", 1),
    ("ROUGE-L", "rouge_l", 1),
    ("CLIP-S", "clip_s", 3),
    ("RefCLIP-S", "ref_clip_s", 3),
    ("R@1 caption to photo", "r1_t2i", 1),
    ("R@5 caption to photo", "r5_t2i", 1),
    ("R@10 caption to photo", "r10_t2i", 1),
    ("MRR caption to photo", "mrr_t2i", 3),
    ("R@1 photo to caption", "r1_i2t", 1),
    ("R@5 photo to caption", "r5_i2t", 1),
    ("R@10 photo to caption", "r10_i2t", 1),
    ("unique captions", "unique_ratio", 3),
    ("repeated words", "rep1", 3),
    ("repeated pairs", "rep2", 3),
    ("repeated triples", "rep3", 3),
    ("word after itself", "immediate_repeat", 3),
    ("cut endings", "bad_ending", 3),
    ("words a caption", "length", 1),
    ("vocabulary", "vocabulary", 0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=Path, required=True, metavar="F", help="JSON lines as 'caption' writes")
    parser.add_argument(
        "--references", type=Path, required=True, metavar="F", help="captions.csv (image,caption) or COCO JSON"
    )
    parser.add_argument("--split", help="only the rows of the references CSV whose column 'split' says this")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the photos, for CLIP-S and retrieval")
    parser.add_argument("--encoder", default="starter", help="the encoder for these (default: %(default)s)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.evaluation import EvaluateRequest, evaluate_job

    request = EvaluateRequest(args.predictions, args.references, args.split, args.images, args.encoder)
    report = evaluate_job(ctx, request)
    data = {
        "photos": report.scored,
        "without_reference": report.without_reference,
        "without_prediction": report.without_prediction,
        "references_per_photo": report.references_per_photo,
        "encoder": report.encoder,
        "metrics": report.metrics,
        "intervals": {name: [found.low, found.high] for name, found in report.intervals.items()},
        "failed": [{"file": name, "error": reason} for name, reason in report.failed.items()],
    }
    return CommandResult(data, _text(report), len(report.failed))


def _text(report: EvaluateReport) -> str:
    lines = [f"{report.scored:,} captions, {report.references_per_photo:.1f} references each."]
    if report.without_reference or report.without_prediction:
        lines.append(
            f"Left out: {report.without_reference:,} captions without a reference, "
            f"{report.without_prediction:,} references without a caption."
        )
    lines.append("")
    for label, name, digits in _ROWS:
        if name in report.metrics:
            interval = report.intervals.get(name)
            spread = f"   [{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if interval else ""
            lines.append(f"{label:<22}{report.metrics[name]:9,.{digits}f}{spread}")
    lines += ["", "Text metrics and R@k are times 100; document frequencies are those of these references."]
    if report.encoder:
        lines.append(
            f"CLIP-S, RefCLIP-S and retrieval with {report.encoder}, among these photos; retrieval unprompted."
        )
    lines += [f"{name}: {reason}" for name, reason in list(report.failed.items())[:_SHOWN]]
    if len(report.failed) > _SHOWN:
        lines.append(f"and {len(report.failed) - _SHOWN:,} more")
    return "\n".join(lines)
