"""A judge of retrieval that shares nothing with the encoders that give rewards.

Photos are seen by another network (EfficientNet-Lite0 from its ImageNet weights, frozen, one small head), captions as
bags of words and word pairs: what it finds it finds by the words alone. It is trained on every captioned photo of the
train splits, which is fair, since nothing learns from it and it selects nothing; nobody's dev photo is among them.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.jobs import JobContext
from core.metrics.tokenize import tokenize
from core.starter.joint_space import contrastive_loss, warm_cosine

WIDTH = 384
BUCKETS = 1 << 15
"""Words and word pairs share so many rows of a table; the few that meet do little harm."""


@dataclass(frozen=True)
class JudgeConfig:
    epochs: int = 24
    batch: int = 256
    lr: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    seed: int = 0


class JudgeModel(nn.Module):
    """Both sides: pooled features ``[B, features]`` and bags of terms to unit vectors ``[B, WIDTH]``."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.image = nn.Sequential(
            nn.Linear(features, 768), nn.GELU(), nn.Dropout(dropout), nn.Linear(768, WIDTH, bias=False)
        )
        self.terms = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.text = nn.Sequential(nn.Dropout(dropout), nn.Linear(WIDTH, 768), nn.GELU(), nn.Linear(768, WIDTH))

    def see(self, features: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.image(self.norm(features)), dim=-1)

    def read(self, bags: Sequence[np.ndarray]) -> torch.Tensor:
        offsets = np.cumsum([0, *(len(bag) for bag in bags[:-1])])
        mean = self.terms(torch.from_numpy(np.concatenate(bags)), torch.from_numpy(offsets))
        return F.normalize(mean + self.text(mean), dim=-1)


class BagJudge:
    """A trained judge. Captions and photos go in, unit vectors come out; no prompt."""

    def __init__(self, model: JudgeModel) -> None:
        self._model = model.eval()

    @torch.no_grad()
    def images(self, features: np.ndarray) -> np.ndarray:
        """Pooled features ``[n, features]`` to unit rows ``[n, WIDTH]``."""
        return self._model.see(torch.from_numpy(features.astype(np.float32))).numpy()

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> np.ndarray:
        """Captions to unit rows ``[n, WIDTH]``."""
        return self._model.read([terms(caption) for caption in captions]).numpy()


def terms(caption: str) -> np.ndarray:
    """The rows of a caption's words and word pairs; one row that stands for nothing where there are no words."""
    words = tokenize(caption)
    grams = [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]
    return np.array([zlib.crc32(gram.encode()) % BUCKETS for gram in grams or [""]], np.int64)


def train_judge(
    features: np.ndarray, captions: Sequence[Sequence[str]], config: JudgeConfig, ctx: JobContext
) -> BagJudge:
    """Contrastive training on pooled features ``[n, features]`` of photos and the captions of each."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = JudgeModel(features.shape[1], config.dropout).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    images = torch.from_numpy(features.astype(np.float32))
    bags = [[terms(caption) for caption in group] for group in captions]
    per_epoch = max(1, len(images) // config.batch)
    steps = config.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps, per_epoch))
    for epoch in range(config.epochs):
        order = rng.permutation(len(images))
        for step in range(per_epoch):
            rows = order[step * config.batch : (step + 1) * config.batch]
            drawn = [bags[row][rng.integers(len(bags[row]))] for row in rows]
            loss = contrastive_loss(model.see(images[rows]), model.read(drawn), torch.tensor(20.0))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            ctx.check_cancelled()
        ctx.progress(epoch + 1, config.epochs, "Training the judge")
    return BagJudge(model)
