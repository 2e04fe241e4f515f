"""The gradient of stage 2: policy gradient and exact KL, teacher-forced on what was sampled.

The prefix of each photo is run once and shared by its captions, also backwards: micro-batches of captions collect the
gradient at the prefix's keys and values, and one backward pass takes it on to the mapper. Where the memory is too small
for that, each caption has its prefix run along, and no activation is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn import functional as F

from core.captioner.captioner import IGNORE, Captioner
from core.captioner.torch_decoder import new_cache
from core.jobs import JobContext
from core.training.compute import Precision
from core.training.memory import MicroBatch, checkpointed

_GRADIENT_ROWS = 64


@dataclass(frozen=True)
class Prefix:
    """What the language model made of the prefixes of B photos: keys and values of each layer, the last state."""

    tensors: list[torch.Tensor]  # key, value, key, value, …, each [B, heads, k, head_dim], then the state [B, d]

    def leaves(self) -> Prefix:
        """The same values cut from their graph, so that gradients gather there."""
        return Prefix([tensor.detach().requires_grad_() for tensor in self.tensors])

    def rows(self, rows: torch.Tensor) -> Prefix:
        return Prefix([tensor.index_select(0, rows) for tensor in self.tensors])

    def backward_from(self, leaves: Prefix) -> None:
        """Send the gradients gathered at ``leaves`` on through the graph of these tensors."""
        pairs = [(t, leaf.grad) for t, leaf in zip(self.tensors, leaves.tensors, strict=True) if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])


@dataclass(frozen=True)
class Batch:
    """Captions ``ids`` ``[R, L]`` (padded with :data:`IGNORE`) of photos ``embeddings`` ``[B, dim]``, R = B·samples."""

    embeddings: torch.Tensor
    ids: torch.Tensor
    advantages: torch.Tensor  # [R]


@dataclass(frozen=True)
class PolicyOptions:
    """``temperature``: that of the samples, whose distribution the gradient is of; ``beta``: weight of the KL;
    ``micro``: how many captions are computed at once; ``entropy``: weight of the entropy of the words."""

    temperature: float
    beta: float
    micro: MicroBatch
    precision: Precision
    entropy: float = 0.0


@dataclass(frozen=True)
class PolicyLosses:
    """Detached means of a step: the surrogate, the KL per token and per caption, in nats."""

    surrogate: float
    kl_token: float
    kl_caption: float


def run_prefix(captioner: Captioner, embeddings: torch.Tensor) -> Prefix:
    """Run the prefix vectors of ``embeddings`` ``[B, dim]`` through the language model once."""
    cache = new_cache(captioner)
    hidden = captioner.run(captioner.prefix(embeddings), cache)
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    return Prefix([*tensors, hidden[:, -1]])


def caption_states(captioner: Captioner, prefix: Prefix, ids: torch.Tensor) -> torch.Tensor:
    """Hidden states ``[R, L, d]`` that predict each token of ``ids`` ``[R, L]`` after ``prefix`` (R rows)."""
    from transformers import DynamicCache

    first = prefix.tensors[-1][:, None]
    if ids.shape[1] == 1:
        return first
    layers = list(zip(prefix.tensors[0:-1:2], prefix.tensors[1:-1:2], strict=True))
    cache = DynamicCache(layers, config=cast(Any, captioner.lm).config)
    later = captioner.run(captioner.embed_tokens(ids[:, :-1].clamp(min=0)), cache)
    return torch.cat([first.to(later.dtype), later], dim=1)


def policy_backward(
    policy: Captioner, reference: Captioner | None, batch: Batch, options: PolicyOptions, ctx: JobContext
) -> PolicyLosses:
    """Add the gradient of L = -mean_i A_i · Σ_t log π(c_it) / L̄ + β · mean KL(π‖π_ref) - η · mean H(π) to the policy's.

    L̄ is the mean caption length, so long captions are not favoured; KL and entropy are exact, over the whole vocabulary
    at every position, averaged over tokens. ``reference=None`` leaves the KL out.
    """
    counted = batch.ids != IGNORE
    tokens = int(counted.sum())
    samples = len(batch.ids) // len(batch.embeddings)
    owner = torch.arange(len(batch.ids), device=batch.ids.device) // samples
    # Captions of like length together: the longest of a micro-batch decides how much of it is padding.
    order = counted.sum(dim=1).argsort(stable=True)
    surrogate = kl_sum = 0.0
    with options.precision.autocast():
        ours = _states(policy, batch.embeddings, options.micro)
        with torch.no_grad():
            theirs = None if reference is None else _Shared(reference, batch.embeddings)
        for rows in order.split(options.micro.rows):
            ctx.check_cancelled()
            width = int(counted[rows].sum(dim=1).max())
            ids, use = batch.ids[rows, :width], counted[rows, :width]
            logits = policy.head(ours.of(owner[rows], ids)[use])
            with torch.no_grad():
                expected = None if theirs is None else theirs.captioner.head(theirs.of(owner[rows], ids)[use])
            weights = batch.advantages[rows][:, None].expand(-1, width)[use]
            gradient, one, kl = logit_gradient(logits, ids[use], weights, expected, options)
            surrogate, kl_sum = surrogate + one, kl_sum + kl
            logits.backward(gradient.mul_(options.precision.scale / tokens))
        ours.finish()
    return PolicyLosses(surrogate / tokens, kl_sum / tokens, kl_sum / len(batch.ids))


class _Shared:
    """States of captions behind a prefix that was run once; gradients gather there until :meth:`finish`."""

    def __init__(self, captioner: Captioner, embeddings: torch.Tensor) -> None:
        self.captioner = captioner
        self._prefix = run_prefix(captioner, embeddings)
        self._leaves = self._prefix.leaves()

    def of(self, owner: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """:func:`caption_states` of captions ``ids`` ``[R, L]`` of the photos ``owner`` ``[R]``."""
        return caption_states(self.captioner, self._leaves.rows(owner), ids)

    def finish(self) -> None:
        self._prefix.backward_from(self._leaves)


class _Checkpointed:
    """The same for want of memory: prefix and caption in one pass, whose activations are computed again."""

    def __init__(self, captioner: Captioner, embeddings: torch.Tensor) -> None:
        self._captioner, self._embeddings = captioner, embeddings

    def of(self, owner: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        with checkpointed(self._captioner.lm, wanted=True):
            return self._captioner.hidden(self._embeddings[owner], ids)

    def finish(self) -> None:
        """Each micro-batch has sent its gradient all the way."""


def _states(captioner: Captioner, embeddings: torch.Tensor, micro: MicroBatch) -> _Shared | _Checkpointed:
    return (_Checkpointed if micro.checkpointing else _Shared)(captioner, embeddings)


@torch.no_grad()
def log_probabilities(captioner: Captioner, batch: Batch, options: PolicyOptions, ctx: JobContext) -> torch.Tensor:
    """log π of each caption of ``batch``, ``[R]`` float32, summed over its tokens, the end token included."""
    samples = len(batch.ids) // len(batch.embeddings)
    result = torch.zeros(len(batch.ids), device=batch.ids.device)
    with options.precision.autocast():
        prefix = run_prefix(captioner, batch.embeddings)
        for rows in torch.arange(len(batch.ids), device=batch.ids.device).split(options.micro.rows):
            ctx.check_cancelled()
            ids, use = batch.ids[rows], batch.ids[rows] != IGNORE
            logits = captioner.head(caption_states(captioner, prefix.rows(rows // samples), ids)[use]).float()
            losses = torch.zeros(ids.shape, device=ids.device)
            losses[use] = F.cross_entropy(logits, ids[use], reduction="none")
            result[rows] = -losses.sum(dim=1)
    return result


@torch.no_grad()
def logit_gradient(
    logits: torch.Tensor,
    chosen: torch.Tensor,
    weights: torch.Tensor,
    reference_logits: torch.Tensor | None,
    options: PolicyOptions,
) -> tuple[torch.Tensor, float, float]:
    """Gradient ``[n, V]`` of Σ_i -w_i · log π_T(c_i) + β · KL(π‖π_ref)_i - η · H(π)_i by ``logits``; the sums of the
    first two, the KL without β.

    Written out, as the logits are the largest tensors of a step and automatic differentiation would go over them
    twice as often; some rows at a time, so that what is in work stays in the processor's cache. The gradient has the
    logits' type, all in between is float32.
    """
    gradient, surrogate, kl = torch.empty_like(logits), 0.0, 0.0
    for start in range(0, len(logits), _GRADIENT_ROWS):
        rows = slice(start, start + _GRADIENT_ROWS)
        reference = None if reference_logits is None else reference_logits[rows]
        part, one, two = _gradient_of_rows(logits[rows], chosen[rows], weights[rows], reference, options)
        gradient[rows] = part
        surrogate, kl = surrogate + one, kl + two
    return gradient, surrogate, kl


def _gradient_of_rows(
    logits: torch.Tensor,
    chosen: torch.Tensor,
    weights: torch.Tensor,
    reference_logits: torch.Tensor | None,
    options: PolicyOptions,
) -> tuple[torch.Tensor, float, float]:
    """The terms give w/T · (π_T - onehot(c)), β·π · (log π - log π_ref - KL) and η·π · (log π + H)."""
    values = logits.float()
    gradient = torch.log_softmax(values / options.temperature, dim=-1)
    log_chosen = gradient.gather(-1, chosen[:, None]).squeeze(-1)
    scale = (weights / options.temperature)[:, None]
    gradient.exp_().mul_(scale).scatter_add_(-1, chosen[:, None], -scale)
    surrogate = -float((weights * log_chosen).sum())
    if reference_logits is None and not options.entropy:
        return gradient, surrogate, 0.0
    difference = torch.log_softmax(values, dim=-1)
    pi = difference.exp()
    if options.entropy:
        entropy = -(pi * difference).sum(dim=-1, keepdim=True)
        gradient.addcmul_(pi, difference + entropy, value=options.entropy)
    if reference_logits is None:
        return gradient, surrogate, 0.0
    difference.sub_(torch.log_softmax(reference_logits.float(), dim=-1))
    kl = (pi * difference).sum(dim=-1)
    gradient.addcmul_(pi, difference.sub_(kl[:, None]), value=options.beta)
    return gradient, surrogate, float(kl.sum())
