"""``report``: the page about a training, as a file that opens in any browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = (
    "Write the page about a training of LIB: curves, every model side by side with intervals, ten photos, what the "
    "gates said, all settings. It needs no network. The photos on it are inside the file."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("--run", metavar="ID", help="which training (default: the newest that ended)")
    parser.add_argument("--again", action="store_true", help="measure its models once more")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also train what it is compared with: sentences without photos, similarity alone, fewer seeds, and, below "
        "25 seeds, with each fifth left out in turn. It takes several times as long as the training",
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.report.document import PageData
    from core.report.job import ReportRequest, report_job

    result = report_job(ctx, ReportRequest(args.library, args.run, args.again, args.full))
    lines = [f"Report: {result.page}", *PageData.from_dict(result.data).seeds.sentences]
    return CommandResult({"run": result.run_id, "page": result.page, "data": result.data}, "\n".join(lines))
