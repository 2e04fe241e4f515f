"""``export``: captions of a library as files for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Write the captions of LIB for other programs. A file that says something else is kept unless --overwrite."
_SHOWN = 20
_WORDS = {
    "create": "new",
    "same": "unchanged",
    "replace": "replaces other text",
    "keep": "kept: it says something else",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument(
        "--format",
        choices=("txt", "jsonl", "csv", "coco"),
        default="txt",
        help="txt: a file beside each photo (default)",
    )
    parser.add_argument("--out", metavar="PATH", type=Path, help="write there instead of into the photo folder")
    parser.add_argument(
        "--best", action="store_true", help="for photos without an accepted caption, write the best candidate"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that say something else")
    parser.add_argument("--dry-run", action="store_true", help="list what would be written, and write nothing")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.exchange.exports import plan_export, write_export
    from core.library.library import Library

    with Library.open(args.library) as library:
        plan = plan_export(
            library, args.format, args.out, which="best" if args.best else "accepted", overwrite=args.overwrite
        )
        report = None if args.dry_run else write_export(plan, ctx)
    files = [{"path": item.path, "action": item.action, "captions": item.captions} for item in plan.items]
    data = {
        "format": plan.format,
        "photos": plan.photos,
        "without": plan.without,
        "dry_run": args.dry_run,
        "files": files,
    }
    lines = [f"{plan.photos:,} photos with captions, {plan.without:,} without."]
    if report is None:
        lines += [f"  {item.path} ({_WORDS[item.action]})" for item in plan.items]
        return CommandResult(data, "\n".join([*lines, "Nothing was written."]))
    lines.append(f"{report.written:,} files written, {report.same:,} unchanged.")
    if report.kept:
        lines.append(f"{len(report.kept):,} files say something else and were kept (--overwrite replaces them):")
        lines += [f"  {path}" for path in report.kept[:_SHOWN]]
    lines += [f"  {path}: {reason}" for path, reason in report.failed]
    data |= {"written": report.written, "same": report.same, "kept": report.kept, "failed": report.failed}
    return CommandResult(data, "\n".join(lines), failed=len(report.kept) + len(report.failed))
