"""``models``: encoders and language models worth naming, with size, memory and licence."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from core.commands.result import CommandResult
from core.jobs import JobContext

HELP = """List encoders and language models worth naming, with what each takes to download and to train, its licence,
and what it is good for. Any other works by typing its name."""

_TITLES = {"encoder": "Encoders, for --encoder:", "language_model": "Language models, for --lm:"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list",), default="list", help="list: show them (default)")


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.encoders.load import LOADERS
    from core.known_models import known_models

    models = known_models()
    lines: list[str] = []
    for kind, title in _TITLES.items():
        lines += ["", title] if lines else [title]
        for model in models:
            if model.kind != kind:
                continue
            size = f"{_megabytes(model.size_mb)} to download" if model.download else "nothing to download"
            lines += [
                f"  {model.name}",
                f"      {model.sentence}",
                f"      {size}, about {_megabytes(model.memory_mb)} of memory to train with. Licence: {model.licence}.",
            ]
    others = ", ".join(loader.names for loader in LOADERS.values())
    lines += ["", f"Any other encoder: {others}.", "Any other language model: dir:PATH, hf:REPO[@REVISION]."]
    data = [{**asdict(model), "size_mb": model.size_mb, "memory_mb": model.memory_mb} for model in models]
    return CommandResult({"models": data}, "\n".join(lines))


def _megabytes(number: int) -> str:
    return f"{number / 1000:.1f} GB" if number >= 1000 else f"{number} MB"
