"""Models of the size people use with random weights, for timing: ViT-B/32 and a language model of GPT-2's size."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from core.captioner.captioner import new_captioner
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.encoders.open_clip_encoder import load_encoder
from core.starter.vocabulary import END, PAD, save_tokenizer

GPT2_VOCABULARY = 50257
_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_gpt2_sized(folder: Path) -> Path:
    """A checkpoint of ViT-B/32, ClipCap's MLP mapper and a GPT-2 of 124 million parameters below ``folder``; 1.3 GB.

    The weights are random: how fast they run does not depend on what they say. A checkpoint that is there is used.
    """
    checkpoint = folder / "captioner"
    if not (checkpoint / "checkpoint.json").is_file():
        encoder = load_encoder(f"open_clip:local-dir:{_write_encoder(folder / 'encoder')}")
        lm = load_language_model(f"dir:{_write_lm(folder / 'lm')}")
        save_captioner(new_captioner(encoder, lm, seed=0), checkpoint)
    return checkpoint


def _write_encoder(folder: Path) -> Path:
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    config = open_clip.get_model_config("ViT-B-32")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("ViT-B-32", pretrained=None)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    prepared = {"mean": _MEAN, "std": _STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    document = {"model_cfg": config, "preprocess_cfg": prepared}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    return folder


def _write_lm(folder: Path) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    words = [PAD, *(f"w{number}" for number in range(GPT2_VOCABULARY - 2)), END]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END])
    save_tokenizer(tokenizer, folder)
    end = GPT2_VOCABULARY - 1
    config = GPT2Config(activation_function="gelu_pytorch_tanh", bos_token_id=end, eos_token_id=end, pad_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
