"""Which repositories a model's name stands for, and which of their files are taken: safetensors, never a pickle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from core.errors import UserError
from core.known_models import did_you_mean
from core.model_folders import PICKLES, WEIGHTS_FIRST

Role = Literal["language_model", "encoder", "weights", "text"]
"""``language_model``: a transformers folder. ``encoder``: an open_clip folder. ``weights``: of an architecture that
open_clip knows, one file. ``text``: tokenizer and settings of its text tower, no weights."""

_SETTINGS = ("*.json", "*.txt", "*.model")
_SHARD = re.compile(r"model-(\d{1,9})-of-(\d{1,9})\.safetensors")
_ADAPTER = "adapter_config.json"
"""transformers would look for an adapter beside it, even where the model itself is there."""
_CONFIG = {"language_model": "config.json", "encoder": "open_clip_config.json"}


@dataclass(frozen=True)
class Wanted:
    """A part of a model before anybody was asked for it. ``weights``: file names to prefer, best first."""

    repository: str
    revision: str | None
    role: Role
    weights: tuple[str, ...] = WEIGHTS_FIRST


def is_downloaded(name: str) -> bool:
    """Whether a model of this name comes from the hub, and not from this computer."""
    scheme, _, rest = name.partition(":")
    return scheme == "hf" or (scheme == "open_clip" and not rest.startswith("local-dir:"))


def wanted_by(name: str) -> tuple[Wanted, ...]:
    """What ``hf:REPO[@REVISION]``, ``open_clip:hf-hub:REPO[@REVISION]`` or ``open_clip:ARCH/PRETRAINED`` asks for.

    Raises:
        UserError: the name is not understood, or open_clip publishes no such weights.
    """
    if name == "starter":
        raise UserError(
            "'starter' comes with Seedcap: there is nothing to download.", "It is used where no other model is named."
        )
    scheme, _, rest = name.partition(":")
    if is_downloaded(name) and rest:
        if scheme == "hf":
            return (_repository(rest, "language_model"),)
        if rest.startswith("hf-hub:") and rest != "hf-hub:":
            return (_repository(rest.removeprefix("hf-hub:"), "encoder"),)
        if "/" in rest and not rest.startswith("hf-hub:"):
            from core.encoders.open_clip_names import published  # imports open_clip, and torch with it

            weights = published(*rest.split("/", 1))
            return (Wanted(weights.repository, None, "weights", weights.files), *text_parts(weights.text_cfg))
    raise UserError(
        f"'{name}' does not name a model that can be downloaded.",
        f"{did_you_mean(name)}Write open_clip:ARCH/PRETRAINED, open_clip:hf-hub:REPO[@REVISION] or hf:REPO[@REVISION].",
        topic="list models",
    )


def text_parts(text_cfg: Any, *, own_tokenizer: bool = False) -> tuple[Wanted, ...]:
    """The repositories that an open_clip text tower takes its tokenizer and settings from, each once."""
    keys = ("hf_model_name",) if own_tokenizer else ("hf_tokenizer_name", "hf_model_name")
    names = [text_cfg.get(key) for key in keys] if isinstance(text_cfg, dict) else []
    return tuple(Wanted(one, None, "text") for one in dict.fromkeys(names) if one)


def has_tokenizer(files: Iterable[str]) -> bool:
    """Whether a repository of which these files are taken brings the tokenizer of its model."""
    return any(one.startswith("tokenizer") for one in files)


def choose_files(wanted: Wanted, names: Iterable[str]) -> list[str]:
    """Which of a repository's files to take, of those at its top.

    Raises:
        UserError: it lacks what the role needs, or has its weights only in a format that can run code.
    """
    here = sorted(name for name in names if "/" not in name and not name.startswith("."))
    settings = [one for one in here if any(fnmatchcase(one, p) for p in _SETTINGS) and not _left_out(one)]
    if wanted.role == "text":
        if "tokenizer.json" not in here and "tokenizer_config.json" not in here:
            raise _lacks(wanted, "no tokenizer")
        return settings
    weights = _language_weights(here, wanted) if wanted.role == "language_model" else _encoder_weights(here, wanted)
    if not weights:
        raise _no_safetensors(wanted, here)
    if wanted.role == "weights":
        return weights
    config = _CONFIG[wanted.role]
    if config not in here:
        raise _lacks(wanted, f"no {config}")
    return settings + weights


def _left_out(name: str) -> bool:
    return name.endswith(".index.json") or name == _ADAPTER


def _language_weights(here: list[str], wanted: Wanted) -> list[str]:
    if "model.safetensors" in here:
        return ["model.safetensors"]
    index, shards = "model.safetensors.index.json", [one for one in here if _SHARD.fullmatch(one)]
    if index not in here or not shards:
        return []
    _refuse_missing_shards(shards, wanted)
    return [index, *shards]


def _refuse_missing_shards(shards: list[str], wanted: Wanted) -> None:
    """Each says of how many it is one: gigabytes of some of them are no model."""
    numbers: dict[int, set[int]] = {}
    for found in filter(None, map(_SHARD.fullmatch, shards)):
        numbers.setdefault(int(found[2]), set()).add(int(found[1]))
    for total, here in numbers.items():
        if len(here) != total:
            raise _lacks(wanted, f"only {len(here)} of the {total} files that its weights are in")


def _encoder_weights(here: list[str], wanted: Wanted) -> list[str]:
    """One file: the larger repositories hold the same weights several times over."""
    others = () if wanted.role == "weights" else [one for one in here if one.endswith(".safetensors")]
    return [one for one in (*wanted.weights, *others) if one in here][:1]


def _no_safetensors(wanted: Wanted, here: list[str]) -> UserError:
    begins = {one.split(".")[0].split("-")[0] for one in here}
    if "adapter_model" in begins and "pytorch_model" not in begins:
        return UserError(
            f"{wanted.repository} holds an adapter for another model, and not a model. Nothing was downloaded.",
            "Merge the adapter into its model, save that as safetensors, and name its folder: dir:FOLDER.",
            topic="list models",
        )
    other = next((one for one in here if one.endswith((*PICKLES, ".h5", ".msgpack", ".npz"))), None)
    if other is not None:
        return UserError(
            f"{wanted.repository} has its weights as {other}, a format that can run code, and not as safetensors. "
            "Nothing was downloaded.",
            "Choose other weights; most models are also published as safetensors.",
            topic="list models",
        )
    if (gguf := next((one for one in here if one.endswith(".gguf")), None)) is not None:
        return UserError(
            f"{wanted.repository} has its weights as GGUF.", f"Download {gguf} yourself, and name it gguf:FILE."
        )
    return _lacks(wanted, "no weights as safetensors")


def _lacks(wanted: Wanted, what: str) -> UserError:
    roles = {"language_model": "a language model", "encoder": "an open_clip model", "weights": "weights"}
    return UserError(
        f"{wanted.repository} holds {what}, so it cannot be used as {roles.get(wanted.role, 'a tokenizer')}.",
        "Check the name, or choose another model.",
        topic="list models",
    )


def _repository(text: str, role: Role) -> Wanted:
    repository, _, revision = text.partition("@")
    return Wanted(repository, revision or None, role)
