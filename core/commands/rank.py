"""``rank``: score every caption of a library and list them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.result import CommandResult
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.library.records import CaptionRow
    from core.ranking import RankReport

HELP = """Score every caption of a library (CLIP-S, rank among all photos, distinctiveness against look-alikes) and list
them, best first."""

_SORTS = ("rank", "score", "distinctiveness", "path")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="a library folder (NAME.seedcap)")
    parser.add_argument("--encoder", help="score with this encoder; default: the one of the library's current model")
    parser.add_argument("--bundle", type=Path, metavar="B", help="score with the encoder of this ONNX bundle instead")
    parser.add_argument("--sort", choices=_SORTS, default="rank", help="order of the list (default: %(default)s)")
    parser.add_argument("--weakest", action="store_true", help="list the weakest first")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="how many to list; 0: all (default: 20)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.library.library import Library
    from core.library.queries import all_captions, image_rows
    from core.ranking import RankRequest, rank_job

    with Library.open(args.library, exclusive=True) as library:
        report = rank_job(ctx, RankRequest(library.path, encoder=args.encoder, bundle=args.bundle))
        captions = all_captions(library)
        paths = {image.id: str(image.path) for image in image_rows(library, captions)}
    rows = [_row(paths[image_id], caption) for image_id, group in captions.items() for caption in group]
    rows.sort(key=_order(args.sort), reverse=args.weakest)
    data = {
        "report": report,
        "captions": rows,
        "failed": [{"file": str(path), "error": reason} for path, reason in report.failed],
    }
    return CommandResult(data, _text(report, rows if args.top == 0 else rows[: args.top]), len(report.failed))


def _row(path: str, caption: CaptionRow) -> dict[str, Any]:
    from core.ranking import sentence

    score = caption.score
    return {
        "file": path,
        "caption": caption.text,
        "state": "seed" if caption.is_seed else caption.state,
        "clip_s": score.clip_s if score else None,
        "rank": score.rank if score else None,
        "gallery_size": score.gallery_size if score else None,
        "plain_rank": score.plain_rank if score else None,
        "distinctiveness": score.distinctiveness if score else None,
        "sentence": sentence(score) if score else None,
    }


def _order(sort: str) -> Callable[[dict[str, Any]], tuple]:
    def key(row: dict[str, Any]) -> tuple:
        unscored = row["clip_s"] is None
        if sort == "path":
            return (row["file"],)
        if sort == "rank":
            return (unscored, row["rank"] or 0.0, -(row["clip_s"] or 0.0), row["file"])
        if sort == "score":
            return (unscored, -(row["clip_s"] or 0.0), row["file"])
        lacking = row["distinctiveness"] is None
        return (lacking, -(row["distinctiveness"] or 0.0), row["file"])

    return key


def _text(report: RankReport, rows: list[dict[str, Any]]) -> str:
    if not report.captions:
        return "There are no captions to rank yet. Write some, or run 'seedcap caption' first."
    lines = [
        f"{report.captions:,} captions of {report.photos:,} photos, scored with {report.encoder}: "
        f"CLIP-S {report.clip_s:.3f}, {report.r1:.1f}% find their photo first of {report.gallery_size:,}, "
        f"MRR {report.mrr:.3f}.",
        "",
        "CLIP-S  margin",
    ]
    lines[1:1] = filter(None, [report.too_long.sentence()])
    for row in rows:
        if row["clip_s"] is not None:
            margin = "      -" if row["distinctiveness"] is None else f"{row['distinctiveness']:+7.3f}"
            lines.append(f"{row['clip_s']:6.3f} {margin}  {Path(row['file']).name}: {row['caption']}")
            lines.append(f"                {row['sentence']}")
    lines += [f"{path}: {reason}" for path, reason in report.failed]
    return "\n".join(lines)
