"""``suggest``: which photos of a library to label next."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = (
    "Say which photos of LIB to caption next: those that, with the ones captioned already, cover the library best. "
    "After a training, what the model is unsure of counts for more."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("-n", "--number", metavar="N", type=int, default=10, help="how many photos (default 10)")
    parser.add_argument("--coverage", action="store_true", help="do not ask the model what it is unsure of")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.encoders.find import SuggestRequest, suggest_job

    report = suggest_job(ctx, SuggestRequest(args.library, args.number, not args.coverage))
    photos = [{"image_id": photo.id, "file": photo.path} for photo in report.photos]
    lines = [str(photo.path) for photo in report.photos] or ["Every photo has a caption already."]
    lines += [f"{path}: {reason}" for path, reason in report.failed]
    data = {"labelled": report.labelled, "photos": photos, "failed": report.failed, "doubts": report.doubts}
    return CommandResult(data, "\n".join(lines), len(report.failed))
