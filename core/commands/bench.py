"""``bench NAME``: run one benchmark and write its measures."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Run a benchmark. --json FILE writes its measures with their aims, the machine and the commit."
NAMES = (
    "demo", "encoder", "captions", "one-button", "library", "app", "fuzz", "crash", "quality", "training-speed", "onnx",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, metavar="DIR", help="real photos: flickr8k/, flickr8k_original/ …")
    parser.add_argument("--encoder", default="starter", help="the encoder to measure (bench encoder)")
    parser.add_argument("--photos", type=int, default=100_000, metavar="N", help="how many (bench library, app)")
    parser.add_argument("--cases", type=int, default=10_000, metavar="N", help="broken files to read (bench fuzz)")
    parser.add_argument("--random-seed", type=int, default=0, metavar="N", help="of the broken files, or the kills")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="how often to kill (bench crash)")
    parser.add_argument("--task", default="two-percent", help="which quality to measure (bench quality)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many random seeds (bench quality)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keeps finished parts (bench quality, onnx, app)")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="read one kept case again (bench fuzz)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    if args.name == "demo":
        from core.bench import demo

        result = demo.run(ctx)
    elif args.name == "encoder":
        from core.bench import encoder

        result = encoder.run(ctx, encoder.EncoderRequest(args.data, args.encoder))
    elif args.name == "captions":
        from core.bench import captions

        result = captions.run(ctx, captions.CaptionsRequest(args.data))
    elif args.name == "library":
        from core.bench import library

        result = library.run(ctx, library.LibraryBenchRequest(args.photos))
    elif args.name == "app":
        from core.bench import app

        result = app.run(ctx, app.AppBenchRequest(args.photos, args.work))
    elif args.name == "fuzz":
        from core.bench import fuzz

        result = fuzz.run(ctx, fuzz.FuzzRequest(args.cases, args.random_seed, replay=args.replay))
    elif args.name == "crash":
        from core.bench import crash

        result = crash.run(ctx, crash.CrashRequest(args.kills, args.random_seed))
    elif args.name == "quality":
        from core.bench.quality import tasks

        result = tasks.run(ctx, tasks.QualityRequest(args.task, args.data, args.seeds, args.work))
    elif args.name == "training-speed":
        from core.bench import training_speed

        result = training_speed.run(ctx, training_speed.SpeedRequest(work=args.work))
    elif args.name == "onnx":
        from core.bench import onnx_speed

        result = onnx_speed.run(ctx, onnx_speed.OnnxRequest(args.data, args.work))
    else:
        from core.bench import one_button

        result = one_button.run(ctx, one_button.OneButtonRequest(args.data))
    return CommandResult(result.to_dict(), result.table())
