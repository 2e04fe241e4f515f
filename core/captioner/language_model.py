"""Causal language models by name: the embedded starter, a folder on disk, or a model repository."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from core import paths
from core.errors import UserError
from core.model_folders import refuse_programs_from_the_hub, refuse_what_leads_out

_NAMES = "starter, dir:PATH or hf:REPO[@REVISION]"


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model (float32), its tokenizer, and the name it was asked for by."""

    id: str
    model: nn.Module
    tokenizer: Any


def load_language_model(name: str) -> LanguageModel:
    """Load ``starter``, ``dir:PATH`` or ``hf:REPO[@REVISION]`` through transformers; safetensors only, no foreign code.

    Raises:
        UserError: the name is not understood, or the folder does not hold a usable causal language model.
    """
    folder = _folder(name)
    if name.startswith("dir:"):
        refuse_what_leads_out(folder)
    return LanguageModel(name, load_model_folder(folder), load_tokenizer_folder(folder))


def load_model_folder(folder: Path) -> nn.Module:
    """The causal language model of a transformers folder, float32, in evaluation mode."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no language model: config.json and weights as safetensors are needed.",
            f"Use one of: {_NAMES}.",
        )
    refuse_programs_from_the_hub(folder / "config.json")
    logging.disable_progress_bar()  # a command reports its own progress
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(
            f"The language model in {folder} could not be loaded: {error}", f"Use one of: {_NAMES}."
        ) from error
    return model.eval()


def load_tokenizer_folder(folder: Path) -> Any:
    """The tokenizer of a transformers folder; it must be a fast one with an end token."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The tokenizer in {folder} could not be loaded: {error}", f"Use one of: {_NAMES}.") from error
    if tokenizer.eos_token_id is None or getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UserError(
            f"The tokenizer in {folder} has no end token, or no tokenizer.json.",
            "Choose a language model that comes with a tokenizer.json and an end-of-text token.",
        )
    return tokenizer


def tokenizer_sha256(tokenizer: Any) -> str:
    """A hash of what decides the token ids: vocabulary, merges, added tokens. The layout of the file does not count."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = {key: content.get(key) for key in ("model", "added_tokens", "pre_tokenizer", "normalizer")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _folder(name: str) -> Path:
    scheme, _, rest = name.partition(":")
    if name == "starter":
        return paths.starter_dir() / "lm"
    if scheme == "dir" and rest:
        return Path(rest).expanduser()
    if scheme == "hf" and rest:
        return _downloaded(rest)
    raise UserError(f"'{name}' does not name a language model.", f"Use one of: {_NAMES}.")


def _downloaded(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = repository.partition("@")
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The language model {name} could not be downloaded: {error}",
            "Check the name and the connection; 'starter' needs neither.",
        ) from error
