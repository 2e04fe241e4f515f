"""``bundle``: a trained model as a folder that captions with onnxruntime alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Export a model to ONNX in the folder OUT, and check that it says the same as before."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="RUN", help="a run folder, a checkpoint folder, or 'starter'")
    parser.add_argument("out", metavar="OUT", type=Path, help="the bundle's folder; a bundle that is there is replaced")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="fp32 (default) is exact; int8 is smaller and faster on a processor, its captions differ now and then",
    )
    parser.add_argument(
        "--photos", metavar="DIR", type=Path, help="check parity on these photos (default: drawn scenes)"
    )
    parser.add_argument(
        "--distinctive",
        metavar="0..1",
        type=float,
        help="of a run with both stages, a mix: 0 as after stage 1, closest to your wording; 1 as after stage 2, which "
        "tells photos apart (default: the stage that was kept)",
    )
    parser.add_argument("--parity", metavar="N", type=int, default=200, help="at most so many of them (default 200)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.onnx.export import ExportRequest, export_job

    photos = _photos(args.photos, args.parity) if args.photos else ()
    report = export_job(ctx, ExportRequest(args.source, args.out, args.precision, photos, None, args.distinctive))
    lines = [
        f"Bundle written to {report.bundle}: {report.precision}, {report.bytes / 1e6:.1f} MB.",
        report.parity.sentence,
    ]
    if args.distinctive is not None:
        lines.append(f"Its weights are {1 - args.distinctive:.0%} stage 1 and {args.distinctive:.0%} stage 2.")
    if report.precision == "int8":
        change = report.parity.clip_s_difference
        lines.append(f"CLIP-S changes by {change:+.4f} on average. Use fp32 where every word must stay the same.")
    elif report.parity.identical < report.parity.photos:
        lines.append(_differences(report.parity.unexplained))
    return CommandResult({"bundle": report.bundle, "precision": report.precision, "bytes": report.bytes,
                          "model_hash": report.model_hash, "parity": report.parity}, "\n".join(lines))  # fmt: skip


def _differences(unexplained: int) -> str:
    if unexplained:
        return f"In {unexplained} of those that differ the model was sure of its words: please report this as a fault."
    return "Where they differ two words were as likely as each other to the last digits."


def _photos(folder: Path, most: int) -> tuple[Path, ...]:
    """The first photos of the folder that can be opened."""
    from core.errors import UserError
    from core.images.decode import ImageError, probe
    from core.library.walk import FoundFile, walk

    found: list[Path] = []
    for entry in walk(folder):
        if len(found) >= most:
            break
        if isinstance(entry, FoundFile):
            try:
                probe(entry.path)
            except ImageError:
                continue
            found.append(entry.path)
    if not found:
        raise UserError(f"There is no photo in {folder}.", "Name a folder of photos with --photos, or leave it out.")
    return tuple(found)
