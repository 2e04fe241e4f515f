"""A bundle without its numbers: small enough to come with the models it was exported from, and filled from them.

An export takes minutes and torch. Nearly all of what it writes are the checkpoint's own numbers, some of them turned
or with a normalisation folded in. An *outline* keeps the rest: the graphs, the bundle's manifest, and for each tensor
where its numbers come from. What is filled is used only where every file has the hash that the manifest has from the
export, so that it is that export, byte for byte, with its proof that it agrees with the model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.onnx.bundle import DECODER, IMAGE_ENCODER, MANIFEST, TEXT_ENCODER, TOKENIZER, BundleError, load_manifest
from core.onnx.model_card import write_card

OUTLINE = "bundle"
"""The folder of it, beside the models."""
WEIGHTS = "weights.json"
_GRAPHS = (IMAGE_ENCODER, TEXT_ENCODER, DECODER)
_SOURCES = ("encoder/open_clip_model.safetensors", "lm/model.safetensors", "captioner/mapper.safetensors")
_VOCABULARY = "lm/tokenizer.json"
_SMALL = 4096
"""Numbers of a tensor that may stay in the outline where no source has them."""
_NORM = (".weight", ".bias", ".running_mean", ".running_var")
_EPSILONS = (1e-3, 1e-5)

Numbers = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Origin:
    """Where a tensor's numbers come from: ``key`` in the source files, what is done to them (``how``: ``same``,
    ``turned``, or ``scaled`` and ``shifted`` by the batch normalisation ``norm`` with ``epsilon``)."""

    key: str
    how: str = "same"
    norm: str = ""
    epsilon: float = 0.0


def fill(models: Path, outline: Path, folder: Path) -> bool:
    """Write the bundle of ``outline`` with the numbers of the models in ``models`` into the empty ``folder``.

    False, and nothing to be used, where what comes out is not the bundle that was exported: models or outline are
    others, incomplete, or damaged.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from safetensors import SafetensorError

    try:
        origins = json.loads((outline / WEIGHTS).read_text(encoding="utf-8"))
        numbers = _numbers(models)
        for name in _GRAPHS:
            graph = onnx.load(outline / name)
            for tensor in graph.graph.initializer:
                if (origin := origins[name].get(tensor.name)) is not None:
                    tensor.raw_data = _taken(numbers, Origin(*origin)).tobytes()
            (folder / name).write_bytes(graph.SerializeToString())
        (folder / TOKENIZER).write_text(_vocabulary(models), encoding="utf-8")
        shutil.copyfile(outline / MANIFEST, folder / MANIFEST)
        manifest = load_manifest(folder)  # compares every file with the one that was exported
        write_card(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BundleError, DecodeError, SafetensorError):
        return False
    return True


def write_outline(models: Path, bundle: Path, out: Path) -> None:
    """Write the outline of ``bundle``, the fp32 export of the starter in ``models``, into ``out``.

    Raises ``UserError`` where the bundle cannot be had back from it.
    """
    import onnx

    numbers = _numbers(models)
    out.mkdir(parents=True, exist_ok=True)
    origins: dict[str, dict[str, list[Any]]] = {}
    for name in _GRAPHS:
        graph = onnx.load(bundle / name)
        found = origins[name] = {}
        search = _Search(numbers)
        for tensor in graph.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            origin = search.origin(values)
            if origin is None and values.size > _SMALL:
                raise UserError(f"{bundle / name}: the numbers of {tensor.name} are not those of {models}.")
            if origin is not None:
                tensor.ClearField("raw_data")
                found[tensor.name] = [origin.key, origin.how, origin.norm, origin.epsilon]
        (out / name).write_bytes(graph.SerializeToString())
    (out / WEIGHTS).write_text(json.dumps(origins, indent=0) + "\n", encoding="utf-8")
    shutil.copyfile(bundle / MANIFEST, out / MANIFEST)


class _Search:
    """Finds where a tensor's numbers come from."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._norms = [key.removesuffix(_NORM[3]) for key in numbers if key.endswith(_NORM[3])]

    def origin(self, values: np.ndarray) -> Origin | None:
        if values.dtype != np.float32 or values.size < 2:
            return None
        same_size = [key for key, found in self._numbers.items() if found.size == values.size]
        for key in same_size:
            for how in ("same", "turned"):
                if self._gives(Origin(key, how), values):
                    return Origin(key, how)
        channels = [norm for norm in self._norms if self._numbers[norm + _NORM[3]].size == values.shape[0]]
        for norm in channels:
            for epsilon in _EPSILONS:
                shifted = [norm + _NORM[1]] if values.ndim == 1 else []
                scaled = [key for key in same_size if self._numbers[key].shape == values.shape and values.ndim == 4]
                tries = [Origin(key, "shifted", norm, epsilon) for key in shifted]
                for origin in (*tries, *(Origin(key, "scaled", norm, epsilon) for key in scaled)):
                    if self._gives(origin, values):
                        return origin
        return None

    def _gives(self, origin: Origin, values: np.ndarray) -> bool:
        return np.array_equal(_taken(self._numbers, origin).ravel(), values.ravel())


def _taken(numbers: Numbers, origin: Origin) -> np.ndarray:
    """The numbers as the exporter had them: in its order of operations, so that not a bit differs."""
    values = numbers[origin.key]
    if origin.how == "turned":
        return np.ascontiguousarray(values.T)
    if origin.how == "same":
        return values
    gamma, beta, mean, variance = (numbers[origin.norm + part] for part in _NORM)
    scale = gamma / np.sqrt(variance + origin.epsilon)
    if origin.how == "scaled":
        return values * scale.reshape(-1, 1, 1, 1)
    return (np.zeros_like(mean) - mean) * scale + beta


def _numbers(models: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = {}
    for file in _SOURCES:
        for key, values in load_file(models / file).items():
            found[f"{file.split('/')[0]}:{key}"] = values.astype(np.float32) if values.dtype == np.float16 else values
    return found


def _vocabulary(models: Path) -> str:
    from tokenizers import Tokenizer

    from core.onnx.tokenizer_files import tokenizer_content

    return tokenizer_content(Tokenizer.from_file(str(models / _VOCABULARY)))
