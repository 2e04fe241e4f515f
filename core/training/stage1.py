"""Stage 1: learn the seeds' wording. Photos with their captions, mixed with sentences told from noisy text vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.optim import Optimizer

from core.captioner.captioner import IGNORE, Captioner, pad
from core.encoders.encoder import Encoder
from core.known_models import LARGE_LM
from core.training.compute import numpy_rng, torch_rng
from core.training.data import TrainingData
from core.training.evaluate import Evaluation
from core.training.memory import MicroBatch, MicroBatches, checkpointed
from core.training.noise import add_noise, mean_cosine, noise_variance
from core.training.presets import Stage1Settings
from core.training.state import Progress
from core.training.steps import Environment, StepResult
from core.training.texts import text_vectors

_GROUP = 16
"""Rows run at once on a processor."""
_NO_PAIRS_COSINE = 0.3
"""Image–text cosine assumed where there is no pair to measure it on."""


class Stage1:
    """Cross-entropy with early stopping by the held-out seeds' loss.

    ``fresh``: the mapper is new, practise first. ``best``: the evaluation, from 1 on, that it ends at, where seeds left
    out in turn have told which is best.
    """

    number = 1
    title = "Stage 1: learning your wording"

    def __init__(
        self,
        data: TrainingData,
        encoder: Encoder,
        settings: Stage1Settings,
        env: Environment,
        *,
        fresh: bool,
        best: int | None = None,
    ) -> None:
        captioner = env.captioner
        self._owner, captions = data.seeds.pairs()
        self._images = data.seeds.images
        limit = min(settings.max_tokens, captioner.max_tokens)
        self._pair_ids = captioner.encode(captions, limit)
        sentences = list(dict.fromkeys([*captions, *data.texts]))
        use_texts = settings.texts > 0 or (fresh and settings.fresh_steps > 0)
        self._text_ids = captioner.encode(sentences, limit) if use_texts else []
        self._text_vectors = text_vectors(encoder, sentences if use_texts else [], prompt=False)
        self.variance = _variance(settings, data, encoder)
        settings = in_steps(settings, len(self._pair_ids) if settings.pairs else len(self._text_ids))
        self._settings, self._env, self._judged_by_loss = settings, env, len(data.held_seeds) > 0
        self._best = best
        self._fresh_steps = settings.fresh_steps if fresh else 0
        self.steps = self._fresh_steps + settings.steps
        # What the folds have told need not be asked again on the way: a judgement takes as long as many steps.
        self.evaluate_every = settings.evaluate_every * (best or 1)
        self._lr_lm = settings.lr_large_lm if has_large_lm(captioner) else settings.lr_lm
        at_once = _GROUP if captioner.device.type == "cpu" else settings.pairs + settings.texts
        self._memory = MicroBatches(at_once, can_checkpoint=has_large_lm(captioner))
        self.optimiser: torch.optim.Optimizer = make_optimiser(
            captioner, settings.lr_mapper, self._lr_lm, settings.weight_decay
        )

    def shorten(self, steps: int) -> None:
        self._fresh_steps = round(self._fresh_steps * steps / self.steps)
        self.steps = steps

    def step(self, step: int, progress: Progress) -> StepResult:
        self._set_rates(step)
        embeddings, ids = self._batch(step)
        total = self._memory.run(lambda micro: self._backward(embeddings, ids, micro))
        self._env.precision.step(self.optimiser, 1.0)
        return StepResult(loss=total)

    def _backward(self, embeddings: torch.Tensor, ids: torch.Tensor, micro: MicroBatch) -> float:
        """The gradient of the mean loss per token, a micro-batch at a time; the loss."""
        captioner, device = self._env.captioner, self._env.captioner.device
        self.optimiser.zero_grad(set_to_none=True)
        tokens, total = int((ids != IGNORE).sum()), 0.0
        with checkpointed(captioner.lm, micro.checkpointing):
            for rows, width in like_lengths(ids, micro.rows):
                with self._env.precision.autocast():
                    losses = captioner.token_losses(
                        embeddings[rows].to(device), ids[rows, :width].to(device), self._settings.label_smoothing
                    )
                loss = losses.sum() / tokens
                self._env.precision.backward(loss)
                total += float(loss.detach())
                self._env.ctx.check_cancelled()
        return total

    def consider(self, evaluation: Evaluation, progress: Progress) -> float:
        """Minus the held-out loss; where others have told when to end, or nothing can tell, the last model counts."""
        if self._best is not None and progress.step >= self.evaluate_every:
            progress.stopped = "captions left out in turn were told best after so many steps"
        if self._best is not None or not self._judged_by_loss:
            return float(progress.step)
        score = -evaluation.values["nll"]
        progress.strikes = 0 if score > progress.best_score else progress.strikes + 1
        enough = progress.step >= self._fresh_steps + self._settings.minimum_steps
        if enough and progress.strikes >= self._settings.patience:
            progress.stopped = "the held-out captions were no longer told better"
        return score

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs first, then sentences: vectors ``[B, dim]`` and ids ``[B, L]``."""
        settings, seed = self._settings, self._env.seed
        fresh = step < self._fresh_steps
        wanted = (0, settings.pairs + settings.texts) if fresh else (settings.pairs, settings.texts)
        pairs = cycle(len(self._pair_ids), wanted[0], step, seed, "pairs")
        texts = cycle(len(self._text_ids), wanted[1], step, seed, "texts")
        images = torch.from_numpy(self._images[self._owner[pairs]])
        sentences = torch.from_numpy(self._text_vectors[texts])
        noise = torch_rng(seed, "stage1-noise", step)
        embeddings = torch.cat(
            [add_noise(images, settings.image_noise, noise), add_noise(sentences, self.variance, noise)]
        )
        return embeddings, pad([*(self._pair_ids[i] for i in pairs), *(self._text_ids[i] for i in texts)])

    def _set_rates(self, step: int) -> None:
        settings = self._settings
        if step < self._fresh_steps:
            scale = warm_up_cosine(step, self._fresh_steps)
            rates = (settings.lr_fresh, self._lr_lm)
        else:
            scale = warm_up_cosine(step - self._fresh_steps, self.steps - self._fresh_steps)
            rates = (settings.lr_mapper, self._lr_lm)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=False):
            group["lr"] = rate * scale


def in_steps(settings: Stage1Settings, captions: int) -> Stage1Settings:
    """The settings with epochs over so many captions told in steps."""
    if settings.epochs is None:
        return settings
    epoch = captions / (settings.pairs or settings.texts)
    steps = max(settings.minimum_steps, math.ceil(settings.epochs * epoch))
    return replace(settings, steps=steps, evaluate_every=max(settings.evaluate_every, math.ceil(epoch)))


def like_lengths(ids: torch.Tensor, group: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Rows of ``ids`` ``[B, L]`` in groups of like length, and the longest of each: a third less of it is padding."""
    lengths = (ids != IGNORE).sum(dim=1)
    for rows in lengths.argsort(stable=True).split(group):
        yield rows, int(lengths[rows].max())


def make_optimiser(captioner: Captioner, lr_mapper: float, lr_lm: float, weight_decay: float) -> Optimizer:
    """AdamW with one group for the mapper and, where it is tuned, one for the language model."""
    groups = [{"params": list(captioner.mapper.parameters()), "lr": lr_mapper}]
    tuned = [parameter for parameter in captioner.lm.parameters() if parameter.requires_grad]
    if tuned:
        groups.append({"params": tuned, "lr": lr_lm})
    return torch.optim.AdamW(groups, lr=lr_mapper, weight_decay=weight_decay, betas=(0.9, 0.98))


def has_large_lm(captioner: Captioner) -> bool:
    """Whether the language model is of the size that is published pre-trained, not one as small as the starter's."""
    return sum(parameter.numel() for parameter in captioner.lm.parameters()) > LARGE_LM


def warm_up_cosine(step: int, steps: int) -> float:
    """Linear warm-up over 6% of the steps (at most 100), then a cosine down to a twentieth."""
    warm = max(1, min(100, round(0.06 * steps)))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def cycle(count: int, batch: int, step: int, seed: int, purpose: str) -> Sequence[int]:
    """The ``batch`` positions below ``count`` of this step: one shuffled pass after another, none left out."""
    if count == 0 or batch == 0:
        return []
    result: list[int] = []
    for epoch in range(step * batch // count, ((step + 1) * batch - 1) // count + 1):
        order = numpy_rng(seed, purpose, epoch).permutation(count)
        start = max(0, step * batch - epoch * count)
        result += order[start : min(count, (step + 1) * batch - epoch * count)].tolist()
    return result


def _variance(settings: Stage1Settings, data: TrainingData, encoder: Encoder) -> float:
    if settings.noise is not None:
        return settings.noise
    owner, captions = data.seeds.pairs()
    if not captions:
        return noise_variance(_NO_PAIRS_COSINE, data.seeds.images.shape[1])
    return noise_variance(
        mean_cosine(data.seeds.images[owner], text_vectors(encoder, captions, prompt=False)), data.seeds.images.shape[1]
    )
