"""``search``: photos of a library by what they show, and by what is known of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Find photos of LIB: those that show what the words say, best first, or those that a filter describes."
SORTS = ("path", "score", "weakest", "distinctiveness")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("text", metavar="TEXT", nargs="?", help="what the photos should show, e.g. 'a red boat'")
    parser.add_argument(
        "--filter",
        metavar="F",
        default="",
        help="only photos for which this holds: state: score: rank: folder: author: run: written: date:, words, "
        "“text in quotes”, AND OR NOT ( ); e.g. 'state:accepted score:<0.55 folder:2024'",
    )
    parser.add_argument("--sort", choices=SORTS, default="path", help="the order without TEXT (default path)")
    parser.add_argument("-n", "--number", metavar="N", type=int, default=20, help="how many photos (default 20)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.errors import UserError

    if args.number < 1:
        raise UserError(f"{args.number} photos cannot be found.", "Ask for at least one.")
    if args.text is not None:
        return _by_words(args, ctx)
    if not args.filter.strip():
        raise UserError("There is nothing to search for.", "Give words, or a filter, e.g. --filter state:accepted")
    return _by_filter(args)


def _by_words(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.encoders.find import SearchRequest, search_job

    report = search_job(ctx, SearchRequest(args.library, args.text, args.number, args.filter))
    hits = [{"image_id": hit.image_id, "file": hit.path, "cosine": round(hit.cosine, 4)} for hit in report.hits]
    none = "No photo fits the filter." if args.filter else "The library has no photos."
    lines = [f"{hit.cosine:6.3f}  {hit.path}" for hit in report.hits] or [none]
    lines += [f"{path}: {reason}" for path, reason in report.failed]
    data = {"text": args.text, "filter": args.filter, "photos": report.photos, "hits": hits, "failed": report.failed}
    return CommandResult(data, "\n".join(lines), len(report.failed))


def _by_filter(args: argparse.Namespace) -> CommandResult:
    from core.library.library import Library
    from core.library.paging import page
    from core.library.queries import captions_of, image_ids, image_rows

    with Library.open(args.library) as library:
        found = page(library, args.filter, sort=args.sort, limit=args.number).ids
        total = len(image_ids(library, filter=args.filter))
        captions = captions_of(library, found)
        rows = image_rows(library, found)
    hits, lines = [], []
    for row in rows:
        best = next((caption for caption in captions[row.id] if caption.state != "rejected"), None)
        score = best.score if best else None
        hits.append({
            "image_id": row.id, "file": row.path, "caption": best.text if best else None,
            "state": best.state if best else None, "score": score.clip_s if score else None,
            "rank": score.rank if score else None,
        })  # fmt: skip
        shown = f"{score.clip_s:6.3f}" if score else "     –"
        lines.append(f"{shown}  {row.path}  {best.text if best else ''}".rstrip())
    lines = lines or ["No photo fits the filter."]
    if total > len(rows):
        lines.append(f"… and {total - len(rows):,} more")
    return CommandResult({"filter": args.filter, "photos": total, "hits": hits}, "\n".join(lines))
