"""``blind``: what the blind rounds of a library have said about its models."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = (
    "Say how the blind rounds of LIB ended: how often a person, who did not know which caption was whose, preferred "
    "those of the newer model. Rounds are made in the app, in Review."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.library.blind_rounds import results
    from core.library.library import Library

    with Library.open(args.library) as library:
        found = results(library)
    data, lines = [], []
    for one in found:
        low, high = one.interval
        times = {"created_at": one.created_at.isoformat(), "ended_at": one.ended_at and one.ended_at.isoformat()}
        told = {"decided": one.decided, "low": low, "high": high, "verdict": one.verdict, "sentence": one.sentence}
        data.append(asdict(one) | times | told)
        lines.append(f"{one.created_at:%Y-%m-%d %H:%M} UTC, {one.new_model} beside {one.old_model}: {one.sentence}")
        lines.append(f"  no difference {one.same}, said alike {one.equal}, not answered {one.unanswered}")
    return CommandResult({"rounds": data}, "\n".join(lines) or "No blind round has ended in this library.")
