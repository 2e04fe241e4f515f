"""``bundle``: a trained model as a folder that captions with onnxruntime alone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from core.commands.result import CommandResult
from core.errors import UserError
from core.jobs import JobContext

HELP = "Export a model to ONNX in the folder OUT, and check that it says the same as before."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="RUN", help="a run folder, a checkpoint folder, or 'starter'")
    parser.add_argument("out", metavar="OUT", type=Path, help="the bundle's folder; a bundle that is there is replaced")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="fp32 (default) is exact; int8 is smaller and faster on a processor, fp16 on an NVIDIA card; what either "
        "loses is measured and told",
    )
    parser.add_argument(
        "--photos",
        metavar="DIR",
        type=Path,
        help="a folder of photos, or a library, to check and measure on (default: the library of the run, or drawn "
        "scenes)",
    )
    parser.add_argument(
        "--captions", metavar="FILE", type=Path, help="with --photos: captions by people for them, to measure CIDEr-D"
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
    from core.onnx.samples import samples_of

    request = ExportRequest(args.source, args.out, args.precision, distinctive=args.distinctive)
    if args.photos:
        found = samples_of(args.photos, args.parity, args.captions)
        request = replace(request, photos=found.photos, captions=found.captions, on=found.on)
    elif args.captions:
        raise UserError("--captions says what is on photos, and no photos are named.", "Name their folder: --photos.")
    report = export_job(ctx, request)
    lines = [
        f"Bundle written to {report.bundle}: {report.precision}, {report.bytes / 1e6:.1f} MB.",
        report.parity.sentence,
    ]
    if args.distinctive is not None:
        lines.append(f"Its weights are {1 - args.distinctive:.0%} stage 1 and {args.distinctive:.0%} stage 2.")
    loss = report.loss
    if loss is not None:
        lines += [f"Beside the exact bundle of the same model: {loss.sentence}", loss.verdict]
        if not loss.acceptable:
            lines.append("Use fp32; this bundle is written all the same, for whoever wants it.")
    elif report.parity.identical < report.parity.photos:
        lines.append(_differences(report.parity.unexplained))
    data = {"bundle": report.bundle, "precision": report.precision, "bytes": report.bytes,
            "model_hash": report.model_hash, "parity": report.parity, "loss": loss,
            "acceptable": loss is None or loss.acceptable}  # fmt: skip
    return CommandResult(data, "\n".join(lines), failed=report.parity.unexplained if loss is None else 0)


def _differences(unexplained: int) -> str:
    if unexplained:
        return f"In {unexplained} of those that differ the model was sure of its words: please report this as a fault."
    return "Where they differ two words were as likely as each other to the last digits."
