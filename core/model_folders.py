"""Model folders from strangers: looked at before any library that reads models opens them.

Weights are read from safetensors only, since a pickle runs code; and nothing in the folder leads out of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import UserError

# What open_clip looks for in a folder before it looks for a pickle.
WEIGHTS_FIRST = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZER_SETTINGS = {"clean", "strip_sep_token", "language"}
_LARGEST_INDEX = 50_000_000
_NEXT = "Do not use a model that you do not trust; take it from where it was published."


def refuse_what_leads_out(folder: Path) -> None:
    """Raise ``UserError`` for a folder with links or an adapter, or whose list of weight files names others than its
    own."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UserError(f"{path} is a link: a model folder holds its files itself.", _NEXT)
        if path.name == "adapter_config.json":  # transformers opens the model that it names, wherever that is
            raise UserError(
                f"{path} makes this an adapter for another model, not a model.",
                "Merge the adapter into its model and save that as safetensors.",
            )
    for index in sorted(folder.glob("*.index.json")):
        for name in _weight_files(index):
            if not isinstance(name, str) or Path(name).name != name or "\\" in name or name in ("", ".", ".."):
                raise UserError(f"{index} names the file {name!r:.80}, which is not in its folder.", _NEXT)


def refuse_pickles(folder: Path) -> None:
    """Raise ``UserError`` when open_clip would open a pickle of this folder rather than its safetensors."""
    if any((folder / name).is_file() for name in WEIGHTS_FIRST):
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UserError(
                f"{path} is in a format that can run code, and would be opened before the other weights.",
                f"Move it away, or call the weights {WEIGHTS_FIRST[0]}.",
            )


def refuse_names_elsewhere(config: Path, document: Any) -> None:
    """Raise ``UserError`` when an open_clip configuration takes a part of the model from another place."""
    model = document.get("model_cfg") if isinstance(document, dict) else None
    for part in model.values() if isinstance(model, dict) else ():
        settings = part.get("tokenizer_kwargs") if isinstance(part, dict) else None
        if settings is not None and not (isinstance(settings, dict) and set(settings) <= _TOKENIZER_SETTINGS):
            # They are handed on to transformers as they are, and one of them lets code of the folder run.
            raise UserError(f"{config} has settings for its tokenizer that are not known: {settings!r:.80}.", _NEXT)
        for key in ("timm_model_name", "hf_model_name"):
            name = part.get(key) if isinstance(part, dict) else None
            allowed = 1 if key == "hf_model_name" else 0  # organisation/model on the hub; timm's own names have none
            if name is None or (isinstance(name, str) and _is_plain(name, slashes=allowed)):
                continue
            raise UserError(f"{config} takes a part of the model from {name!r:.80}.", _NEXT)


def refuse_code_beside(config: Path) -> None:
    """Raise ``UserError`` for a transformers configuration that names code in its folder.

    For readers that do not tell transformers to run none.
    """
    document = _read(config)
    if isinstance(document, dict) and "auto_map" in document:
        raise UserError(f"{config} wants to run code that comes with the model.", _NEXT)


def refuse_programs_from_the_hub(config: Path) -> None:
    """Raise ``UserError`` when a transformers configuration asks for kernels of a repository, which are programs."""
    waiting = [_read(config)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            for key, value in one.items():
                if key.strip("_").removesuffix("_internal").endswith("_implementation") and "/" in str(value):
                    raise UserError(f"{config} wants to run a program from {value!r:.80}.", _NEXT)


def refuse_packed(config: Path) -> None:
    """As :func:`refuse_packed_by`, of a file."""
    refuse_packed_by(_read(config), str(config))


def refuse_packed_by(settings: Any, called: str) -> None:
    """Raise ``UserError`` when a transformers configuration says that the numbers are packed: reading them takes other
    programs, and they cannot learn. ``called``: what people know it as."""
    packing = settings.get("quantization_config") if isinstance(settings, dict) else None
    if packing:
        method = packing.get("quant_method") if isinstance(packing, dict) else packing
        program = f" ({method!s:.40})" if method else ""
        raise UserError(
            f"{called}: the numbers of this model are packed for another program{program}.",
            "Take the unpacked model, which this one was made from.",
        )


def _read(config: Path) -> Any:
    try:
        return json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{config} cannot be read: {error}", _NEXT) from error


def _is_plain(name: str, *, slashes: int) -> bool:
    odd = any(sign in name for sign in (":", "\\", "..", "~"))
    return bool(name) and not odd and name[0] not in "/." and name.count("/") <= slashes


def _weight_files(index: Path) -> Iterator[Any]:
    try:
        if index.stat().st_size > _LARGEST_INDEX:
            raise ValueError("it is far too large")
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} cannot be read: {error}", _NEXT) from error
    return iter(files)
