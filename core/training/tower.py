"""A copy of the encoder's text tower, tuned with a grammar head on spoiled captions (arXiv 2205.13115).

Photos and the image tower stay as they are. The tower keeps telling which caption belongs to which photo (symmetric
contrastive loss) and learns beside it which captions are sentences (cross-entropy, weight 1:1): a head of two linear
layers without bias and a ReLU between, on the pooled state before the projection. The prompt takes no part in that. The
tuned tower rewards; scores and judgements always come from the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.encoders.encoder import Encoder
from core.encoders.open_clip_encoder import OpenClipEncoder
from core.errors import UserError
from core.training.compute import numpy_rng, torch_rng
from core.training.corruptions import corrupt, vocabulary_of
from core.training.data import TrainingData
from core.training.stage1 import cycle
from core.training.steps import Environment

_RATE, _WEIGHT_DECAY, _EPSILON = 1e-4, 0.01, 1e-6
_BATCH = 32
_ROWS = 256


class TunedTower:
    """Reads sentences like an encoder, and tells how likely each is one."""

    def __init__(self, encoder: OpenClipEncoder, head: nn.Module) -> None:
        self._encoder, self._head = encoder, head

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Unit rows float32 ``[n, dim]``; see :class:`core.encoders.encoder.Encoder`."""
        return self._encoder.encode_texts(texts, prompt)

    @torch.no_grad()
    def grammatical(self, captions: Sequence[str]) -> np.ndarray:
        """The probability, 0..1, that each caption is a sentence and not a spoiled one, ``[n]``."""
        found = [
            self._head(self._encoder.text_states(self._encoder.token_ids(captions[i : i + _ROWS])))
            for i in range(0, len(captions), _ROWS)
        ]
        return torch.cat(found).float().softmax(dim=-1)[:, 1].cpu().numpy() if found else np.zeros(0)


def tune_tower(encoder: Encoder, data: TrainingData, steps: int, env: Environment) -> TunedTower:
    """Tune a copy for ``steps`` steps; ``encoder`` itself stays as it is.

    Raises:
        UserError: the encoder's text tower is of a kind that cannot be tuned, or there is no sentence.
    """
    captions = data.seeds.captions
    sentences = list(dict.fromkeys([*(one for group in captions for one in group), *data.texts]))
    if not isinstance(encoder, OpenClipEncoder) or not encoder.trims_texts:
        raise UserError(
            f"The text tower of the encoder '{encoder.id}' cannot be tuned with a grammar head.",
            "Choose another preset, or an encoder with CLIP's own text tower.",
        )
    if not sentences:
        raise UserError("There is no sentence to learn grammar from.", "Write captions for a few photos first.")
    own = encoder.with_own_text_tower()
    head = _new_head(own, env)
    tuned = [*own.text_parameters(), *head.parameters()]
    for parameter in tuned:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(tuned, lr=_RATE, weight_decay=_WEIGHT_DECAY, eps=_EPSILON)
    vocabulary = vocabulary_of(sentences)
    for step in range(steps):
        env.ctx.progress(step, steps, "Teaching grammar to a copy of the encoder")
        env.ctx.check_cancelled()
        rng = numpy_rng(env.seed, "tower", step)
        optimiser.zero_grad(set_to_none=True)
        photos = list(dict.fromkeys(cycle(len(captions), _BATCH, step, env.seed, "tower-pairs")))
        if len(photos) > 1:
            told = [captions[photo][int(rng.integers(len(captions[photo])))] for photo in photos]
            with env.precision.autocast():
                loss = _contrastive_loss(own, data.seeds.images[photos], told)
            env.precision.backward(loss)
            env.ctx.check_cancelled()
        real = [sentences[i] for i in cycle(len(sentences), _BATCH, step, env.seed, "tower-sentences")]
        spoiled = [corrupt(one, vocabulary, rng) for one in real]
        with env.precision.autocast():
            logits = head(own.text_states(own.token_ids([*real, *spoiled])))
        target = torch.tensor([1] * len(real) + [0] * len(spoiled), device=logits.device)
        env.precision.backward(F.cross_entropy(logits.float(), target))
        env.precision.step(optimiser)
    for parameter in tuned:
        parameter.requires_grad_(False)
    return TunedTower(own, head)


def _contrastive_loss(encoder: OpenClipEncoder, images: np.ndarray, captions: Sequence[str]) -> torch.Tensor:
    """CLIP's symmetric loss of photos ``[B, dim]`` and one caption of each, at the encoder's own scale."""
    texts = encoder.text_embeddings(encoder.token_ids(captions))
    logits = encoder.logit_scale * torch.from_numpy(images).to(texts.device) @ texts.T
    own = torch.arange(len(captions), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _new_head(encoder: OpenClipEncoder, env: Environment) -> nn.Module:
    """Linear, ReLU, linear without biases; initial weights that depend on the run's seed alone."""
    width = int(encoder.text_states(encoder.token_ids(["a"])).shape[1])
    head = nn.Sequential(nn.Linear(width, width, bias=False), nn.ReLU(), nn.Linear(width, 2, bias=False))
    generator = torch_rng(env.seed, "tower-head", 0)
    with torch.no_grad():
        for parameter in head.parameters():
            bound = 1 / math.sqrt(parameter.shape[1])
            parameter.copy_(torch.rand(parameter.shape, generator=generator) * 2 * bound - bound)
    return head.to(encoder.device)
