"""The starter's language model and mapper: text-only warm start on sentences, then photos and sentences mixed.

The warm start is CapDec's (arXiv 2211.00575): a sentence is told from its own noisy vector. The noise is calibrated so
that the noisy vector lies as far from the sentence as a photo does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from core.captioner.captioner import Captioner, CheckpointInfo
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import tokenizer_sha256
from core.captioner.mapper import make_mapper
from core.captioner.mapper_settings import MapperSettings
from core.jobs import JobContext
from core.starter.joint_space import DIM, warm_cosine
from core.starter.vocabulary import VOCABULARY_SIZE, wrap_tokenizer
from core.training.compute import cpu_autocast

IGNORE = -100
WIDTH, LAYERS, HEADS, POSITIONS = 384, 4, 6, 96
PREFIX, MAPPER_HIDDEN = 6, 576


@dataclass(frozen=True)
class CaptionCorpus:
    """Sentences as token ids (end token included) with their vectors."""

    ids: list[np.ndarray]
    vectors: np.ndarray  # float16 [n, dim], unit rows of the sentences themselves
    weights: np.ndarray  # float [n]: how often a sentence is drawn


@dataclass(frozen=True)
class PhotoCaptions:
    """Photos of one kind as vectors, and the corpus rows that describe them."""

    images: np.ndarray  # float16 [n, views, dim]
    rows: np.ndarray  # int [m]
    owner: np.ndarray  # int [m]


@dataclass(frozen=True)
class CaptionerConfig:
    warm_steps: int = 760
    paired_steps: int = 220
    batch: int = 128
    warm_lr: float = 1e-3
    paired_lr: float = 3e-4
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    noise: float | None = None  # variance per coordinate of the warm start; None: as far as the photos are
    image_noise: float = 0.002  # variance per coordinate, so that the mapper does not lean on photos the encoder knows
    seed: int = 0


def new_captioner(tokenizer: Tokenizer, encoder_fingerprint: str) -> Captioner:
    """An untrained GPT-2-architecture language model behind ClipCap's MLP mapper."""
    torch.manual_seed(0)
    end = VOCABULARY_SIZE - 1
    config = GPT2Config(
        activation_function="gelu_pytorch_tanh",  # the same as gelu_new, in one kernel
        vocab_size=VOCABULARY_SIZE,
        n_positions=POSITIONS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=0,
    )
    wrapped = wrap_tokenizer(tokenizer)
    mapper = make_mapper(DIM, WIDTH, MapperSettings(prefix_length=PREFIX, hidden=MAPPER_HIDDEN))
    info = CheckpointInfo(
        encoder_id="starter",
        encoder_fingerprint=encoder_fingerprint,
        dim=DIM,
        normalised=True,
        mapper_type=mapper.settings.kind,
        mapper_hidden=MAPPER_HIDDEN,
        prefix_length=PREFIX,
        lm_id="starter",
        tokenizer_sha256=tokenizer_sha256(wrapped),
        end_token_id=end,
    )
    return Captioner(mapper, GPT2LMHeadModel(config), wrapped, info)


def noise_variance(mean_cosine: float, dim: int) -> float:
    """Noise variance per coordinate for an expected cosine of ``mean_cosine``: E[cos] = 1/sqrt(1+σ²D)."""
    return (1 / mean_cosine**2 - 1) / dim


def noisy(vectors: torch.Tensor, variance: float) -> torch.Tensor:
    """Unit rows moved by Gaussian noise and normalised again (CapDec)."""
    return F.normalize(vectors + math.sqrt(variance) * torch.randn_like(vectors), dim=-1)


def train_captioner(
    model: nn.Module,
    corpus: CaptionCorpus,
    photos: list[PhotoCaptions],
    config: CaptionerConfig,
    ctx: JobContext,
) -> None:
    """Train in place. ``model(vectors [B,dim], ids [B,L]) -> logits [B,L,V]`` predicts each of the L tokens.

    The noise of the warm start comes from ``photos``, unless the configuration names it: the mean cosine of a photo
    and its sentences.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    variance = config.noise
    if variance is None:
        variance = noise_variance(_mean_cosine(corpus, photos), corpus.vectors.shape[1])
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    steps = config.warm_steps + config.paired_steps
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.warm_lr, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    batches: list[np.ndarray] = []
    for step in range(steps):
        paired = step >= config.warm_steps
        _set_lr(optimiser, step, config)
        if paired and step % 2:
            rows, vectors = _draw_photos(photos, config, rng)
        else:
            batches = batches or _epoch(corpus, config.batch, rng)
            rows = batches.pop()
            vectors = noisy(torch.from_numpy(corpus.vectors[rows].astype(np.float32)), variance)
        loss = _loss(model, vectors, [corpus.ids[r] for r in rows], config.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(model)
        ctx.progress(step + 1, steps, f"Captioner, {'photos' if paired else 'sentences'}, loss {loss.item():.2f}")
        ctx.check_cancelled()
    model.load_state_dict(average.module.state_dict())


def _set_lr(optimiser: torch.optim.Optimizer, step: int, config: CaptionerConfig) -> None:
    if step < config.warm_steps:
        lr = config.warm_lr * warm_cosine(step, round(config.warm_steps * 1.1), 100)
    else:
        lr = config.paired_lr * warm_cosine(step - config.warm_steps, config.paired_steps, 20)
    for group in optimiser.param_groups:
        group["lr"] = lr


def _loss(model: nn.Module, vectors: torch.Tensor, ids: list[np.ndarray], smoothing: float) -> torch.Tensor:
    padded = np.full((len(ids), max(map(len, ids))), IGNORE, np.int64)
    for row, tokens in zip(padded, ids, strict=True):
        row[: len(tokens)] = tokens
    target = torch.from_numpy(padded)
    with cpu_autocast():
        logits = model(vectors, target.clamp(min=0))
    return F.cross_entropy(
        logits.float().flatten(0, 1), target.flatten(), ignore_index=IGNORE, label_smoothing=smoothing
    )


def _mean_cosine(corpus: CaptionCorpus, photos: list[PhotoCaptions]) -> float:
    cosines = [
        (p.images[p.owner, 0].astype(np.float32) * corpus.vectors[p.rows].astype(np.float32)).sum(-1) for p in photos
    ]
    return float(np.concatenate(cosines).mean())


def _epoch(corpus: CaptionCorpus, batch: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of similar length, in random order; a sentence of weight w is drawn w times an epoch on average."""
    times = np.floor(corpus.weights + rng.random(len(corpus.weights))).astype(int)
    rows = np.repeat(np.arange(len(times)), times)
    length = np.array([len(corpus.ids[r]) for r in rows]) + rng.random(len(rows)) * 2
    ordered = rows[np.argsort(length)]
    batches = [ordered[i : i + batch] for i in range(0, len(ordered) - batch + 1, batch)]
    rng.shuffle(batches)
    return batches


def _draw_photos(
    photos: list[PhotoCaptions], config: CaptionerConfig, rng: np.random.Generator
) -> tuple[np.ndarray, torch.Tensor]:
    sizes = np.array([len(p.rows) for p in photos], float) ** 0.7
    kind = photos[rng.choice(len(photos), p=sizes / sizes.sum())]
    pick = rng.integers(0, len(kind.rows), config.batch)
    view = rng.integers(0, kind.images.shape[1], config.batch)
    vectors = torch.from_numpy(kind.images[kind.owner[pick], view].astype(np.float32))
    return kind.rows[pick], noisy(vectors, config.image_noise)


def write_captioner(captioner: Captioner, out: Path) -> None:
    """``out/lm``, a transformers folder, and ``out/captioner``, a checkpoint that names it; both in float16."""
    GPT2LMHeadModel.save_pretrained(cast(GPT2LMHeadModel, captioner.lm).half(), out / "lm")
    captioner.tokenizer.save_pretrained(out / "lm")
    save_captioner(captioner, out / "captioner", with_lm=False)
    weights = out / "captioner" / "mapper.safetensors"
    save_file({k: v.half().contiguous() for k, v in captioner.mapper.state_dict().items()}, weights)
