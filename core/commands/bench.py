"""``bench NAME``: run one benchmark and write its measures."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Run a benchmark. --json FILE writes its measures with their aims, the machine and the commit."
NAMES = ("encoder", "captions", "one-button")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, metavar="DIR", help="real photos: flickr8k/, flickr8k_original/ …")
    parser.add_argument("--encoder", default="starter", help="the encoder to measure (bench encoder)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    if args.name == "encoder":
        from core.bench import encoder

        result = encoder.run(ctx, encoder.EncoderRequest(args.data, args.encoder))
    elif args.name == "captions":
        from core.bench import captions

        result = captions.run(ctx, captions.CaptionsRequest(args.data))
    else:
        from core.bench import one_button

        result = one_button.run(ctx, one_button.OneButtonRequest(args.data))
    return CommandResult(result.to_dict(), result.table())
