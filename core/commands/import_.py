"""``import``: a folder of photos, and captions if there are any, into a library."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import SHOWN, CommandResult, listed
from core.jobs import JobContext

HELP = "Scan the photos in DIR into the library LIB (made if it is not there), and take in captions from a file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder of photos; it is left as it is")
    parser.add_argument(
        "--instead-of",
        metavar="OLD",
        type=Path,
        help="then take the folder OLD, which is gone for good, out of the library; captions of its photos stay: with "
        "copies of them, or as captions of photos that are missing",
    )
    parser.add_argument(
        "--captions",
        metavar="FILE",
        type=Path,
        help="captions for these photos: CSV with columns image,caption, JSON Lines, COCO JSON, "
        "or a folder of .txt and .xmp files",
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("seed", "candidate"),
        default="seed",
        help="take the captions as seeds to learn from (default), or as candidates to look at first",
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.exchange.imports import import_captions
    from core.library.leaving import take_out
    from core.library.library import Library
    from core.library.place import network_warning
    from core.library.queries import counts
    from core.library.scan import scan

    with Library.open_or_create(args.library, exclusive=True) as library:
        report = scan(library, args.folder, ctx)
        taken_out = take_out(library, args.instead_of, ctx) if args.instead_of else None
        imported = import_captions(library, args.captions, args.kind) if args.captions else None
        totals = counts(library)
        warning = network_warning(library.path)
    lines = [warning] if warning else []
    lines += [
        f"{report.found:,} photos: {report.added:,} new, {report.changed:,} changed, "
        f"{report.renamed:,} renamed or moved, "
        f"{report.missing:,} missing now"
        + (f", {report.returned:,} that were missing are back." if report.returned else ".")
    ]
    lines += listed("could not be used", [f"{error.path}: {error.reason}" for error in report.errors])
    if taken_out is not None:
        lines.append(
            f"{taken_out.folder} is taken out: copies of {taken_out.moved:,} photos have their captions now, "
            f"{taken_out.kept:,} with captions stay as missing, {taken_out.forgotten:,} without are gone."
        )
    failed = len(report.errors)
    if imported is not None:
        lines.append(
            f"{imported.captions:,} captions of {imported.photos:,} photos taken in as {args.kind}s"
            + (f" ({imported.present:,} were there already)." if imported.present else ".")
        )
        if imported.encoding:
            lines.append(f"The file does not say its encoding; it was read as {imported.encoding}. Check the accents.")
        if imported.ignored:
            lines.append(f"Not taken in: the columns {', '.join(imported.ignored[:SHOWN])}.")
        lines += listed("names of no photo here", imported.unmatched)
        lines += listed("names of several photos", imported.ambiguous)
        lines += listed("lines skipped", imported.skipped, imported.skipped_count)
        failed += len(imported.ambiguous) + imported.skipped_count
    data = {"scan": report, "taken_out": taken_out, "captions": imported, "counts": totals, "warning": warning}
    return CommandResult(data, "\n".join(lines), failed)
