"""``models``: encoders and language models worth naming, what of them is here, getting and removing them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from core import paths
from core.asking import agreed
from core.commands.result import CommandResult
from core.errors import UserError
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.hub.cache import Downloaded

HELP = """list: encoders and language models worth naming, with what each takes to download and to train, its licence,
what it is good for, and what is on this computer; any other works by typing its name. get NAME: say all that of one
model, and download it; what was stopped goes on, every file is checked, and the version is noted so that it stays
the same. remove NAME: delete a downloaded model. HF_ENDPOINT sets a mirror, HTTPS_PROXY a proxy, HF_HUB_CACHE the
folder."""

_TITLES = {"encoder": "Encoders, for --encoder:", "language_model": "Language models, for --lm:"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "get", "remove"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the model to get or to remove")
    parser.add_argument("--yes", action="store_true", help="get: download without asking")
    parser.add_argument("--update", action="store_true", help="get: take the newest version, and note that one")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    if args.action == "list":
        return _list()
    if not args.name:
        raise UserError(f"'models {args.action}' needs a name.", "'seedcap models' lists some.")
    return _get(args, ctx) if args.action == "get" else _remove(args.name)


def _get(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.hub.cache import bytes_here, megabytes
    from core.hub.get import described, get, memory_of, pinned_or_asked
    from core.hub.pins import lock_file

    ctx.progress(0, None, f"Asking about {args.name}")
    pin = pinned_or_asked(args.name, update=args.update)
    here = bytes_here(pin)
    if here < pin.size:
        kept = f" ({megabytes(here)} of it are here already)" if here else ""
        print(f"{described(pin)}{kept}.", file=sys.stderr)
        if not args.yes and not _wanted():
            return CommandResult({"name": pin.name, "downloaded": False}, "Nothing was downloaded.")
    get(ctx, pin)
    data = {**asdict(pin), "size": pin.size, "memory_mb": memory_of(pin), "folder": paths.models_dir()}
    text = f"{pin.name} is in {paths.models_dir()}, every file checked. {lock_file()} keeps it at this version."
    return CommandResult({"downloaded": here < pin.size, **data}, text)


def _wanted() -> bool:
    if not sys.stdin.isatty():
        raise UserError("Nobody is there to say yes to this download.", "Add --yes.")
    return agreed("Download it?")


def _remove(name: str) -> CommandResult:
    from core.hub.cache import megabytes, remove

    freed = remove(name)
    text = f"Removed {name} from {paths.models_dir()}: {megabytes(freed)}. 'seedcap models get' brings the same back."
    return CommandResult({"name": name, "freed": freed}, text)


def _list() -> CommandResult:
    from core.encoders.load import LOADERS
    from core.hub.cache import downloaded, megabytes
    from core.hub.pins import lock_file
    from core.known_models import known_models

    models, here = known_models(), {one.name: one for one in downloaded()}
    lines: list[str] = []
    for kind, title in _TITLES.items():
        lines += ["", title] if lines else [title]
        for model in (one for one in models if one.kind == kind):
            size = f"{megabytes(model.size_mb * 1_000_000)} to download" if model.download else "nothing to download"
            size = "on this computer" if (one := here.get(model.name)) and one.whole else size
            memory = megabytes(model.memory_mb * 1_000_000)
            lines += [
                f"  {model.name}",
                f"      {model.sentence}",
                f"      {size}, about {memory} of memory to train with. Licence: {model.licence}.",
            ]
    others = ", ".join(loader.names for loader in LOADERS.values())
    lines += ["", f"Any other encoder: {others}."]
    lines += ["Any other language model: dir:PATH, gguf:FILE, hf:REPO[@REVISION].", ""]
    lines += [f"Downloaded models are in {paths.models_dir()}{':' if here else '.'}"]
    lines += [f"  {one.name}: {_state(one, megabytes(one.bytes))}" for one in here.values()]
    if lock_file().exists():
        lines += [f"Their versions are noted in {lock_file()}."]
    data = [{**asdict(model), "size_mb": model.size_mb, "memory_mb": model.memory_mb} for model in models]
    return CommandResult({"models": data, "folder": paths.models_dir(), "here": list(here.values())}, "\n".join(lines))


def _state(one: Downloaded, size: str) -> str:
    return size if one.whole else f"{100 * one.bytes_here // one.bytes} % of {size}; 'models get' brings the rest"
