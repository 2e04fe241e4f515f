"""Causal language models by name: the embedded starter, a folder or GGUF file on disk, or a downloaded repository."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from core import paths
from core.errors import UserError
from core.hub.cache import require
from core.model_folders import refuse_programs_from_the_hub, refuse_what_leads_out
from core.running_out import room_for

_NAMES = "starter, dir:PATH, gguf:FILE or hf:REPO[@REVISION]"
_GGUF = b"GGUF"


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model (float32), its tokenizer, and the name it was asked for by."""

    id: str
    model: nn.Module
    tokenizer: Any


def load_language_model(name: str) -> LanguageModel:
    """Load ``starter``, ``dir:PATH``, ``gguf:FILE`` or ``hf:REPO[@REVISION]`` through transformers.

    Safetensors or GGUF, no pickle, no foreign code, and no network: what has a name on the hub was downloaded before
    (:mod:`core.hub`).

    Raises:
        UserError: the name is not understood, or the folder does not hold a usable causal language model.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "gguf" and rest:
        file = gguf_file(Path(rest).expanduser())
        model = _load(file.parent, file, "The language model", _model_from, gguf_file=file.name, **_unpacked())
        tokenizer = load_tokenizer_folder(file.parent, gguf_file=file.name)
        return _checked(LanguageModel(name, model.eval(), tokenizer))
    folder = _folder(name)
    if name.startswith("dir:"):
        refuse_what_leads_out(folder)
    return _checked(LanguageModel(name, load_model_folder(folder), load_tokenizer_folder(folder)))


def logits_of(lm: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Logits over the vocabulary of the last hidden states, any shape before the last axis.

    Some families cap or scale what comes out of their last matrix, as their configuration says: Gemma 2
    (cap · tanh(logits / cap)), Granite (divided), Cohere (multiplied).
    """
    config, logits = cast(Any, lm).config, cast(Any, lm).get_output_embeddings()(hidden)
    if (scaling := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / scaling
    if (scale := getattr(config, "logit_scale", None)) is not None:
        logits = logits * scale
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = cap * torch.tanh(logits / cap)
    return logits


def _checked(lm: LanguageModel) -> LanguageModel:
    """Refuse a model of which :func:`logits_of` knows too little: it would speak with other logits than its own."""
    model = cast(Any, lm.model)
    words = torch.tensor([[lm.tokenizer.eos_token_id, 1, 2]])
    with torch.inference_mode():
        own = model(input_ids=words, use_cache=False).logits
        ours = logits_of(model, model.base_model(input_ids=words, use_cache=False).last_hidden_state)
    if own.shape != ours.shape or not torch.allclose(own, ours, rtol=1e-3, atol=1e-4 * float(own.abs().max())):
        raise UserError(
            f"The language model '{lm.id}' ('{model.config.model_type}') makes words of its last layer in a way that "
            "Seedcap does not know.",
            "Choose a language model of another family.",
        )
    return lm


def load_model_folder(folder: Path) -> nn.Module:
    """The causal language model of a transformers folder, float32, in evaluation mode."""
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no language model: config.json and weights as safetensors are needed.",
            f"Use one of: {_NAMES}.",
        )
    refuse_programs_from_the_hub(folder / "config.json")
    return _load(folder, folder, "The language model", _model_from, use_safetensors=True).eval()


def load_tokenizer_folder(folder: Path, *, gguf_file: str | None = None) -> Any:
    """The tokenizer of a transformers folder, or of a GGUF file in it; it must be a fast one with an end token."""
    from transformers import AutoTokenizer

    told = {} if gguf_file is None else {"gguf_file": gguf_file}
    source = folder / (gguf_file or "")
    tokenizer = _load(folder, source, "The tokenizer", AutoTokenizer.from_pretrained, **told)
    if tokenizer.eos_token_id is None or getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UserError(
            f"The tokenizer in {source} has no end token, or no tokenizer.json.",
            "Choose a language model that comes with a tokenizer.json and an end-of-text token.",
        )
    return tokenizer


def _model_from(folder: Path, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)


def _load(folder: Path, source: Path, what: str, load: Callable[..., Any], **options: Any) -> Any:
    """Ask transformers, with neither network nor code of the folder; ``source`` is named where that fails."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a command reports its own progress
    with room_for(f"{what} in {source}", "cpu"):
        try:
            return load(folder, trust_remote_code=False, local_files_only=True, **options)
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, struct.error, SafetensorError) as error:
            raise UserError(f"{what} in {source} could not be loaded: {error}", f"Use one of: {_NAMES}.") from error


def _unpacked() -> dict[str, Any]:
    """Plain numbers that can learn, also where transformers would rather keep a GGUF file's blocks as they are.

    For those, and for some layers beside them, it fetches programs from the hub if the package ``kernels`` is there.
    """
    import transformers

    if importlib.util.find_spec("kernels") is not None:
        raise UserError(
            "With the package 'kernels' installed, programs from the hub would run when a GGUF file is read.",
            "Uninstall 'kernels', or name the model as safetensors: dir:PATH or hf:REPO.",
        )
    settings = getattr(transformers, "GgufConfig", None)  # older versions make plain numbers of all
    return {} if settings is None else {"quantization_config": settings(dequantize=True)}


def gguf_file(path: Path) -> Path:
    """The GGUF file, also where the folder that holds it alone was named."""
    inside = sorted(path.glob("*.gguf")) if path.is_dir() else []
    file = inside[0] if len(inside) == 1 else path
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(_GGUF))
    except OSError as error:
        several = f" It holds {len(inside)} of them." if path.is_dir() else ""
        raise UserError(f"{path} is no GGUF file.{several}", "Name one file: gguf:FILE.") from error
    if magic != _GGUF:
        raise UserError(f"{file} does not begin as a GGUF file does.", "Name a file in the GGUF format: gguf:FILE.")
    return file


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
        return require(name).folder("language_model")
    raise UserError(f"'{name}' does not name a language model.", f"Use one of: {_NAMES}.")
