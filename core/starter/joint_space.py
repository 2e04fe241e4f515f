"""The space that photos and sentences share: late image stages trained against frozen sentence vectors.

The text side is a small head on cached MiniLM vectors, so several of a photo's captions take part in every step at
almost no cost. What comes out is the final image tower, and the target that the native text tower learns to imitate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.jobs import JobContext
from core.starter.image_tower import TRUNK_CHANNELS, LateStages, imagenet_model
from core.training.compute import cpu_autocast

DIM = 512


@dataclass(frozen=True)
class Domain:
    """Photos of one kind with their captions' teacher vectors; a batch never mixes kinds, so negatives stay hard."""

    name: str
    features: np.ndarray  # float16 [n, views, 120, 14, 14]
    teacher: np.ndarray  # float16 [sum of captions, 384]
    owner: np.ndarray  # int [sum of captions], ascending: which photo a caption describes


@dataclass(frozen=True)
class JointConfig:
    steps: int = 420
    batch: int = 256
    captions_per_photo: int = 3
    late_lr: float = 2e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.1
    warm_up: int = 25
    average_decay: float = 0.99
    seed: int = 0


class TextHead(nn.Module):
    """Sentence vectors ``[B,384]`` to the joint space: a linear map plus a one-hidden-layer correction."""

    def __init__(self, width: int = 384, hidden: int = 1024) -> None:
        super().__init__()
        self.linear = nn.Linear(width, DIM)
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.2), nn.Linear(hidden, DIM))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.linear(vectors) + self.hidden(vectors), dim=-1)


class ImageSide(nn.Module):
    """Late stages and the projection: trunk features to unit vectors ``[B,512]``."""

    def __init__(self) -> None:
        super().__init__()
        self.late = LateStages(imagenet_model()).to(memory_format=torch.channels_last)
        self.dropout = nn.Dropout(0.2)
        self.projection = nn.Linear(TRUNK_CHANNELS, DIM, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        with cpu_autocast():
            pooled = self.late(features.contiguous(memory_format=torch.channels_last))
        return F.normalize(self.projection(self.dropout(pooled.float())), dim=-1)


class JointSpace(nn.Module):
    """Both sides and the learned temperature of the contrastive loss."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = ImageSide(), TextHead()
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))


def contrastive_loss(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE (arXiv 2103.00020) of unit rows ``[B,D]``; row i of one belongs to row i of the other."""
    logits = scale * images @ texts.T
    target = torch.arange(len(images))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class _Batches:
    """Random batches of one domain: trunk features of a random view, and some captions of each photo."""

    def __init__(self, domain: Domain, config: JointConfig, rng: np.random.Generator) -> None:
        self._domain, self._config, self._rng = domain, config, rng
        self._first = np.searchsorted(domain.owner, np.arange(len(domain.features)))
        self._count = np.bincount(domain.owner, minlength=len(domain.features))
        self._queue = np.zeros(0, np.int64)

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        size = min(self._config.batch, len(self._domain.features))
        if len(self._queue) < size:
            self._queue = self._rng.permutation(len(self._domain.features))
        photos, self._queue = np.sort(self._queue[:size]), self._queue[size:]
        # Half of the looks are at the whole photo, as at run time; the other half at its other views.
        views = self._domain.features.shape[1]
        view = np.where(self._rng.random(size) < 0.35, 0, self._rng.integers(0, views, size))
        features = torch.from_numpy(np.stack([self._domain.features[p, v] for p, v in zip(photos, view, strict=True)]))
        draw = self._rng.random((self._config.captions_per_photo, size))
        captions = self._first[photos] + np.floor(draw * self._count[photos]).astype(np.int64)
        return features.float(), torch.from_numpy(self._domain.teacher[captions].astype(np.float32))


def train_joint_space(
    domains: Sequence[Domain], shares: Sequence[float], config: JointConfig, ctx: JobContext
) -> JointSpace:
    """Train both sides; ``shares`` says how often each domain is drawn. Returns the running average of the weights."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = JointSpace().train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average_decay)
    )
    late = [p for p in model.image.late.parameters() if p.requires_grad]
    late_ids = {id(p) for p in late}
    heads = [p for p in model.parameters() if p.requires_grad and id(p) not in late_ids]
    optimiser = torch.optim.AdamW(
        [{"params": late, "lr": config.late_lr}, {"params": heads, "lr": config.head_lr}],
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: warm_cosine(s, config.steps, config.warm_up))
    batches = [_Batches(domain, config, rng) for domain in domains]
    for step in range(config.steps):
        features, captions = batches[rng.choice(len(batches), p=shares)].next()
        images = model.image(features)
        scale = model.log_scale.exp().clamp(max=60)
        loss = torch.stack([contrastive_loss(images, model.text(c), scale) for c in captions]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        ctx.progress(step + 1, config.steps, f"Joint space, loss {loss.item():.2f}")
        ctx.check_cancelled()
    trained = cast(JointSpace, average.module.eval())
    trained.requires_grad_(False)
    return trained


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Learning-rate factor: a linear warm-up, then half a cosine down to zero."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.inference_mode()
def image_vectors(side: ImageSide, features: np.ndarray, view: int = 0, batch: int = 128) -> np.ndarray:
    """Unit vectors float32 ``[n,512]`` of one view of every photo."""
    side.eval()
    rows = [
        side(torch.from_numpy(np.ascontiguousarray(features[i : i + batch, view])).float())
        for i in range(0, len(features), batch)
    ]
    return torch.cat(rows).numpy()


@torch.inference_mode()
def text_vectors(head: TextHead, teacher: np.ndarray) -> np.ndarray:
    """Unit vectors float32 ``[n,512]`` of sentences given by their teacher vectors."""
    head.eval()
    return head(torch.from_numpy(teacher.astype(np.float32))).numpy()


def recall_at(
    images: np.ndarray, texts: np.ndarray, owner: np.ndarray, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Percent R@k both ways: a photo is found by any of its captions, a caption by its one photo."""
    similarity = texts @ images.T
    own = similarity[np.arange(len(texts)), owner]
    text_rank = (similarity > own[:, None]).sum(1)
    best_own = np.full(len(images), -np.inf, np.float32)
    np.maximum.at(best_own, owner, own)
    image_rank = (similarity > best_own[None, :]).sum(0)
    result = {f"r{k}_i2t": 100 * float((image_rank < k).mean()) for k in ks}
    return result | {f"r{k}_t2i": 100 * float((text_rank < k).mean()) for k in ks}
