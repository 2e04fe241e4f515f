"""``open``: the app. ``main.py`` starts it where there is a display; this is what is left where there is none."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.commands.result import CommandResult
from core.errors import UserError
from core.jobs import JobContext

HELP = "Open the app. With FOLDER, open the library that holds that folder, or make one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="a folder of photos, or a library")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    raise UserError(
        "The app needs a display, and there is none here.",
        "Use the commands instead ('seedcap --help' lists them), or 'seedcap demo --headless'.",
    )
