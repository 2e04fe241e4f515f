"""``merge``: captions made on several machines, into the library they were made for or into one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.caption import library_at
from core.commands.result import CommandResult, listed
from core.errors import UserError
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.batch.parts import PartsReport

HELP = """Put together what 'caption --shard' or 'caption --list' wrote on several machines: into the library LIB, as
candidates of the photos with the same content, or into the file F.jsonl. Merging again changes nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="LIB_OR_F.jsonl", type=Path, help="a library NAME.seedcap, or a file to write"
    )
    parser.add_argument("parts", metavar="PART", nargs="+", type=Path, help="a file that 'caption' wrote")
    parser.add_argument(
        "--existing",
        choices=("skip", "add", "replace-model"),
        help="for a library: photos that have captions are left alone (default), get candidates beside them, or in the "
        "place of the model's; what people wrote always stays",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would come of it, and write nothing")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    library = library_at(args.target)
    data, lines, parts = _into_file(args, ctx) if library is None else _into_library(args, library, ctx)
    lines = [f"{parts.photos:,} photos are captioned in {parts.parts:,} parts.", *lines]
    if parts.repeated:
        lines.append(f"{parts.repeated:,} lines say again what another one says.")
    if len(parts.models) > 1:
        lines.append(f"The captions are of {len(parts.models)} different bundles.")
    for title, found in (
        ("captions differ from an earlier one of the same photo and were left out", parts.conflicts),
        ("photos could not be captioned", parts.failed),
        ("lines are damaged", parts.damaged),
    ):
        lines += listed(title, found.shown, found.count)
    if args.dry_run:
        lines.append("Nothing was written.")
    data |= {"dry_run": args.dry_run, "models": sorted(parts.models)}
    data |= {name: getattr(parts, name) for name in ("parts", "photos", "repeated", "conflicts", "failed", "damaged")}
    failed = parts.conflicts.count + parts.failed.count + parts.damaged.count
    return CommandResult(data, "\n".join(lines), failed)


def _into_library(
    args: argparse.Namespace, library: Path, ctx: JobContext
) -> tuple[dict[str, object], list[str], PartsReport]:
    from core.batch.library_parts import merge_parts
    from core.library.library import Library

    with Library.open(library, exclusive=True) as opened:
        report = merge_parts(ctx, opened, args.parts, args.existing or "skip", dry_run=args.dry_run)
    lines = [f"{report.merged:,} photos of the library {'would get' if args.dry_run else 'got'} candidates."]
    if report.present:
        lines.append(f"{report.present:,} had them already.")
    if report.kept:
        lines.append(
            f"{report.kept:,} have other captions and were left alone (--existing add puts these beside them)."
        )
    lines += listed("are not in this library", report.unmatched.shown, report.unmatched.count)
    if report.merged and not args.dry_run:
        lines.append(f"Score them with: seedcap rank {args.target}")
    names = ("merged", "captions", "present", "kept", "unmatched")
    return {name: getattr(report, name) for name in names}, lines, report.parts


def _into_file(args: argparse.Namespace, ctx: JobContext) -> tuple[dict[str, object], list[str], PartsReport]:
    from core.batch.parts import merge_files

    if args.existing is not None:
        raise UserError("--existing is for merging into a library.", "Leave it away.")
    if args.target.suffix not in (".jsonl", ".ndjson"):
        raise UserError(f"{args.target} is not a library.", "Name a library, or a file that ends in .jsonl.")
    report = merge_files(ctx, args.parts, args.target, dry_run=args.dry_run)
    return {"out": args.target}, [] if args.dry_run else [f"Captions: {args.target}"], report
