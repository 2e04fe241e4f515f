"""Captioner checkpoints: ``checkpoint.json``, ``mapper.safetensors``; ``lm/`` when the language model was tuned."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core import paths
from core.captioner.captioner import Captioner, CheckpointInfo, put_onto
from core.captioner.language_model import (
    load_language_model,
    load_model_folder,
    load_tokenizer_folder,
    tokenizer_sha256,
)
from core.captioner.lora import merged
from core.captioner.mapper import SHARPNESS, Mapper, make_mapper
from core.captioner.mapper_settings import MapperKind
from core.disk import put_folder_in_place
from core.errors import UserError
from core.model_folders import refuse_what_leads_out

SCHEMA_VERSION = 1
SENTENCES = "sentences"
"""The mapper's sentences in ``mapper.safetensors``, in half precision, where it has any."""
SENTENCES_SHARPNESS = "sentences_sharpness"
"""Their sharpness beside them, where it is not the starter's."""
_AGAIN = "Choose another run, or train again."
_MAY_BE_ZERO = ("end_token_id", "mapper_hidden", "mapper_layers", "mapper_heads", "clip_length")


class CheckpointError(UserError):
    """A checkpoint that is damaged, or was made for something else."""


def save_captioner(captioner: Captioner, folder: Path, *, with_lm: bool = True) -> None:
    """Write the checkpoint so that ``folder`` holds either what it held before or all of the new one.

    ``with_lm=False`` leaves the language model out; loading then takes the one that ``lm_id`` names. Adapters in the
    language model are merged into its weights.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        weights = {k: v.detach().float().cpu().contiguous() for k, v in captioner.mapper.state_dict().items()}
        if SENTENCES in weights:
            weights[SENTENCES] = weights[SENTENCES].half()
            if captioner.mapper.sharpness != SHARPNESS:
                weights[SENTENCES_SHARPNESS] = torch.tensor(captioner.mapper.sharpness)
        save_file(weights, new / "mapper.safetensors")
        if with_lm:
            cast(Any, merged(captioner.lm)).save_pretrained(new / "lm")
            captioner.tokenizer.save_pretrained(new / "lm")
        document = {"schema_version": SCHEMA_VERSION, **asdict(captioner.info)}
        (new / "checkpoint.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
        new.chmod(0o755)
        put_folder_in_place(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def load_captioner(
    folder: Path, encoder_fingerprint: str | None = None, device: str | torch.device = "cpu"
) -> Captioner:
    """Load a checkpoint in float32 and check that its parts belong together.

    Args:
        folder: holds ``checkpoint.json``.
        encoder_fingerprint: of the encoder whose vectors it will see; ``None`` skips that check.
        device: where the model goes.

    Raises:
        CheckpointError: names what is missing, damaged, or does not match.
        NoRoomError: it does not go into the memory of ``device``.
    """
    if not folder.is_relative_to(paths.starter_dir()):
        refuse_what_leads_out(folder)
    info = read_info(folder)
    if encoder_fingerprint is not None and encoder_fingerprint != info.encoder_fingerprint:
        raise CheckpointError(
            f"The captioner in {folder} was trained on vectors of the encoder '{info.encoder_id}' "
            f"({info.encoder_fingerprint[:12]}), not of the one given ({encoder_fingerprint[:12]}).",
            f"Choose the encoder '{info.encoder_id}', or train again with the new one.",
        )
    if (folder / "lm").is_dir():
        model, tokenizer = load_model_folder(folder / "lm"), load_tokenizer_folder(folder / "lm")
    else:
        named = load_language_model(info.lm_id)
        model, tokenizer = named.model, named.tokenizer
    _check_tokenizer(folder, info, tokenizer)
    width = int(cast(Any, model).get_input_embeddings().weight.shape[1])
    try:
        mapper = make_mapper(info.dim, width, info.mapper)
    except UserError as error:
        raise CheckpointError(f"{folder / 'checkpoint.json'}: {error.message}", _AGAIN) from error
    weights = _mapper_weights(folder, mapper, info.dim)
    sentences, sharpness = weights.pop(SENTENCES, None), weights.pop(SENTENCES_SHARPNESS, None)
    mapper.load_state_dict(weights)
    mapper.move_towards(sentences, SHARPNESS if sharpness is None else float(sharpness))
    return put_onto(Captioner(mapper, model, tokenizer, info), device).eval()


def read_info(folder: Path) -> CheckpointInfo:
    """What ``checkpoint.json`` says, every field checked for its type and range."""
    file = folder / "checkpoint.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no captioner: checkpoint.json is missing.", _AGAIN) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}", _AGAIN) from error
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        version = document.get("schema_version") if isinstance(document, dict) else None
        raise CheckpointError(
            f"{file} has version {version!r}; this Seedcap reads version {SCHEMA_VERSION}.", "Install a newer Seedcap."
        )
    types = {"int": int, "bool": bool, "str": str}
    for field in fields(CheckpointInfo):
        if field.name not in document and field.default is not MISSING:
            document[field.name] = field.default  # checkpoints of earlier versions do not have it
        value, wanted = document.get(field.name), types[str(field.type)]
        lowest = 0 if field.name in _MAY_BE_ZERO else 1
        if type(value) is not wanted or (isinstance(value, int) and wanted is int and value < lowest):
            raise CheckpointError(f"{file}: {field.name} is {value!r}, which makes no sense.", _AGAIN)
    info = CheckpointInfo(**{field.name: document[field.name] for field in fields(CheckpointInfo)})
    if info.mapper_type not in get_args(MapperKind):
        raise CheckpointError(
            f"{file}: the mapper is of the type '{info.mapper_type}', which this Seedcap does not know.",
            "Install a newer Seedcap.",
        )
    if not info.normalised:
        raise CheckpointError(
            f"{file}: the captioner was trained on vectors that were not normalised; Seedcap's vectors are.", _AGAIN
        )
    return info


def _check_tokenizer(folder: Path, info: CheckpointInfo, tokenizer: Any) -> None:
    if tokenizer_sha256(tokenizer) != info.tokenizer_sha256:
        raise CheckpointError(
            f"The captioner in {folder} was trained with another tokenizer than the one of '{info.lm_id}'.",
            "Restore the language model it was trained with, or train again.",
        )
    if info.end_token_id != tokenizer.eos_token_id:
        raise CheckpointError(
            f"The captioner in {folder} ends captions with token {info.end_token_id}, "
            f"its tokenizer with {tokenizer.eos_token_id}.",
            "Restore the language model it was trained with, or train again.",
        )


def _mapper_weights(folder: Path, mapper: Mapper, dim: int) -> dict[str, torch.Tensor]:
    """The stored weights, sentences and their sharpness among them or not; shapes are as ``checkpoint.json`` says."""
    file = folder / "mapper.safetensors"
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}", _AGAIN) from error
    wanted = {name: tuple(tensor.shape) for name, tensor in mapper.state_dict().items()}
    if SENTENCES in weights:
        wanted[SENTENCES] = (max([1, *weights[SENTENCES].shape[:1]]), dim)
        wanted |= {SENTENCES_SHARPNESS: ()} if SENTENCES_SHARPNESS in weights else {}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != found:
        raise CheckpointError(
            f"{file} does not fit checkpoint.json (dim, mapper_hidden, prefix_length, clip_length) and the language "
            f"model: its tensors are {found}, expected were {wanted}.",
            _AGAIN,
        )
    if SENTENCES_SHARPNESS in weights and not 0 < float(weights[SENTENCES_SHARPNESS]) < math.inf:
        raise CheckpointError(f"{file}: {SENTENCES_SHARPNESS} makes no sense.", _AGAIN)
    return {name: tensor.float() for name, tensor in weights.items()}
