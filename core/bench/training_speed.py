"""``bench training-speed``: a stage-2 step against a plain self-critical step with the same models, batch and tokens.

The plain step is what the published code does with today's libraries: transformers' ``generate`` once for the greedy
captions and once for the samples, rewards by the encoder, one pass with logits at every position for the gradient, one
of the reference model for the KL, all through automatic differentiation. Ours also scores the samples alone, draws with
the photos' prefixes run once, and writes the gradient of the logits out.

No caption ends early on either side: each has exactly :data:`TOKENS` tokens. The two take turns, so that what slows the
machine slows both.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core import paths
from core.bench.result import BenchResult, Measure
from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner
from core.encoders.open_clip_encoder import OpenClipEncoder, load_encoder
from core.jobs import JobContext
from core.machine import measure_gemm
from core.metrics.clip_score import clip_s, row_cosines
from core.training.compute import Precision, best_device, precision_of, set_attention
from core.training.data import CaptionedVectors, TrainingData
from core.training.presets import RewardWeights, Stage2Settings
from core.training.runfolder import RunFolder
from core.training.stage2 import Stage2
from core.training.state import Progress
from core.training.steps import Environment

PHOTOS, SAMPLES, TOKENS = 16, 5, 20
_POOL = 64
_SETTINGS = Stage2Settings(
    method="leave-one-out",
    photos=PHOTOS,
    samples=SAMPLES,
    max_tokens=TOKENS,
    temperature=1.0,
    rewards=RewardWeights(contrastive=0.0, repetition=0.0, stutter=0.0, bad_ending=0.0, no_end=0.0, length=0.0),
    seed_weight=0.0,
    hard_share=0.0,
)


@dataclass(frozen=True)
class SpeedRequest:
    """``steps`` of each kind are timed, after one that is not."""

    steps: int = 8
    work: Path | None = None


def run(ctx: JobContext, request: SpeedRequest) -> BenchResult:
    device = best_device()
    encoder = load_encoder("starter", device)
    plain = PlainStep(_endless(device), encoder)
    ours = _stage(_endless(device), encoder, ctx, request, Precision(device=device))
    kinds: dict[str, Callable[[int], object]] = {"plain": plain.step, "ours": _steps_of(ours)}
    half = precision_of("auto", device)
    if not half.is_exact:
        kinds["ours_half"] = _steps_of(_stage(_endless(device), encoder, ctx, request, half))
    seconds = _timed(kinds, request.steps, device, ctx)
    rate = 1e9 * measure_gemm().gflops
    tokens = PHOTOS * SAMPLES * TOKENS
    measures = [
        Measure("step_ratio", seconds["plain"] / seconds["ours"], "", 1.8),
        Measure("gemm_share", step_flops(plain.captioner, encoder) / seconds["ours"] / rate, "", 0.3),
        Measure("steps_per_second", 1 / seconds["ours"], "steps/s"),
        Measure("tokens_per_second", tokens / seconds["ours"], "tokens/s"),
        Measure("plain_step_s", seconds["plain"], "s"),
        Measure("step_s", seconds["ours"], "s"),
        Measure("gemm_gflops", rate / 1e9, "GFLOP/s"),
    ]
    size = f"{PHOTOS} photos x {SAMPLES} captions x {TOKENS} tokens"
    notes = [f"{size} on {device.type}; medians of {request.steps} steps."]
    if "ours_half" in seconds:
        name = "step_ratio_bf16" if half.dtype == torch.bfloat16 else "step_ratio_fp16"
        measures.append(Measure(name, seconds["plain"] / seconds["ours_half"], "", 4.0))
    else:
        notes.append("Nothing is faster than float32 on this device, so step_ratio_bf16 was not measured.")
    return BenchResult("training-speed", tuple(measures), tuple(notes))


def _timed(
    kinds: dict[str, Callable[[int], object]], steps: int, device: torch.device, ctx: JobContext
) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for step in range(steps + 1):
        for name, work in kinds.items():
            ctx.progress(step, steps + 1, f"Timing steps: {name}")
            ctx.check_cancelled()
            started = time.perf_counter()
            work(step)
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def _endless(device: torch.device) -> Captioner:
    """The starter with an end token that it never says, so that each caption has as many tokens as it may."""
    captioner = load_captioner(paths.starter_dir() / "captioner", device=device)
    captioner.info = replace(captioner.info, end_token_id=-1)
    set_attention(captioner.lm, training=True)
    return captioner.requires_grad_(True)


def _photos() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(_POOL, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _stage(
    captioner: Captioner, encoder: OpenClipEncoder, ctx: JobContext, request: SpeedRequest, precision: Precision
) -> Stage2:
    images = _photos()
    nobody = CaptionedVectors(np.zeros(0, np.int64), images[:0], ())
    data = TrainingData(nobody, nobody, images, np.arange(_POOL), images[:0], nobody.ids)
    run_folder = RunFolder((request.work or paths.cache_dir()) / "training-speed")
    env = Environment(captioner, cast(Any, None), run_folder, ctx, 0, precision)
    return Stage2(data, encoder, replace(_SETTINGS, steps=request.steps + 1), env, cast(Any, None))


def _steps_of(stage: Stage2) -> Callable[[int], object]:
    progress = Progress()
    return lambda step: stage.step(step, progress)


class PlainStep:
    """Self-critical training as one writes it with ``generate``: simple, each thing done as often as it is named."""

    def __init__(self, captioner: Captioner, encoder: OpenClipEncoder) -> None:
        self.captioner, self._encoder, self._images = captioner, encoder, _photos()
        self._reference = copy.deepcopy(captioner).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(captioner.parameters(), lr=1e-5, weight_decay=0.0)

    def step(self, step: int) -> float:
        captioner = self.captioner
        rows = (np.arange(PHOTOS) + step * PHOTOS) % _POOL
        images = torch.from_numpy(self._images[rows]).to(captioner.device)
        greedy = self._generate(images, do_sample=False)
        samples = self._generate(images, do_sample=True, num_return_sequences=SAMPLES)
        baseline = np.repeat(self._reward(greedy, self._images[rows]), SAMPLES)
        owner = np.repeat(np.arange(PHOTOS), SAMPLES)
        reward = self._reward(samples, self._images[rows][owner])
        advantages = torch.from_numpy((reward - baseline).astype(np.float32)).to(captioner.device)
        log_p = self._log_probabilities(captioner, images[owner], samples)
        with torch.no_grad():
            reference = self._log_probabilities(self._reference, images[owner], samples)
        chosen = log_p.gather(-1, samples[..., None]).squeeze(-1)
        kl = (log_p.exp() * (log_p - reference)).sum(-1)
        loss = -(advantages[:, None] * chosen).mean() + _SETTINGS.beta * kl.mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(captioner.parameters(), 1.0)
        self._optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def _generate(self, images: torch.Tensor, **how: Any) -> torch.Tensor:
        captioner = self.captioner
        prefix = captioner.prefix(images)
        return cast(Any, captioner.lm).generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            use_cache=True,
            **how,
        )

    def _reward(self, tokens: torch.Tensor, images: np.ndarray) -> np.ndarray:
        captions = [self.captioner.decode(row) for row in tokens.tolist()]
        return clip_s(row_cosines(images, self._encoder.encode_texts(captions)))

    @staticmethod
    def _log_probabilities(captioner: Captioner, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Of the whole vocabulary at every position of the captions, ``[R, TOKENS, V]``; the prefix once a caption."""
        lm = cast(Any, captioner.lm)
        inputs = torch.cat([captioner.prefix(images), captioner.embed_tokens(tokens)], dim=1)
        logits = lm(inputs_embeds=inputs, use_cache=False).logits
        return F.log_softmax(logits[:, -TOKENS - 1 : -1].float(), dim=-1)


def step_flops(captioner: Captioner, encoder: OpenClipEncoder) -> float:
    """Multiplications and additions that a step of ours cannot do without, from the matrices' sizes alone.

    Two a parameter and token forwards, four backwards: sampling, the policy forwards and backwards, the reference
    forwards; the head in each of them; the text tower once a caption.
    """
    lm = cast(Any, captioner.lm)
    embedding = lm.get_input_embeddings().weight.numel()
    head = lm.get_output_embeddings().weight.numel()
    tied = lm.get_output_embeddings().weight is lm.get_input_embeddings().weight
    body = sum(p.numel() for p in lm.parameters() if p.dim() > 1) - embedding - (0 if tied else head)
    captions = PHOTOS * SAMPLES
    prefix = PHOTOS * captioner.info.prefix_length
    passes = 2.0 * (1 + 3 + 1)  # sampling, policy, reference
    language = passes * (body * (captions * TOKENS + prefix) + head * captions * TOKENS)
    table = encoder.token_embedding()
    tower = sum(p.numel() for p in encoder.text_parameters() if p.dim() > 1) - (table.weight.numel() if table else 0)
    return language + 2.0 * tower * captions * (TOKENS + 4)
