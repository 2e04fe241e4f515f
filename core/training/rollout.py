"""Sampling captions from the policy: on its device, with a key/value cache, several per photo at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from core.captioner.captioner import IGNORE, Captioner
from core.captioner.torch_decoder import new_cache
from core.jobs import JobContext
from core.training.compute import set_attention
from core.training.memory import MicroBatch, MicroBatches


@dataclass(frozen=True)
class Rollouts:
    """R = photos·samples captions, photo by photo.

    ``ids`` ``[R, L]``: tokens, the end token included where there is one, then :data:`IGNORE`; ``finished`` ``[R]``.
    """

    ids: torch.Tensor
    finished: torch.Tensor

    def token_lists(self) -> list[list[int]]:
        """The tokens of each caption without padding."""
        return [row[row != IGNORE].tolist() for row in self.ids]


class Sampler:
    """A copy of the policy in the precision that samples fastest; its weights follow the policy's."""

    def __init__(self, policy: Captioner, dtype: torch.dtype = torch.float32) -> None:
        self._policy, self.dtype = policy, dtype
        self._model = policy
        self._memory: MicroBatches | None = None
        if dtype != torch.float32:
            mapper, lm = copy.deepcopy(policy.mapper).to(dtype), copy.deepcopy(policy.lm).to(dtype)
            set_attention(lm, training=False)
            self._model = Captioner(mapper, lm, policy.tokenizer, policy.info).eval().requires_grad_(False)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the policy's present weights."""
        if self._model is not self._policy:
            for mine, theirs in zip(self._model.parameters(), self._policy.parameters(), strict=True):
                mine.copy_(theirs)

    @torch.no_grad()
    def sample(
        self,
        embeddings: torch.Tensor,
        samples: int,
        temperature: float,
        max_tokens: int,
        generator: torch.Generator,
        ctx: JobContext,
    ) -> Rollouts:
        """Draw ``samples`` captions of each photo, at most ``max_tokens`` tokens with the end token; at temperature 0
        always the likeliest word.

        One uniform number decides each token (inverse distribution function), all drawn before: what a row says does
        not depend on which rows have ended. Rows that have ended leave the batch.
        """
        draws = torch.rand(len(embeddings) * samples, max_tokens, generator=generator).to(self._model.device)
        self._memory = self._memory or MicroBatches(len(embeddings))

        def sample_some(micro: MicroBatch) -> Rollouts:
            photos = micro.rows
            parts = [
                self._sample(embeddings[i : i + photos], temperature, draws[i * samples : (i + photos) * samples], ctx)
                for i in range(0, len(embeddings), photos)
            ]
            return Rollouts(torch.cat([one.ids for one in parts]), torch.cat([one.finished for one in parts]))

        return self._memory.run(sample_some)

    def _sample(self, embeddings: torch.Tensor, temperature: float, draws: torch.Tensor, ctx: JobContext) -> Rollouts:
        """``draws``: uniform numbers ``[R, max_tokens]``, R = photos·samples."""
        model, end = self._model, self._model.end_token_id
        rows, max_tokens = draws.shape
        samples = rows // len(embeddings)
        ids = torch.full((rows, max_tokens), IGNORE, device=model.device)
        cache = new_cache(model)
        hidden = model.run(model.prefix(embeddings.to(model.device)), cache)[:, -1]
        cache.batch_repeat_interleave(samples)
        logits = model.head(hidden).repeat_interleave(samples, dim=0)
        active = torch.arange(rows, device=model.device)
        for position in range(max_tokens):
            ctx.check_cancelled()
            chosen = _draw(logits.float(), temperature, draws[active, position])
            ids[active, position] = chosen
            going_on = (chosen != end).nonzero().squeeze(1)
            if len(going_on) == 0 or position + 1 == max_tokens:
                break
            if len(going_on) < len(active):
                active, chosen = active[going_on], chosen[going_on]
                cache.batch_select_indices(going_on)
            logits = model.head(model.run(model.embed_tokens(chosen[:, None]), cache)[:, -1])
        return Rollouts(ids, (ids == end).any(dim=1))


def _draw(logits: torch.Tensor, temperature: float, uniform: torch.Tensor) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = torch.softmax(logits / temperature, dim=-1).cumsum(dim=-1)
    points = (uniform * cumulative[:, -1])[:, None]
    return torch.searchsorted(cumulative, points, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)
