"""Tiny random models on disk, in the formats of the real ones, so that tests and benchmarks load them as real ones.

``write_tiny_starter`` lays out what ``resources/starter`` holds: an open_clip folder, a GPT-2 folder and a captioner
checkpoint, all on one byte-level BPE of 300 entries. The encoder knows nothing, but different pictures get clearly
different vectors: the image projection is centred and scaled on plain colours.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from core.captioner.mapper_settings import MapperSettings
from core.starter.vocabulary import save_tokenizer, train_tokenizer

DIM = 32
IMAGE_SIZE = 32
VOCABULARY_SIZE = 300
CONTEXT_LENGTH = 32
PREFIX_LENGTH = 4
MAPPER_HIDDEN = 48
SENTENCES = (
    "A red ball lies on a blue table.",
    "Two green cubes stand beside a yellow cone.",
    "A small dog runs through the grass.",
    "A man in a white shirt rides a bicycle.",
    "Three children play in the water.",
    "The black cat sits behind a wooden box.",
    "A woman with a large hat walks along the beach.",
    "An orange cylinder stands in front of a grey wall.",
)


def write_tiny_encoder(folder: Path, *, image_tower: str = "timm", seed: int = 0) -> Path:
    """An open_clip ``local-dir`` model: an image tower (``timm`` or ``vit``) and open_clip's own text transformer."""
    import open_clip

    save_tokenizer(train_tokenizer(SENTENCES, size=VOCABULARY_SIZE), folder)
    config = {
        "model_cfg": {
            "embed_dim": DIM,
            "vision_cfg": _vision_config(image_tower),
            "text_cfg": {
                "context_length": CONTEXT_LENGTH,
                "vocab_size": VOCABULARY_SIZE,
                "hf_tokenizer_name": "tiny",  # any name: open_clip takes the tokenizer of the folder itself
                "width": 32,
                "heads": 2,
                "layers": 2,
                "pool_type": "argmax",
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = open_clip.model.CLIP(**json.loads(json.dumps(config["model_cfg"])))
        nn.init.normal_(model.token_embedding.weight, std=1.0)  # so that different words give different vectors,
        model.token_embedding.weight.data[-1] = 0  # read by the end token, which is the same in every sentence
        if image_tower == "timm":
            _spread_images(model)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def write_tiny_lm(folder: Path, *, seed: int = 0) -> Path:
    """A GPT-2 of 2 layers × 32 as a transformers folder, with the tokenizer beside it."""
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    save_tokenizer(train_tokenizer(SENTENCES, size=VOCABULARY_SIZE), folder)
    end = VOCABULARY_SIZE - 1
    config = GPT2Config(
        activation_function="gelu_pytorch_tanh",
        vocab_size=VOCABULARY_SIZE,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=0,
        initializer_range=0.2,  # large enough that the words chosen depend on the photo
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def write_tiny_captioner(folder: Path, *, encoder: Path, lm: Path, seed: int = 0) -> Path:
    """A checkpoint (random mapper) for the encoder and the language model in these folders."""
    from core.captioner.checkpoint import save_captioner

    save_captioner(_new_captioner(encoder, lm, seed), folder, with_lm=False)
    return folder


def write_tiny_starter(folder: Path, *, seed: int = 0, steps: int = 120) -> Path:
    """The layout of ``resources/starter``: ``encoder/``, ``lm/`` and ``captioner/``; point SEEDCAP_STARTER at it.

    For ``steps`` steps the captioner learns one of ``SENTENCES`` for each of a few pictures, so that captions are
    words, end, and differ from photo to photo. ``steps=0`` leaves it random.
    """
    from core.captioner.captioner import Captioner, pad
    from core.captioner.checkpoint import save_captioner
    from core.encoders.open_clip_encoder import load_encoder

    encoder = write_tiny_encoder(folder / "encoder", seed=seed)
    lm = write_tiny_lm(folder / "lm", seed=seed)
    captioner = _new_captioner(encoder, lm, seed)
    info = replace(captioner.info, encoder_id="starter", lm_id="starter")
    captioner = Captioner(captioner.mapper, captioner.lm, captioner.tokenizer, info)
    torch.set_num_threads(1)  # matrices this small only wait for each other on more
    pixels = random_pixels(4 * len(SENTENCES), seed=seed)
    vectors = torch.from_numpy(load_encoder(f"open_clip:local-dir:{encoder}").encode_images(pixels))
    ids = pad(captioner.encode(SENTENCES)).repeat(4, 1)
    optimiser = torch.optim.Adam(captioner.parameters(), lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        captioner.loss(vectors, ids).backward()
        optimiser.step()
    cast(Any, captioner.lm).save_pretrained(lm)
    save_captioner(captioner, folder / "captioner", with_lm=False)
    return folder


def _new_captioner(encoder: Path, lm: Path, seed: int):
    from core.captioner.captioner import new_captioner
    from core.captioner.language_model import load_language_model
    from core.encoders.open_clip_encoder import load_encoder

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_captioner(
            load_encoder(f"open_clip:local-dir:{encoder}"),
            load_language_model(f"dir:{lm}"),
            MapperSettings(prefix_length=PREFIX_LENGTH, hidden=MAPPER_HIDDEN),
        )


def random_pixels(count: int, seed: int = 0) -> np.ndarray:
    """Float32 ``[count, 3, 32, 32]`` as preprocessing gives it: one colour above, another below, a little noise."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(-1, 1, (count, 3, 2, 1))
    pixels = np.repeat(np.repeat(colours, IMAGE_SIZE // 2, axis=2), IMAGE_SIZE, axis=3)
    return (pixels + rng.normal(0, 0.05, pixels.shape)).astype(np.float32)


def _vision_config(image_tower: str) -> dict:
    if image_tower == "vit":
        return {"image_size": IMAGE_SIZE, "patch_size": 16, "width": 32, "head_width": 16, "layers": 2}
    return {
        "image_size": IMAGE_SIZE,
        "timm_model_name": "test_efficientnet",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "timm_proj_bias": True,
    }


@torch.no_grad()
def _spread_images(model: Any) -> None:
    """Centre and scale the random image features on a set of pictures: random towers send all of them to one point."""
    visual = model.visual.eval()
    features = visual.trunk(torch.from_numpy(random_pixels(128, seed=1)))
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    projection = visual.head.proj
    projection.weight.copy_(torch.randn_like(projection.weight) / deviation / len(deviation) ** 0.5)
    projection.bias.copy_(-projection.weight @ mean)
