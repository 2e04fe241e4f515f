"""The encoder families that open_clip has, tiny and random, on disk: their own configurations with small numbers.

Architecture, text tower, cleaning of texts, context length and preprocessing are what open_clip says of the published
model; widths, layers and vocabularies are small.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.tiny import SENTENCES


@dataclass(frozen=True)
class Family:
    """``trunk``: a small relative of the image tower in timm, and ``dim``, what comes out of it; none: open_clip's own.
    ``scale``: what the published model multiplies cosines with."""

    architecture: str
    tag: str
    scale: float
    trunk: str = ""
    dim: int = 32
    image_size: int = 32
    sigmoid: bool = False

    @property
    def name(self) -> str:
        return f"{self.architecture}/{self.tag}"


FAMILIES = (
    Family("ViT-B-32", "laion2b_s34b_b79k", 100.0),
    Family("ViT-B-16-SigLIP", "webli", 117.3, "test_vit", 64, 160, sigmoid=True),
    Family("ViT-B-16-SigLIP2-256", "webli", 112.7, "test_vit", 64, 160, sigmoid=True),
    Family("MobileCLIP-S2", "datacompdr", 100.0, "fastvit_t8", 32, 64),
    Family("EVA02-B-16", "merged2b_s8b_b131k", 100.0, "eva02_tiny_patch14_224", 32, 224),
)


def write_family(folder: Path, family: Family, *, seed: int = 0) -> Path:
    """An open_clip ``local-dir`` model of ``family``."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    folder.mkdir(parents=True)
    config: dict[str, Any] = open_clip.get_model_config(family.architecture) or {}
    config["embed_dim"] = family.dim
    config["text_cfg"] |= {"width": family.dim, "heads": 2, "layers": 2}
    if "hf_tokenizer_name" in config["text_cfg"]:
        writer = _write_gemma if "SigLIP2" in family.architecture else _write_t5
        config["text_cfg"]["vocab_size"] = writer(folder)
    vision = {"width": 32, "head_width": 16, "layers": 2, "patch_size": 16}
    vision = {"timm_model_name": family.trunk} if family.trunk else vision
    config["vision_cfg"] |= {**vision, "image_size": family.image_size}
    told = get_pretrained_cfg(family.architecture, family.tag)
    preprocess = {key: told[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    document = {"model_cfg": config, "preprocess_cfg": {**preprocess, "size": family.image_size}}
    (folder / "open_clip_config.json").write_text(json.dumps(document), encoding="utf-8")
    settings = json.loads(json.dumps(config))
    custom = settings.pop("custom_text", False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = (open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP)(**settings)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(family.scale))
        text = model.text if custom else model
        text.token_embedding.weight.normal_(std=1.0)  # so that different words give different vectors
    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


def _write_t5(folder: Path) -> int:
    """As SigLIP has it: sentence pieces by likelihood, the end token at the end, and as padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    made.train_from_iterator(
        [text.lower() for text in SENTENCES],
        trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _save(made, folder, pad_token="</s>", eos_token="</s>", unk_token="<unk>")


def _write_gemma(folder: Path) -> int:
    """As SigLIP 2 has it: byte pairs over words with a mark before them, bytes for what is unknown."""
    from tokenizers import Tokenizer, models, normalizers, processors, trainers

    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(
        [text.lower() for text in SENTENCES],
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),  # pyright: ignore[reportCallIssue]
    )
    made.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return _save(made, folder, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>")


def _save(made: Any, folder: Path, **special: str) -> int:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    return made.get_vocab_size()
