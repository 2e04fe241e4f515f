"""Where an open_clip model of a name lies on this computer, and how open_clip is asked for it: never by the network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from core import paths
from core.errors import UserError
from core.hub.cache import LocalModel, require
from core.hub.names import has_tokenizer
from core.known_models import did_you_mean
from core.model_folders import (
    refuse_code_beside,
    refuse_names_elsewhere,
    refuse_pickles,
    refuse_programs_from_the_hub,
    refuse_what_leads_out,
)

NAMES = "starter, open_clip:ARCH/PRETRAINED, open_clip:hf-hub:REPO or open_clip:local-dir:PATH"


@dataclass(frozen=True)
class FolderSource:
    """A folder with ``open_clip_config.json``. ``text_model``: a folder with the settings of a text tower that
    transformers makes, where the configuration names one on the hub. ``words``: the folder of its tokenizer, where that
    lies in a repository apart."""

    folder: Path
    text_model: Path | None = None
    words: Path | None = None

    def create_model(self) -> nn.Module:
        import open_clip

        name = f"local-dir:{self.folder}"
        changed = _with_text_model(open_clip.get_model_config(name), self.text_model)
        return open_clip.create_model(name, device="cpu", precision="fp32", require_pretrained=True, **changed)

    def tokenizer(self) -> Any:
        import open_clip

        name = f"local-dir:{self.folder}"
        settings = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
        if self.words is not None:
            return _tokenizer_of(self.words, settings)
        theirs = bool(settings.get("hf_tokenizer_name"))  # transformers', which could run code; open_clip's cannot
        safe: dict[str, Any] = {"trust_remote_code": False} if theirs else {}
        return open_clip.get_tokenizer(name, **safe)


@dataclass(frozen=True)
class PublishedSource:
    """An architecture that open_clip knows, with published weights that were downloaded."""

    architecture: str
    tag: str
    local: LocalModel

    def create_model(self) -> nn.Module:
        import open_clip

        from core.encoders.open_clip_names import published

        told = published(self.architecture, self.tag)
        text_model = self.local.repository_folder(str(told.text_cfg.get("hf_model_name")))
        text_model = None if text_model is None else _looked_over(text_model)
        return open_clip.create_model(
            self.architecture,
            pretrained=str(self.local.weights()),
            device="cpu",
            precision="fp32",
            force_quick_gelu=told.quick_gelu,  # by the weights alone, open_clip would not know
            force_preprocess_cfg=told.preprocess,
            require_pretrained=True,
            **_with_text_model({"text_cfg": told.text_cfg}, text_model),
        )

    def tokenizer(self) -> Any:
        import open_clip

        config = (open_clip.get_model_config(self.architecture) or {})["text_cfg"]
        folder = self.local.repository_folder(str(config.get("hf_tokenizer_name")))
        if folder is None:  # open_clip's own tokenizer, which comes with it
            return open_clip.get_tokenizer(self.architecture)
        return _tokenizer_of(folder, config)


def open_source(name: str) -> FolderSource | PublishedSource:
    """Find the model of this name and look it over, before open_clip reads anything of it.

    Raises:
        UserError: the name is not understood, or the model is not here, or not safe to open.
    """
    if name == "starter":
        folder = paths.starter_dir() / "encoder"
        _check_folder(folder, "The starter encoder is not there", "Install Seedcap again, or run 'build-starter'.")
        return FolderSource(folder)
    scheme, _, rest = name.partition(":")
    if scheme != "open_clip" or not rest:
        raise UserError(f"'{name}' does not name an encoder.", f"{did_you_mean(name, 'encoder')}Use one of: {NAMES}.")
    if rest.startswith("local-dir:"):
        folder = Path(rest.removeprefix("local-dir:")).expanduser()
        _check_folder(folder, f"{folder} holds no open_clip model", "Name a folder with open_clip_config.json in it.")
        refuse_what_leads_out(folder)
        return FolderSource(folder, _text_model(folder, folder))
    architecture, _, tag = rest.partition("/")
    if not tag:
        raise UserError(
            f"'{name}' does not say which weights.", "Write open_clip:ARCH/PRETRAINED, e.g. ViT-B-32/laion2b_s34b_b79k."
        )
    local = require(name)
    if not rest.startswith("hf-hub:"):
        return PublishedSource(architecture, tag, local)
    folder = local.folder("encoder")
    _check_folder(folder, f"{name} is not an open_clip repository", "Choose one with open_clip_config.json.")
    told = _text_cfg(folder)
    own = any(has_tokenizer(part.files) for part in local.pin.parts if part.role == "encoder")
    words = None if own else local.repository_folder(str(told.get("hf_tokenizer_name")))
    text_model = _text_model(folder, local.repository_folder(str(told.get("hf_model_name"))))
    return FolderSource(folder, text_model, words)


def _tokenizer_of(folder: Path, text_cfg: dict[str, Any]) -> Any:
    """transformers' tokenizer in a repository's folder, as open_clip would make it from that repository."""
    from open_clip.tokenizer import HFTokenizer

    return HFTokenizer(
        str(folder),
        context_length=text_cfg.get("context_length", 77),
        tokenizer_mode=text_cfg.get("tokenizer_mode"),
        trust_remote_code=False,
        **text_cfg.get("tokenizer_kwargs", {}),
    )


def _text_cfg(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]


def _text_model(folder: Path, settings: Path | None) -> Path | None:
    """``settings``, if the model of ``folder`` has a text tower that transformers makes; it is looked over."""
    text_cfg = _text_cfg(folder)
    if "hf_model_name" not in text_cfg:
        return None
    if settings is None or not (settings / "config.json").is_file():
        raise UserError(
            f"The text tower of {folder} takes its settings from {text_cfg['hf_model_name']!r:.80} elsewhere.",
            "Put the config.json of that model into the folder.",
        )
    return _looked_over(settings)


def _looked_over(text_model: Path) -> Path:
    """open_clip lets transformers read these settings without a word about code."""
    refuse_programs_from_the_hub(text_model / "config.json")
    refuse_code_beside(text_model / "config.json")
    return text_model


def _with_text_model(model_cfg: dict[str, Any] | None, folder: Path | None) -> dict[str, Any]:
    """``text_cfg`` for open_clip with the text tower's settings read from a folder instead of the hub."""
    if model_cfg is None or folder is None:
        return {}
    text_cfg = {**model_cfg["text_cfg"], "hf_model_name": str(folder), "hf_model_pretrained": False}
    return {"text_cfg": text_cfg}


def _check_folder(folder: Path, problem: str, next_step: str) -> None:
    """Refuse what is not an open_clip folder with safetensors, before anything of it is read."""
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise UserError(f"{problem}: {config} is missing.", next_step)
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no weights in the safetensors format.",
            "Save the model as open_clip_model.safetensors; other formats can run code and are not opened.",
        )
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{config} is damaged: {error}", next_step) from error
    refuse_pickles(folder)
    refuse_names_elsewhere(config, document)
