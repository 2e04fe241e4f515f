"""``bench quality --task NAME``: captions of few labels against captions of all, on splits that nothing has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import paths
from core.bench.quality import clip_vectors, published, scenes
from core.bench.quality.cells import Cells
from core.bench.quality.few_labels import (
    FULL,
    RECOMMENDED,
    RERANKED,
    SIMILARITY,
    STAGE1,
    TEXT_ONLY,
    Table,
    Task,
    run_task,
)
from core.bench.quality.halves import Half, build_half, half_b_rows
from core.bench.quality.material import Material
from core.bench.quality.scores import Scores, gain, share
from core.bench.result import BenchResult, Measure, need_data
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import JobContext
from core.metrics.bootstrap import Difference

TWO_PERCENT = Task("two-percent", "flickr8k", labels=59)
DOMAIN = Task("domain", "rsicd", labels=50, photos=1500, full=False)
_FIGURES = ("cider", "bleu4", "clip_s", "r1", "r5", "mrr", "unique_ratio", "rep2", "length")


@dataclass(frozen=True)
class QualityRequest:
    """``work``: where finished cells are kept; default the cache folder. ``seeds``: how many random seeds."""

    task: str
    data: Path | None
    seeds: int = 3
    work: Path | None = None


def run(ctx: JobContext, request: QualityRequest) -> BenchResult:
    if request.task not in TASKS:
        raise UserError(f"There is no task '{request.task}'.", f"Choose one of: {', '.join(TASKS)}.")
    return TASKS[request.task](ctx, request)


def _data(request: QualityRequest) -> Path:
    return need_data(request.data, "flickr8k/captions.csv", "rsicd/captions.csv", "text/multi30k_en.tsv")


def _half_a(ctx: JobContext, request: QualityRequest) -> tuple[Half, Material]:
    data = _data(request)
    work = request.work or paths.cache_dir() / "bench-quality"
    half = build_half(data, work / "half-a", ctx)
    return half, Material(data, load_encoder(half.encoder), Cells(work / "cells"), ctx)


def _few_labels(half: Half, material: Material, task: Task, seeds: int) -> Table:
    train = material.photos(task.dataset, "train")
    return run_task(task, material, train.pick(half_b_rows(len(train))), half.captioner, range(seeds))


def two_percent(ctx: JobContext, request: QualityRequest) -> BenchResult:
    """59 labelled photos of half B, its rest unlabelled, against all of half B labelled; Flickr8k dev."""
    table = _few_labels(*_half_a(ctx, request), TWO_PERCENT, request.seeds)
    rows, n = table.rows, request.seeds
    ours, full, first = rows[RECOMMENDED], rows[FULL], rows[STAGE1]
    over = gain("cider", first, ours)
    greens = [state == "green" for one in table.trained[RECOMMENDED] for state in one.gates.values()]
    red = [len(one.red) for one in table.trained[SIMILARITY]]
    measures = (
        Measure("cider_full_b", _mean(full, "cider"), "", seeds=n),
        *_beside(full, ours, n),
        *_beside(rows[FULL + RERANKED], rows[RECOMMENDED + RERANKED], n, "reranked_"),
        _measure("cider_over_stage1", over, 0.0, n),
        Measure("gates_green", float(np.mean(greens)) if greens else 0.0, "of all", 1.0, seeds=n),
        Measure("naive_gates_red", float(np.mean(red)), "a run", 1.0, seeds=n),
    )
    return BenchResult("quality two-percent", measures, _notes(table))


def _beside(full: Sequence[Scores], ours: Sequence[Scores], n: int, row: str = "") -> tuple[Measure, ...]:
    """A row beside that of all labelled, both decoded in the same way."""
    gains = {name: gain(name, full, ours) for name in ("clip_s", "r5", "mrr")}
    return (
        _measure(f"{row}share_of_full_cider", share(ours, full), 1.0, n),
        *(_measure(f"{row}{name}_minus_full", one, 0.0, n, beyond=True, surely=True) for name, one in gains.items()),
    )


def domain(ctx: JobContext, request: QualityRequest) -> BenchResult:
    """Aerial images, 50 of them labelled and 1,450 not: stage 2 against stage 1; RSICD dev."""
    table = _few_labels(*_half_a(ctx, request), DOMAIN, request.seeds)
    first, ours = table.rows[STAGE1], table.rows[RECOMMENDED]
    found, wording = gain("mrr", first, ours), gain("cider", first, ours)
    percent = 100 / max(1e-9, _mean(first, "cider"))
    relative = Difference(wording.value * percent, wording.low * percent, wording.high * percent, wording.p)
    measures = (
        _measure("mrr_gain", found, 0.0, request.seeds, beyond=True, surely=True),
        _measure("cider_gain", relative, -2.0, request.seeds, unit="%"),
        Measure("mrr_gain_p", found.p, "", 0.05, higher_is_better=False, seeds=request.seeds),
    )
    return BenchResult("quality domain", measures, _notes(table))


def text_only(ctx: JobContext, request: QualityRequest) -> BenchResult:
    """No labelled photo at all, against all of half B labelled: the warm start that every row shares; Flickr8k dev.
    And ClipCap as published, on vectors of a real CLIP."""
    need_data(request.data, *clip_vectors.FILES)
    half, material = _half_a(ctx, request)
    table = _few_labels(half, material, TWO_PERCENT, request.seeds)
    part = share(table.rows[TEXT_ONLY], table.rows[FULL])
    measures = (
        _measure("share_of_full_cider", part, 0.9, request.seeds),
        Measure("cider", _mean(table.rows[TEXT_ONLY], "cider"), ""),
        Measure("cider_full_b", _mean(table.rows[FULL], "cider"), "", seeds=request.seeds),
        *clip_vectors.clip_vector_measures(material, half, request.seeds),
    )
    return BenchResult("quality text-only", measures, _notes(table))


TASKS: dict[str, Callable[[JobContext, QualityRequest], BenchResult]] = {
    "two-percent": two_percent,
    "text-only": text_only,
    "domain": domain,
    "full": lambda ctx, request: published.full_task(ctx, _data(request), request.seeds, request.work),
    "reward": lambda ctx, request: published.reward_task(ctx, _data(request), request.seeds, request.work),
    "truth": lambda ctx, request: scenes.truth_task(ctx, request.seeds, request.work),
    "style": lambda ctx, request: scenes.style_task(ctx, request.seeds, request.work),
}


def _mean(rows: Sequence[Scores], name: str) -> float:
    return float(np.mean([one.summary()[name] for one in rows]))


def _measure(
    name: str, found: Difference, aim: float, seeds: int, *, unit: str = "", beyond: bool = False, surely: bool = False
) -> Measure:
    return Measure(
        name, found.value, unit, aim, low=found.low, high=found.high, seeds=seeds, beyond=beyond, surely=surely
    )


def _notes(table: Table) -> tuple[str, ...]:
    """The rows as lines of text, the mean over random seeds; and what each stage 2 came to."""
    width = max(len(row) for row in table.rows)
    lines = ["", "  ".join(["row".ljust(width), *(name.rjust(8) for name in _FIGURES)])]
    for row, scores in table.rows.items():
        values = _averages([one.summary() for one in scores])
        lines.append("  ".join([row.ljust(width), *(f"{values[name]:8.3f}" for name in _FIGURES)]))
    for row, trained in table.trained.items():
        for one in trained:
            red = f"; red: {', '.join(one.red)}" if one.red else ""
            lines.append(f"{row}: kept {one.kept}, {one.minutes:.1f} min{red}. {one.reason}")
    return tuple(lines)


def _averages(summaries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in summaries])) for name in summaries[0]}
