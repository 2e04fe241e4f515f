"""The starter encoder as an open_clip model folder, float16 safetensors, loaded by open_clip like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.starter.image_tower import ARCHITECTURE, FROZEN_STAGES, IMAGE_SIZE, imagenet_model
from core.starter.joint_space import DIM, ImageSide
from core.starter.text_tower import HEADS, LAYERS, WIDTH
from core.starter.vocabulary import CONTEXT_LENGTH, VOCABULARY_SIZE

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {
            "timm_model_name": ARCHITECTURE,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": IMAGE_SIZE,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": VOCABULARY_SIZE,
            "hf_tokenizer_name": "seedcap-starter",
            "width": WIDTH,
            "heads": HEADS,
            "layers": LAYERS,
        },
        "custom_text": True,
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


def save_tensors(model: nn.Module, path: Path) -> None:
    """The model's state as safetensors, in its own precision, written in one move."""
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}, partial)
    partial.replace(path)


def load_tensors(model: nn.Module, path: Path) -> None:
    model.load_state_dict(load_file(path))


def write_encoder(image: ImageSide, text: nn.Module, log_scale: float, folder: Path) -> None:
    """Assemble the open_clip model from the trained parts and write config and weights."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    cfg = CONFIG["model_cfg"]
    model: Any = open_clip.CustomTextCLIP(DIM, cfg["vision_cfg"], cfg["text_cfg"])
    trunk: Any = imagenet_model()
    trunk.blocks[FROZEN_STAGES:].load_state_dict(image.late.stages.state_dict())
    trunk.conv_head.load_state_dict(image.late.head.state_dict())
    trunk.bn2.load_state_dict(image.late.norm.state_dict())
    model.visual.trunk.load_state_dict(trunk.state_dict())
    model.visual.head.proj.load_state_dict(image.projection.state_dict())
    model.text.load_state_dict(text.state_dict())
    with torch.no_grad():
        model.logit_scale.fill_(log_scale)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
