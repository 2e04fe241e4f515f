"""Causal language models by name: the embedded starter, a folder or GGUF file on disk, or a downloaded repository."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from core import paths
from core.errors import UserError
from core.hub.cache import require
from core.known_models import did_you_mean
from core.model_faults import faults_told
from core.model_folders import refuse_packed, refuse_programs_from_the_hub, refuse_what_leads_out
from core.running_out import room_for

_NAMES = "starter, dir:PATH, gguf:FILE or hf:REPO[@REVISION]"
_GGUF = b"GGUF"
_LINK = "model.gguf"
_WORDS = ("tokenizer.json", "*.model", "vocab.*")
_NEIGHBOURS = ("*config.json", "tokenizer*.json")
_FEW = 3


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
    if (file := _gguf_of(name)) is not None:
        settings = _unpacked()
        with _alone(file) as (folder, inside), _whole(file):
            model = _load_model(folder, file, gguf_file=inside, **settings)
            return _checked(LanguageModel(name, model, _load_tokenizer(folder, file, gguf_file=inside)))
    folder = _folder_of(name)
    return _checked(LanguageModel(name, load_model_folder(folder), load_tokenizer_folder(folder)))


def check_language_model(name: str) -> None:
    """Look at what says quickly whether :func:`load_language_model` will do: all but the weights.

    Raises:
        UserError: it will not.
    """
    if (file := _gguf_of(name)) is not None:
        _unpacked()
        with _alone(file) as (folder, inside), _whole(file):  # what describes the model stands before the tokenizer
            _load_tokenizer(folder, file, gguf_file=inside)
        return
    folder = _folder_of(name)
    _check_folder(folder)
    _check_family(folder)
    load_tokenizer_folder(folder)


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
    _check_folder(folder)
    return _load_model(folder, folder, use_safetensors=True)


def load_tokenizer_folder(folder: Path) -> Any:
    """The tokenizer of a transformers folder; it must be a fast one with an end token."""
    if not any(file for pattern in _WORDS for file in folder.glob(pattern)):  # transformers would make an empty one
        raise _no_tokenizer(folder)
    return _load_tokenizer(folder, folder)


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no language model: config.json and weights as safetensors are needed.",
            f"Use one of: {_NAMES}.",
        )
    refuse_programs_from_the_hub(config)
    refuse_packed(config)


def _check_family(folder: Path) -> None:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    config = _load(folder, folder, "The language model", AutoConfig.from_pretrained)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(
            f"{folder} holds no language model that continues a sentence, but one of the kind '{config.model_type}'.",
            "Choose a causal language model.",
        )


def _load_model(folder: Path, source: Path, **options: Any) -> nn.Module:
    from transformers import AutoModelForCausalLM

    load = AutoModelForCausalLM.from_pretrained
    options |= {"dtype": torch.float32, "output_loading_info": True}
    model, told = _load(folder, source, "The language model", load, **options)
    if missing := sorted(told["missing_keys"]):  # transformers would draw them at random
        named = ", ".join(missing[:_FEW]) + (" and others" if len(missing) > _FEW else "")
        raise UserError(
            f"The language model in {source} is not whole: {len(missing)} of its weights are missing ({named}).",
            "Get all of its files anew, or choose another model.",
        )
    return model.eval()


def _load_tokenizer(folder: Path, source: Path, **options: Any) -> Any:
    from transformers import AutoTokenizer

    tokenizer = _load(folder, source, "The tokenizer", AutoTokenizer.from_pretrained, **options)
    if tokenizer.eos_token_id is None or getattr(tokenizer, "backend_tokenizer", None) is None:
        raise _no_tokenizer(source)
    return tokenizer


def _no_tokenizer(source: Path) -> UserError:
    return UserError(
        f"The tokenizer in {source} has no end token, or no tokenizer.json.",
        "Choose a language model that comes with a tokenizer.json and an end-of-text token.",
    )


def _load(folder: Path, source: Path, what: str, load: Callable[..., Any], **options: Any) -> Any:
    """Ask transformers, with neither network nor code of the folder; ``source`` is named where that fails."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a command reports its own progress
    what = f"{what} in {source}"
    with room_for(what, "cpu"), faults_told(what, f"Use one of: {_NAMES}."):
        return load(folder, trust_remote_code=False, local_files_only=True, **options)


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


@contextmanager
def _alone(file: Path) -> Iterator[tuple[Path, str]]:
    """A folder in which ``file`` is alone, and its name there.

    What lies beside it, transformers would take for its settings, its tokenizer, or an adapter to put onto it.
    """
    with tempfile.TemporaryDirectory(prefix="seedcap-gguf-", ignore_cleanup_errors=True) as folder:
        if _linked(file.resolve(), Path(folder) / _LINK):
            yield Path(folder), _LINK
            return
    for pattern in _NEIGHBOURS:
        for beside in sorted(file.parent.glob(pattern)):
            raise UserError(
                f"{beside} would be taken for a part of {file}.", f"Put {file.name} into a folder of its own."
            )
    yield file.parent, file.name


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """While a GGUF file is read. One that cannot be gone through from its head to its last tensor is said to be broken,
    whatever transformers met first."""
    try:
        yield
    except UserError as error:
        from gguf import GGUFReader

        try:
            GGUFReader(file)
        except (ValueError, LookupError, OverflowError, struct.error) as broken:
            raise UserError(
                f"{file} is damaged, or ends too early, as if copied or downloaded in part.", "Get the file anew."
            ) from broken
        raise error


def _linked(file: Path, link: Path) -> bool:
    """Whether a link could be made; on Windows those by name need rights, the others a temporary folder on its disk."""
    for make in (link.symlink_to, link.hardlink_to):
        try:
            make(file)
        except (OSError, NotImplementedError):
            continue
        return True
    return False


def _gguf_of(name: str) -> Path | None:
    scheme, _, rest = name.partition(":")
    return gguf_file(Path(rest).expanduser()) if scheme == "gguf" and rest else None


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


def _folder_of(name: str) -> Path:
    scheme, _, rest = name.partition(":")
    if name == "starter":
        return paths.starter_dir() / "lm"
    if scheme == "dir" and rest:
        folder = Path(rest).expanduser()
        refuse_what_leads_out(folder)
        return folder
    if scheme == "hf" and rest:
        return require(name).folder("language_model")
    raise UserError(
        f"'{name}' does not name a language model.", f"{did_you_mean(name, 'language_model')}Use one of: {_NAMES}."
    )
