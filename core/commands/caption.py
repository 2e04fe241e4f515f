"""``caption``: a folder of photos into a JSON Lines file, or the photos of a library into candidates."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.asking import agreed, somebody_is_there
from core.commands.result import CommandResult, listed
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.provider_table import NAMES

if TYPE_CHECKING:
    from core.batch.requests import CaptionOptions, CaptionReport, LibraryCaptionRequest

HELP = """Caption every photo of a folder (one JSON object a line into --out), or of a library (as candidates).
Without --bundle the library's current model is used, else the starter, exported once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR_OR_LIB", type=Path, help="a folder of photos, or a library NAME.seedcap")
    parser.add_argument("--bundle", metavar="B", type=Path, help="caption with this bundle")
    parser.add_argument("--out", metavar="F.jsonl", type=Path, help="for a folder: the file to write")
    parser.add_argument("--candidates", metavar="N", type=int, help="so many captions a photo (default 1)")
    parser.add_argument(
        "--rank",
        action="store_true",
        help="put the candidate with the highest CLIP-S first; for a folder also the rank of each caption in it",
    )
    parser.add_argument("--shard", metavar="i/n", help="only part i of n, by content: for several machines")
    parser.add_argument(
        "--write-list",
        metavar="LIST",
        type=Path,
        help="for a library: caption nothing, but write down which photos are to be captioned, for other machines",
    )
    parser.add_argument(
        "--list", metavar="LIST", type=Path, help="for a folder: the photos of such a list only, which must be in it"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask about the battery")
    _add_going_on(parser)
    _add_how(parser)
    _add_machine(parser)
    _add_ray(parser)


def _add_going_on(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a job that was stopped; in a library as it was begun, what is not said again",
    )
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: try the failed photos again")
    parser.add_argument(
        "--existing",
        choices=("skip", "add", "replace-model"),
        help="for a library: photos that have captions are skipped (default; with --resume it is as before), get one "
        "more candidate, or a new one in the place of the model's; what people wrote always stays",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how captions are made (default: as the bundle says)")
    how.add_argument("--method", choices=("greedy", "beam", "sample"))
    how.add_argument("--beams", metavar="N", type=int)
    how.add_argument("--max-tokens", metavar="N", type=int)
    how.add_argument(
        "--distinctive",
        metavar="0..1",
        type=float,
        help="choose among five captions a photo: 0 by their wording, 1 by their fit to the photo; in a library "
        "whose model has both stages, also mix these (0 stage 1, 1 stage 2)",
    )
    how.add_argument("--seed", metavar="N", type=int, help="for --method sample (default 0)")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "--batch",
        metavar="N",
        type=int,
        help="photos at once (default: 32 on a processor and with ray, on a graphics card found by trial)",
    )
    machine.add_argument("--threads", metavar="N", type=int, help="default: one for each core")
    machine.add_argument(
        "--provider",
        "--device",
        choices=NAMES,
        default="auto",
        help="what runs the model (default: a graphics card that gives the processor's numbers, else the processor; "
        "tensorrt, migraphx, coreml and openvino only when named, since they may compile for minutes)",
    )


def _add_ray(parser: argparse.ArgumentParser) -> None:
    ray = parser.add_argument_group("several machines (see also --shard and --list)")
    ray.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: on the Ray cluster of RAY_ADDRESS, or one made of this machine (needs the extra 'ray'); every "
        "machine must find the photos and the bundle at the same paths",
    )
    ray.add_argument(
        "--sessions", metavar="N", type=int, help="with ray: open bundles (default: as the machines allow)"
    )
    ray.add_argument("--decoders", metavar="N", type=int, help="with ray: photos decoded at a time, in all")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    _check(args)
    # What a list names lies below a folder of photos, and that may lie beside its library on storage they share.
    library = library_at(args.source, beside=args.list is None)
    if args.write_list is not None:
        return _write_list(args, library, ctx)
    report = _caption_folder(args, ctx) if library is None else _caption_library(args, library, ctx)
    if report is None:
        return CommandResult({"done": 0}, "Nothing was captioned.")
    lines = [f"{report.done:,} photos captioned in {report.seconds:.1f} s ({report.rate:.1f} a second)."]
    if report.nothing_new:
        lines.append(
            f"For {report.nothing_new:,} of them nothing new came: what was said is there, or was rejected, already."
        )
    if report.provider:
        lines.append(report.provider)
    if report.already:
        lines.append(f"{report.already:,} were done before.")
    if report.skipped:
        lines.append(
            f"{report.skipped:,} photos have captions and were skipped; --existing replace-model writes new ones in "
            "the place of the model's, what people wrote stays."
        )
    if report.gallery:
        lines.append(f"Each caption's rank is among {report.gallery:,} photos.")
    lines += filter(None, [report.too_long.sentence()])
    if library is None:
        lines.append(f"Captions: {_out(args)}")
    reasons = [f"{file}: {reason}" for file, reason in report.failed]
    lines += listed("could not be captioned", reasons, report.failed_count)
    return CommandResult(_data(report, None if library else _out(args)), "\n".join(lines), report.failed_count)


def _check(args: argparse.Namespace) -> None:
    if args.write_list is not None:
        _check_writes_list(args)
    for name in ("candidates", "beams", "max_tokens", "batch", "threads", "sessions", "decoders"):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= 4096:
            raise UserError(f"--{name.replace('_', '-')} must be from 1 to 4096, not {value}.", "")
    if args.seed is not None and not 0 <= args.seed < 2**63:
        raise UserError(f"--seed must be 0 or more, not {args.seed}.", "")
    if args.beams and args.method in ("greedy", "sample"):
        raise UserError(f"--beams has no meaning with --method {args.method}.", "Leave it away, or use --method beam.")
    if (args.candidates or 1) > 1 and args.method == "greedy":
        raise UserError("Greedy decoding gives one caption a photo.", "Use --method beam or sample for candidates.")
    if args.distinctive is not None and not 0 <= args.distinctive <= 1:
        raise UserError(f"--distinctive must be from 0 to 1, not {args.distinctive:g}.", "0.5 is the middle.")
    if args.engine == "local" and (args.sessions or args.decoders):
        raise UserError("--sessions and --decoders are for --engine ray.", "Leave them away, or add --engine ray.")
    if args.retry_failed and not args.resume:
        raise UserError("--retry-failed goes on with an earlier job.", "Add --resume.")


def _check_writes_list(args: argparse.Namespace) -> None:
    """``--write-list`` captions nothing, so that what says how to caption has no meaning beside it."""
    for name in ("resume", "retry_failed", "out", "bundle", "list"):
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"--write-list captions nothing, so {option} has no meaning beside it.", f"Leave {option} away."
            )


def library_at(source: Path, *, beside: bool = True) -> Path | None:
    """The library that ``source`` names, if it names one; ``beside``: without its ``.seedcap`` too. Looked up without
    loading the database."""
    for folder in (source, Path(f"{source.absolute()}.seedcap")) if beside else (source,):
        if (folder / "library.db").is_file():
            return folder
    return None


def _out(args: argparse.Namespace) -> Path:
    return args.out or Path(f"{args.source.absolute().name or 'captions'}.jsonl")


def _options(args: argparse.Namespace) -> CaptionOptions:
    from core.batch.requests import CaptionOptions

    return CaptionOptions(
        candidates=args.candidates,
        method=args.method,
        beams=args.beams,
        max_tokens=args.max_tokens,
        seed=args.seed,
        by_score=args.rank,
        distinctive=args.distinctive,
        batch=args.batch,
        threads=args.threads,
        provider=args.provider,
        engine=args.engine,
        sessions=args.sessions,
        decoders=args.decoders,
    )


def _may_use_the_battery(args: argparse.Namespace, photos_left: Callable[[], int]) -> bool:
    """On its battery a computer may not last until many photos are captioned; somebody who is there is asked."""
    from core.batch.pace import expected
    from core.power import LONG_S, battery_percent

    left = None if args.yes or not somebody_is_there() else battery_percent()
    if left is None or (photos := photos_left()) == 0 or expected("", photos).high < LONG_S:
        return True
    said = f"This computer runs on its battery ({left}%), and to caption {photos:,} photos may take long"
    return agreed(f"{said}; what is done is kept, and --resume does the rest. Caption all the same?")


def _caption_folder(args: argparse.Namespace, ctx: JobContext) -> CaptionReport | None:
    """``None``: somebody would rather not."""
    from core.batch.listing import Shard
    from core.batch.requests import CaptionRequest
    from core.batch.runner import caption_folder, photos_left

    shard = Shard.parse(args.shard) if args.shard else None
    request = CaptionRequest(
        args.source, _out(args), args.bundle, args.rank, shard, args.resume, args.retry_failed, _options(args),
        args.list,
    )  # fmt: skip
    may = _may_use_the_battery(args, lambda: photos_left(request))
    return caption_folder(ctx, request) if may else None


def _caption_library(args: argparse.Namespace, library: Path, ctx: JobContext) -> CaptionReport | None:
    from core.batch.library_runner import photos_left
    from core.batch.runner import caption_library
    from core.library.library import Library

    if args.out is not None:
        raise UserError(
            "The captions of a library stay in the library.",
            f"Leave --out away, then write them out with: seedcap export {args.source} --format jsonl",
        )
    if args.list is not None:
        raise UserError("--list is for the folder of photos on another machine.", "Name that folder instead.")
    request = _library_request(args, library)
    with Library.open(library, exclusive=True) as opened:
        may = _may_use_the_battery(args, lambda: photos_left(opened, request))
        return caption_library(ctx, request) if may else None


def _library_request(args: argparse.Namespace, library: Path) -> LibraryCaptionRequest:
    from core.batch.listing import Shard
    from core.batch.requests import LibraryCaptionRequest

    return LibraryCaptionRequest(
        library=library,
        bundle=args.bundle,
        existing=args.existing,
        shard=Shard.parse(args.shard) if args.shard else None,
        resume=args.resume,
        retry_failed=args.retry_failed,
        options=_options(args),
    )


def _write_list(args: argparse.Namespace, library: Path | None, ctx: JobContext) -> CommandResult:
    from core.batch.library_parts import write_list

    if library is None:
        raise UserError(f"{args.source} is not a library.", "A list is of the photos of a library.")
    report = write_list(ctx, _library_request(args, library), args.write_list)
    lines = [
        f"{report.photos:,} photos to caption, {report.contents:,} without copies: {args.write_list}",
        f"Their paths begin at {report.folder}; on another machine: seedcap caption COPY_OF_IT "
        f"--list {args.write_list.name} --out part.jsonl",
        f"Then here: seedcap merge {args.source} part.jsonl",
    ]
    if report.skipped:
        lines.append(f"{report.skipped:,} photos have captions and are not in the list.")
    data = {"list": args.write_list, "photos": report.photos, "contents": report.contents, "folder": report.folder}
    return CommandResult({**data, "skipped": report.skipped}, "\n".join(lines))


def _data(report: CaptionReport, out: Path | None) -> dict[str, object]:
    return {
        "photos": report.done + report.failed_count,
        "done": report.done,
        "already": report.already,
        "skipped": report.skipped,
        "nothing_new": report.nothing_new,
        "failed_count": report.failed_count,
        "failed": [{"file": file, "reason": reason} for file, reason in report.failed],
        "seconds": report.seconds,
        "photos_per_second": report.rate,
        "shares": report.shares,
        "out": out,
        "bundle": report.bundle,
        "model_hash": report.model_hash,
        "provider": report.provider,
        "gallery": report.gallery,
        "too_long": report.too_long,
    }
