"""The starter's text tower: open_clip's own transformer, taught by MiniLM through the joint space, then by photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from open_clip.transformer import TextTransformer
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from core.jobs import JobContext
from core.starter.joint_space import DIM, contrastive_loss, warm_cosine
from core.starter.text_teacher import piece_embeddings
from core.starter.vocabulary import CONTEXT_LENGTH, VOCABULARY_SIZE
from core.training.compute import cpu_autocast

WIDTH, LAYERS, HEADS = 384, 6, 6
PROMPT = "A photo depicts "


@dataclass(frozen=True)
class PairedVectors:
    """Photos of one kind as vectors, and which sentences describe them."""

    images: np.ndarray  # float16 [n, views, 512], unit rows
    sentences: np.ndarray  # int [m]: position in the corpus
    owner: np.ndarray  # int [m], ascending: which photo the sentence describes


@dataclass(frozen=True)
class TextTowerConfig:
    steps: int = 760
    batch: int = 256
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warm_up: int = 40
    contrastive_from: float = 0.6  # the photos join after this share of the steps
    contrastive_batch: int = 192
    scale: float = 30.0
    prompted: float = 0.5
    seed: int = 0


def new_text_tower() -> TextTransformer:
    """A fresh native open_clip text tower of the starter's size, 14M parameters."""
    return TextTransformer(
        context_length=CONTEXT_LENGTH,
        vocab_size=VOCABULARY_SIZE,
        width=WIDTH,
        heads=HEADS,
        layers=LAYERS,
        output_dim=DIM,
    )


def start_from_teacher(tower: TextTransformer, tokenizer: Tokenizer) -> None:
    """Begin with what MiniLM knows of each piece: its embeddings have the tower's width, only the pieces differ."""
    pieces = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())]
    vectors = piece_embeddings(pieces)
    with torch.no_grad():
        known = vectors.abs().sum(1) > 0
        tower.token_embedding.weight[known] = 0.02 * vectors[known] / vectors[known].std()


def encode(tower: TextTransformer, ids: torch.Tensor) -> torch.Tensor:
    """Unit vectors float32 ``[B,512]`` of right-padded ids ``[B,L]``, L at most the context length.

    Runs only the L positions that are there; the tower's own ``forward`` wants the whole context.
    """
    length = ids.shape[1]
    with cpu_autocast():
        hidden = tower.token_embedding(ids) + tower.positional_embedding[:length]
        hidden = tower.transformer(hidden, attn_mask=cast(torch.Tensor, tower.attn_mask)[:length, :length])
        pooled = tower.ln_final(hidden)[torch.arange(len(ids)), ids.argmax(-1)]
        return F.normalize((pooled @ tower.text_projection).float(), dim=-1)


class Sentences:
    """A corpus as token ids, with and without the scoring prompt."""

    def __init__(self, tokenizer: Tokenizer, sentences: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        cutting = Tokenizer.from_str(tokenizer.to_str())
        cutting.enable_truncation(CONTEXT_LENGTH)
        encode_all = lambda texts: [np.array(e.ids, np.int64) for e in cutting.encode_batch(texts)]  # noqa: E731
        self._plain = encode_all(list(sentences))
        self._prompted = encode_all([PROMPT + s for s in sentences])
        self.lengths = np.array([len(ids) for ids in self._plain])

    def __len__(self) -> int:
        return len(self._plain)

    def batch(self, rows: np.ndarray, prompted: np.ndarray) -> torch.Tensor:
        """Right-padded ids ``[B,L]`` of ``rows``; ``prompted`` says for each whether the prompt stands before it."""
        ids = [(self._prompted if p else self._plain)[r] for r, p in zip(rows, prompted, strict=True)]
        padded = np.zeros((len(ids), max(map(len, ids))), np.int64)
        for row, tokens in zip(padded, ids, strict=True):
            row[: len(tokens)] = tokens
        return torch.from_numpy(padded)


def train_text_tower(
    tower: TextTransformer,
    sentences: Sentences,
    targets: np.ndarray,
    pairs: Sequence[PairedVectors],
    config: TextTowerConfig,
    ctx: JobContext,
) -> TextTransformer:
    """Imitate ``targets`` (unit rows ``[n,512]``), later also find the photos; returns averaged weights."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    average = torch.optim.swa_utils.AveragedModel(tower, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    optimiser = torch.optim.AdamW(tower.parameters(), lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: warm_cosine(s, config.steps, config.warm_up))
    chunks: list[np.ndarray] = []
    shares = np.array([len(p.images) for p in pairs], float) ** 0.7
    shares /= max(shares.sum(), 1e-9)
    for step in range(config.steps):
        chunks = chunks or _length_sorted(sentences.lengths, config.batch, rng)
        rows = chunks.pop()
        vectors = encode(tower, sentences.batch(rows, rng.random(len(rows)) < config.prompted))
        target = torch.from_numpy(targets[rows].astype(np.float32))
        loss = (1 - (vectors * target).sum(-1)).mean() + 0.1 * contrastive_loss(vectors, target, torch.tensor(20.0))
        if pairs and step >= config.contrastive_from * config.steps:
            loss = loss + 0.5 * _photo_loss(tower, sentences, pairs[rng.choice(len(pairs), p=shares)], config, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(tower)
        ctx.progress(step + 1, config.steps, f"Text tower, loss {loss.item():.3f}")
        ctx.check_cancelled()
    return cast(TextTransformer, average.module.eval())


def _photo_loss(
    tower: TextTransformer,
    sentences: Sentences,
    pairs: PairedVectors,
    config: TextTowerConfig,
    rng: np.random.Generator,
) -> torch.Tensor:
    size = min(config.contrastive_batch, len(pairs.images))
    photos = rng.choice(len(pairs.images), size, replace=False)
    first = np.searchsorted(pairs.owner, photos)
    count = np.searchsorted(pairs.owner, photos, side="right") - first
    rows = pairs.sentences[first + np.floor(rng.random(size) * count).astype(np.int64)]
    views = rng.integers(0, pairs.images.shape[1], size)
    images = torch.from_numpy(pairs.images[photos, views].astype(np.float32))
    vectors = encode(tower, sentences.batch(rows, np.full(size, rng.random() < config.prompted)))
    return contrastive_loss(images, vectors, torch.tensor(config.scale))


def _length_sorted(lengths: np.ndarray, batch: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch of batches of similar length, in random order, so that little is padding."""
    noisy = lengths + rng.random(len(lengths)) * 2
    order = np.argsort(noisy)
    chunks = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    rng.shuffle(chunks)
    return chunks
