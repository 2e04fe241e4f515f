"""``train``: learn from a library's seeds, in two stages, and say what came of it."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.asking import agreed, somebody_is_there
from core.commands.result import CommandResult
from core.errors import UserError
from core.jobs import Cancelled, JobContext

if TYPE_CHECKING:
    from core.library.library import Library
    from core.training.messages import TrainRequest

HELP = (
    "Learn from the captions that are seeds in LIB, then practise on its photos without captions. "
    "The new model is kept only if it is better on photos it never learned from."
)
_COLUMNS = (
    ("clip_s", "CLIP-S", ".3f"),
    ("r1", "R@1 %", ".1f"),
    ("mrr", "MRR", ".3f"),
    ("cider", "CIDEr-D", ".1f"),
    ("nll", "NLL", ".2f"),
    ("unique_ratio", "unique", ".2f"),
    ("rep2", "rep-2", ".3f"),
    ("length", "words", ".1f"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("library", metavar="LIB", type=Path, help="the library folder, NAME.seedcap")
    parser.add_argument("--preset", default="recommended", help="the method: recommended (default), two-stage, …")
    parser.add_argument("--encoder", default="starter", help="the encoder by name; see models (default: starter)")
    parser.add_argument("--lm", default="starter", help="the language model by name; see models (default: starter)")
    parser.add_argument("--text", metavar="FILE", type=Path, help="sentences, one a line, for practice without photos")
    parser.add_argument("--stages", choices=("1", "2", "12"), default="12", help="which stages to run (default: both)")
    parser.add_argument("--limit-minutes", metavar="M", type=float, help="stop the stages after so many minutes")
    parser.add_argument("--device", default="auto", help="cpu, mps, cuda:0, cuda:1, …; see doctor (default: the best)")
    parser.add_argument("--resume", action="store_true", help="go on with the training that was stopped")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0); one seed gives one result")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask about downloads, the battery and a stopped training"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change a setting of the preset, e.g. --set stage2.steps=60",
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.library.library import Library
    from core.training.job import stopped_run, train_job
    from core.training.messages import TrainRequest

    if args.limit_minutes is not None and args.limit_minutes <= 0:
        raise UserError("--limit-minutes must be above 0.", "Leave it out to train without a limit.")
    request = TrainRequest(
        library=args.library,
        preset=args.preset,
        encoder=args.encoder,
        lm=args.lm,
        text_file=args.text,
        stages=args.stages,
        limit_minutes=args.limit_minutes,
        resume=args.resume,
        seed=args.seed,
        overrides=dict(_pair(one) for one in args.overrides),
        device=args.device,
    )
    with Library.open(args.library, exclusive=True) as library:
        before = stopped_run(library)
        may = _may_begin_anew(args, library) and _may_download(args, library, request, ctx)
        if not (may and _may_use_the_battery(args)):
            return CommandResult({"report": None}, "Nothing was trained.")
        try:
            report = train_job(ctx, request)
        except Cancelled:
            stopped = stopped_run(library)
            mine = stopped is not None and (args.resume or before is None or stopped.id != before.id)
            raise Cancelled(f"Go on: {_going_on(args)}" if mine else "") from None
    lines = [_table({name: result.values for name, result in report.results.items()}), "", report.reason]
    lines += report.notes
    if (own := report.own_captions) is not None and own.few:
        lines.append(
            f"Of {own.captions} of your own captions {own.found} find their photo among the first five of {own.photos}:"
            " the encoder knows little of such photos, or of your words for them. 'seedcap models' lists others, for"
            " --encoder."
        )
    lines += [f"{gate.state.upper()} {gate.name}: {gate.sentence}" for gate in report.gates if gate.state != "green"]
    lines.append("'seedcap report' makes its page." if report.page is None else f"Report: {report.page}")
    lines.append(
        f"{report.seeds} seeds, {report.unlabelled} photos to practise on, {report.held_out} held out; "
        f"{report.seconds / 60:.1f} minutes. Run folder: {report.folder}"
    )
    return CommandResult({"report": report}, "\n".join(lines))


def _going_on(args: argparse.Namespace) -> str:
    return f"seedcap train {shlex.quote(str(args.library))} --resume"


def _may_begin_anew(args: argparse.Namespace, library: Library) -> bool:
    """A training that was stopped cannot be gone on with once another has begun; somebody who is there is asked."""
    from core.training.job import stopped_run

    stopped = None if args.resume or args.yes else stopped_run(library)
    if stopped is None:
        return True
    said = f"A training was stopped and can be gone on with ({_going_on(args)}); a new one ends that."
    if not somebody_is_there():
        print(said, file=sys.stderr)
    return agreed(f"{said} Begin a new one?", nobody=True)


def _may_download(args: argparse.Namespace, library: Library, request: TrainRequest, ctx: JobContext) -> bool:
    """Size, memory and licence are said before models are downloaded; somebody who is there is asked."""
    from core.hub.get import ask_about, described
    from core.training.job import meant

    if args.yes or not somebody_is_there():  # training says it as it begins
        return True
    request = meant(library, request)
    asked = ask_about(ctx, (request.encoder, request.lm))
    said = "\n".join(f"{described(pin)}." for pin in asked.values())
    return not asked or agreed(f"{said}\nDownload and train?")


def _may_use_the_battery(args: argparse.Namespace) -> bool:
    """On its battery a computer may not last until a training ends; somebody who is there is asked."""
    from core.power import LONG_S, battery_percent

    short = args.limit_minutes is not None and 60 * args.limit_minutes < LONG_S
    left = None if args.yes or short else battery_percent()
    if left is None:
        return True
    said = f"This computer runs on its battery ({left}%), and a training may take long; what it learned is kept."
    return agreed(f"{said} Train all the same?", nobody=True)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text} has no value.", "Write NAME=VALUE, e.g. --set stage2.steps=60.")
    return name.strip(), value.strip()


def _table(results: dict) -> str:
    """One row a model, the figures that were measured."""
    columns = [column for column in _COLUMNS if any(column[0] in values for values in results.values())]
    rows = [["", *(title for _, title, _ in columns)]]
    for name, values in results.items():
        rows.append([name, *(format(values[key], spec) if key in values else "–" for key, _, spec in columns)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
