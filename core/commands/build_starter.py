"""``build-starter``: make the embedded models again from photos, sentences and rendered scenes."""

from __future__ import annotations

import argparse
from pathlib import Path

from core import paths
from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Make the starter models again. Needs the extra build-starter, the data, and about an hour on 2 cores."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, metavar="DIR", help="flickr8k/, rsicd/ and text/")
    what.add_argument("--outline", action="store_true", help="only the outline of the bundle, of the models in --out")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="default: resources/starter")
    parser.add_argument("--work", type=Path, default=None, metavar="DIR", help="kept between runs; default: the cache")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.starter.outlined import add_outline

    out = args.out or paths.resources_dir() / "starter"
    if args.data is not None:
        from core.starter.build import Plan, build

        build(Plan(args.data, args.work or paths.cache_dir() / "build-starter", out), ctx)
    add_outline(ctx, out)
    return CommandResult({"out": str(out)}, f"The starter models are in {out}.")
