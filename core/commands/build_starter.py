"""``build-starter``: make the embedded models again from photos, sentences and rendered scenes."""

from __future__ import annotations

import argparse
from pathlib import Path

from core import paths
from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = "Make the starter models again. Needs the extra build-starter, the data, and about an hour on 2 cores."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="flickr8k/, rsicd/ and text/")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="default: resources/starter")
    parser.add_argument("--work", type=Path, default=None, metavar="DIR", help="kept between runs; default: the cache")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.starter.build import Plan, build

    out = args.out or paths.resources_dir() / "starter"
    build(Plan(args.data, args.work or paths.cache_dir() / "build-starter", out), ctx)
    return CommandResult({"out": str(out)}, f"The starter models are in {out}.")
