"""Straight-through practice (arXiv 2306.15111): the gradient of the similarity itself, through the words drawn.

Each word is drawn by the Gumbel-max trick, and used as it is; backwards it counts as the softmax it was drawn from, in
what the language model reads next and in what the text tower reads. What is scored is the text that is shown. Published
are the idea and its objective, not its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.captioner.captioner import IGNORE, Captioner
from core.captioner.torch_decoder import new_cache
from core.errors import UserError
from core.jobs import JobContext
from core.metrics.clip_score import fit
from core.training.bridge import Bridge
from core.training.compute import torch_rng
from core.training.policy import PolicyLosses
from core.training.practice import Moment, Practice, Practised

_SMALLEST = 1e-20
_CLIP_S_SCALE = 2.5


@dataclass(frozen=True)
class SoftDraw:
    """R captions: ``ids`` ``[R, L]`` as in :class:`Rollouts`; ``words`` ``[R, L, width]``, each word drawn as the mean
    of a table's rows under its softmax."""

    ids: torch.Tensor
    words: torch.Tensor


class StraightThrough:
    """Maximises the mean cosine of photos and captions drawn; the KL to the model before goes beside it.

    Nothing tells the model when to end: what a caption that goes on would score cannot be told from one that does not.

    Raises:
        UserError: a reward other than ``clip_s`` counts, or the encoder cannot pass gradients on to words.
    """

    def __init__(self, practice: Practice) -> None:
        other = [name for name in practice.settings.rewards.named() if name != "clip_s"]
        if other:
            raise UserError(
                f"The method straight-through has no gradient of these rewards: {', '.join(other)}.",
                "Set their weights to 0, or choose the method leave-one-out.",
            )
        self._practice = practice
        self._bridge = Bridge(practice.encoder, practice.captioner)

    def practise(self, moment: Moment, photos: np.ndarray) -> Practised:
        practice, settings = self._practice, self._practice.settings
        embeddings = practice.embeddings(photos).repeat_interleave(settings.samples, dim=0)
        first, last = settings.tau
        tau = first + (last - first) * min(1.0, moment.step / max(1, moment.steps - 1))
        cosines, drawn = [], []
        for rows in torch.arange(len(embeddings)).split(moment.micro.rows):
            images = embeddings[rows.to(embeddings.device)]
            generators = [torch_rng(practice.env.seed, f"straight-through-{row}", moment.step) for row in rows.tolist()]
            with practice.env.precision.autocast():
                soft = self._draw(images, generators, tau)
                lists = [row[row != IGNORE].tolist() for row in soft.ids]
                found = self._bridge.similarities(images, lists, soft.words)
            practice.env.ctx.check_cancelled()
            practice.env.precision.backward(
                -_CLIP_S_SCALE * settings.rewards.clip_s * found.float().sum() / len(embeddings)
            )
            cosines.append(found.detach().float().cpu().numpy())
            drawn.append(torch.nn.functional.pad(soft.ids, (0, practice.max_tokens - soft.ids.shape[1]), value=IGNORE))
        score = float(fit(np.concatenate(cosines)).mean())
        losses = PolicyLosses(-score, 0.0, 0.0)
        if settings.beta > 0 or settings.entropy > 0:
            ids = torch.cat(drawn)
            losses = practice.backward(moment, photos, ids, np.zeros(len(ids)), settings.temperature)
        return Practised(settings.rewards.clip_s * score, {"clip_s": score}, losses)

    def _draw(self, images: torch.Tensor, generators: Sequence[torch.Generator], tau: float) -> SoftDraw:
        practice = self._practice
        drawing = Drawing(practice.settings.temperature, tau, practice.max_tokens)
        tables = (self._bridge.first, self._bridge.later)
        return draw_soft(practice.captioner, images, generators, drawing, tables, practice.env.ctx)


@dataclass(frozen=True)
class Drawing:
    """``temperature`` of the words, ``tau`` of the softmax that stands for them backwards."""

    temperature: float
    tau: float
    max_tokens: int


def draw_soft(
    captioner: Captioner,
    images: torch.Tensor,
    generators: Sequence[torch.Generator],
    drawing: Drawing,
    tables: tuple[torch.Tensor, torch.Tensor],
    ctx: JobContext,
) -> SoftDraw:
    """A caption of each of ``images`` ``[R, dim]``, with its graph; row i draws from ``generators[i]``.

    y = softmax((logits/T + g)/τ), g = -log(-log u); the word is the largest of y. ``tables`` ``[V, width]``: of the
    first word and of later ones.
    """
    own, end = captioner.embed_tokens_table(), captioner.end_token_id
    cache = new_cache(captioner)
    hidden = captioner.run(captioner.prefix(images), cache)[:, -1]
    ended = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    ids, words = [], []
    for position in range(drawing.max_tokens):
        ctx.check_cancelled()
        logits = captioner.head(hidden).float() / drawing.temperature
        uniform = torch.stack([torch.rand(logits.shape[1], generator=one) for one in generators])
        scores = logits - (-uniform.clamp(min=_SMALLEST).log()).clamp(min=_SMALLEST).log().to(logits.device)
        chosen, soft = scores.argmax(dim=-1), torch.softmax(scores / drawing.tau, dim=-1)
        ids.append(chosen.masked_fill(ended, IGNORE))
        words.append(soft @ tables[position > 0].float())
        ended = ended | (chosen == end)
        if bool(ended.all()) or position + 1 == drawing.max_tokens:
            break
        mixed = soft @ own.float()
        read = captioner.embed_tokens(chosen) + (mixed - mixed.detach())
        hidden = captioner.run(read[:, None], cache)[:, -1]
    return SoftDraw(torch.stack(ids, dim=1), torch.stack(words, dim=1))
