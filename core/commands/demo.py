"""``demo``: the whole journey without a window."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = (
    "The whole journey: a library, a few captions, both stages, ranking, an ONNX bundle, captions for every photo. "
    "With a display the app opens on the sample library instead; --headless stays in the terminal."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", type=Path, metavar="DIR", help="real photos with a captions.csv (image,caption)")
    parser.add_argument("--seeds", type=int, metavar="N", default=32, help="how many photos get captions (32)")
    parser.add_argument("--headless", action="store_true", help="without a window")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep library, bundle and captions here")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.demo import DemoRequest, demo_job

    report = demo_job(ctx, DemoRequest(args.photos, args.seeds, args.out))
    return CommandResult(report.to_dict(), report.table(), len(report.failed))
