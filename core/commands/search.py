"""``search``: photos of a library by words."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Find the photos of LIB that show what the words say, best first."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("text", metavar="TEXT", help="what the photos should show, e.g. 'a red boat'")
    parser.add_argument("-n", "--number", metavar="N", type=int, default=20, help="how many photos (default 20)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.encoders.find import SearchRequest, search_job

    report = search_job(ctx, SearchRequest(args.library, args.text, args.number))
    hits = [{"image_id": hit.image_id, "file": hit.path, "cosine": round(hit.cosine, 4)} for hit in report.hits]
    lines = [f"{hit.cosine:6.3f}  {hit.path}" for hit in report.hits] or ["The library has no photos."]
    lines += [f"{path}: {reason}" for path, reason in report.failed]
    data = {"text": args.text, "photos": report.photos, "hits": hits, "failed": report.failed}
    return CommandResult(data, "\n".join(lines), len(report.failed))
