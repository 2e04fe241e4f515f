"""``export``: captions of a library for other programs, as files or inside the photos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.result import SHOWN, CommandResult, listed
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.exchange.plan import ExportItem, ExportPlan, ExportReport

HELP = "Write the captions of LIB for other programs. What says something else is kept unless --overwrite."
_WIDTH = 60
_WORDS = {
    "create": "new",
    "merge": "fields added, everything else stays",
    "same": "unchanged",
    "replace": "replaces other text",
    "keep": "kept: it says something else",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from core.exchange.formats import known_formats

    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument(
        "--format",
        choices=known_formats(),
        default="txt",
        help="txt: a file beside each photo (default); xmp: merged into XMP sidecars; "
        "metadata: inside the photos, through ExifTool",
    )
    parser.add_argument("--out", metavar="PATH", type=Path, help="write there instead of into the photo folder")
    parser.add_argument(
        "--best", action="store_true", help="for photos without an accepted caption, write the best candidate"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what says something else")
    parser.add_argument("--dry-run", action="store_true", help="list what would be written, and write nothing")
    parser.add_argument("--undo", action="store_true", help="put back what the last export changed")
    parser.add_argument(
        "--sidecars",
        choices=("full", "stem"),
        default="full",
        help="new XMP files: a.jpg.xmp (full; darktable, digiKam) or a.xmp (stem; Lightroom, Capture One)",
    )
    parser.add_argument(
        "--fields",
        default="description,alt-text",
        metavar="NAMES",
        help="which fields of xmp and metadata get the caption: description, alt-text, or both with a comma (default)",
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.exchange.exports import plan_export, write_export
    from core.exchange.plan import MetadataOptions
    from core.library.library import Library

    # Writing into the photos changes what the library knows of them; everything else only reads it.
    changes_photos = args.undo or (args.format == "metadata" and not args.dry_run)
    with Library.open(args.library, exclusive=changes_photos) as library:
        if args.undo:
            return _undo(library, ctx)
        fields = tuple(name.strip() for name in args.fields.split(",") if name.strip())
        plan = plan_export(
            library,
            args.format,
            args.out,
            which="best" if args.best else "accepted",
            overwrite=args.overwrite,
            metadata=MetadataOptions(args.sidecars, fields),
        )
        report = None if args.dry_run else write_export(plan, ctx)
    lines = [f"{plan.photos:,} photos with captions, {plan.without:,} without.", *plan.notes]
    data = {
        "format": plan.format,
        "photos": plan.photos,
        "without": plan.without,
        "dry_run": args.dry_run,
        "notes": plan.notes,
        "files": [_described(item, fields=args.dry_run) for item in plan.items],
        "refused": plan.refused,
    }
    if report is None:
        return CommandResult(data, "\n".join([*lines, *_preview(plan), "Nothing was written."]))
    data |= {"written": report.written, "same": report.same, "kept": report.kept, "failed": report.failed}
    data["undo"] = report.undo
    return CommandResult(data, "\n".join([*lines, *_told(report)]), failed=len(report.kept) + len(report.failed))


def _described(item: ExportItem, *, fields: bool) -> dict[str, object]:
    described: dict[str, object] = {"path": item.path, "action": item.action, "captions": item.captions}
    if fields:
        described |= {"fields": item.changes, "more": item.more}
    return described


def _preview(plan: ExportPlan) -> list[str]:
    lines = []
    for item in plan.items:
        lines.append(f"  {item.path} ({_WORDS[item.action]})")
        if item.action != "same":
            lines += [
                f"    {change.field}: {_short(change.before)} -> "
                + (f"kept{', ' + change.note if change.note else ''}" if change.kept else _short(change.after))
                for change in item.changes[:SHOWN]
                if change.before != change.after
            ]
            left = len(item.changes) - SHOWN + item.more
            lines += [f"    and {left:,} more"] if left > 0 else []
    return lines + [f"  {path}: {reason}" for path, reason in plan.refused]


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    line = text.strip().replace("\n", " / ")
    return f'"{line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"}"'


def _told(report: ExportReport) -> list[str]:
    lines = [f"{report.written:,} files written, {report.same:,} unchanged."]
    lines += listed("files say something else and were kept (--overwrite replaces them)", [*map(str, report.kept)])
    lines += listed("files could not be written", [f"{path}: {reason}" for path, reason in report.failed])
    return lines + (["'seedcap export LIB --undo' takes this back."] if report.undo else [])


def _undo(library, ctx: JobContext) -> CommandResult:  # noqa: ANN001 - a Library, imported where it is needed
    from core.exchange.exports import undo_export

    report = undo_export(library, ctx)
    lines = [f"{len(report.restored):,} files say again what they said, {len(report.removed):,} were removed."]
    lines += listed("files were left as they are", [f"{path}: {reason}" for path, reason in report.kept])
    data = {"undone": report.name, "restored": report.restored, "removed": report.removed, "kept": report.kept}
    return CommandResult(data, "\n".join(lines), failed=len(report.kept))
