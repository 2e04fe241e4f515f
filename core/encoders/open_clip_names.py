"""What open_clip knows of its own architectures and the weights that are published for them."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from core.errors import UserError
from core.model_folders import WEIGHTS_FIRST

_KEYS = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True)
class Published:
    """Weights by a tag: the repository, names they may have in it, the text tower's settings; ``preprocess`` and
    ``quick_gelu`` are as the weights were trained."""

    repository: str
    files: tuple[str, ...]
    text_cfg: dict[str, Any]
    preprocess: dict[str, Any]
    quick_gelu: bool


def published(architecture: str, tag: str) -> Published:
    """What open_clip's list says about ``ARCH/PRETRAINED``.

    Raises:
        UserError: it has no such architecture or weights, or they are published only where no safetensors are.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    name = f"open_clip:{architecture}/{tag}"
    model, weights = open_clip.get_model_config(architecture), get_pretrained_cfg(architecture, tag)
    if model is None:
        close = difflib.get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.4)
        raise UserError(f"'{name}': open_clip knows no architecture '{architecture}'.", _such_as(close))
    if not weights:
        raise UserError(
            f"'{name}': open_clip knows no weights '{tag}' of {architecture}.",
            _such_as(list_pretrained_tags_by_model(architecture)),
        )
    repository, _, file = str(weights.get("hf_hub", "")).rpartition("/")
    if not repository:
        raise UserError(
            f"'{name}' is published only in a format that can run code, not as safetensors. Nothing was downloaded.",
            "Choose other weights.",
            topic="list models",
        )
    files = (str(PurePosixPath(file).with_suffix(".safetensors")), *WEIGHTS_FIRST) if file else WEIGHTS_FIRST
    preprocess = {key: weights[key] for key in _KEYS if weights.get(key) is not None}
    text_cfg = copy.deepcopy(model["text_cfg"])
    return Published(repository, tuple(dict.fromkeys(files)), text_cfg, preprocess, bool(weights.get("quick_gelu")))


def _such_as(names: list[str]) -> str:
    return f"There is: {', '.join(names[:12])}." if names else "Check the name."
