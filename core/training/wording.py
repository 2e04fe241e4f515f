"""How a sentence reads to a language model that sees no photo: how usual it is, and whether it is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from core.captioner.captioner import IGNORE, Captioner, pad
from core.training.compute import numpy_rng, set_attention
from core.training.grammar import GrammarHead, examples, fit_head
from core.training.memory import MicroBatch, MicroBatches, checkpointed
from core.training.stage1 import cycle, has_large_lm, like_lengths, make_optimiser, warm_up_cosine
from core.training.steps import Environment

_EPOCHS, _MOST_STEPS, _BATCH = 3, 100, 32
_RATE, _RATE_LARGE_LM = 1e-4, 2e-5
_ROWS = 64
_USUAL_PERCENTILE = 20


@dataclass(frozen=True)
class Reading:
    """``log_p`` ``[n]``: mean log-probability of a sentence's tokens, its end included; ``features`` ``[n, d+1]``: the
    mean hidden state over these tokens, and ``-log_p``."""

    log_p: np.ndarray
    features: np.ndarray


class Wording:
    """A copy of the captioner that always sees the same nothing in particular, tuned on sentences alone.

    The prefix stays, as its language model may never have run without one; it only carries no photo any more. What
    training leaves frozen in the captioner stays frozen here.
    """

    def __init__(self, sentences: Sequence[str], seeds: Sequence[str], nothing: np.ndarray, env: Environment) -> None:
        """``sentences`` are learned, ``seeds`` set what is usual; ``nothing`` ``[dim]`` is the unit vector seen."""
        self._env, self._sentences = env, list(dict.fromkeys(sentences))
        self._nothing = torch.from_numpy(nothing.astype(np.float32)).to(env.captioner.device)
        self._model = copy.deepcopy(env.captioner)
        self._tune()
        self._model.requires_grad_(False)
        set_attention(self._model.lm, training=False)
        self.usual = float(np.percentile(self.read(seeds).log_p, _USUAL_PERCENTILE)) if seeds else 0.0

    @torch.no_grad()
    def read(self, captions: Sequence[str]) -> Reading:
        """Read each different caption once."""
        model, different = self._model, list(dict.fromkeys(captions))
        place = {caption: i for i, caption in enumerate(different)}
        ids = pad(model.encode(different, model.max_tokens)).to(model.device)
        width = int(model.embed_tokens(ids[:1, :1].clamp(min=0)).shape[-1])
        features = np.zeros((len(different), width + 1), np.float32)
        for rows, longest in like_lengths(ids, _ROWS):
            self._env.ctx.check_cancelled()
            with self._env.precision.autocast():
                features[rows.cpu().numpy()] = _features(model, self._nothing, ids[rows, :longest])
        found = features[[place[caption] for caption in captions]]
        return Reading(-found[:, -1].astype(np.float64), found)

    def grammar_head(self, gone_wrong: Sequence[str], time: int) -> GrammarHead:
        """A head fitted on the sentences, spoiled ones and ``gone_wrong``; ``time`` changes what is spoiled how."""
        real, spoiled = examples(self._sentences, gone_wrong, numpy_rng(self._env.seed, "grammar", time))
        return fit_head(self.read(real).features, self.read(spoiled).features)

    def _tune(self) -> None:
        model, env = self._model, self._env
        limit = min(env.captioner.info.caption_tokens, model.max_tokens)
        rows = model.encode(self._sentences, limit)
        steps = min(_MOST_STEPS, -(-_EPOCHS * len(rows) // _BATCH))
        rates = (_RATE, _RATE_LARGE_LM if has_large_lm(model) else _RATE)
        optimiser = make_optimiser(model, *rates, 0.01)
        memory = MicroBatches(_BATCH // 2, can_checkpoint=has_large_lm(model))
        for step in range(steps):
            env.ctx.progress(step, steps, "Learning how your captions read")
            for group, rate in zip(optimiser.param_groups, rates, strict=False):
                group["lr"] = rate * warm_up_cosine(step, steps)
            batch = pad([rows[i] for i in cycle(len(rows), _BATCH, step, env.seed, "wording")]).to(model.device)
            memory.run(partial(self._gradient, batch))
            env.precision.step(optimiser, 1.0)

    def _gradient(self, batch: torch.Tensor, micro: MicroBatch) -> None:
        """That of the mean loss per token, a micro-batch at a time."""
        model, tokens = self._model, int((batch != IGNORE).sum())
        model.zero_grad(set_to_none=True)
        with checkpointed(model.lm, micro.checkpointing):
            for some, width in like_lengths(batch, micro.rows):
                self._env.ctx.check_cancelled()
                with self._env.precision.autocast():
                    losses = model.token_losses(self._nothing.expand(len(some), -1), batch[some, :width])
                self._env.precision.backward(losses.sum() / tokens)


def _features(model: Captioner, nothing: torch.Tensor, ids: torch.Tensor) -> np.ndarray:
    counted = ids != IGNORE
    hidden = model.hidden(nothing.expand(len(ids), -1), ids)
    losses = F.cross_entropy(model.head(hidden[counted]).float(), ids[counted], reduction="none")
    length = counted.sum(dim=1, keepdim=True)
    nll = torch.zeros(ids.shape, device=ids.device).masked_scatter(counted, losses).sum(dim=1, keepdim=True) / length
    pooled = (hidden.float() * counted[..., None]).sum(dim=1) / length
    return torch.cat([pooled, nll], dim=1).cpu().numpy()
