"""A few labelled photos against all of them labelled: text alone, stage 1, re-ranking, both forms of stage 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.bench.quality.material import Material, Photos
from core.bench.quality.rows import How, Rows, Trained, labelled_data
from core.bench.quality.scores import Scores, score
from core.training.data import TrainingData
from core.training.presets import Preset, find_preset, gentler, similarity_alone, with_overrides

TEXT_ONLY, STAGE1, SIMILARITY, RECOMMENDED, FULL = (
    "text-only", "stage 1", "stage 2, similarity only", "stage 2, recommended", "all labelled"
)  # fmt: skip
RERANKED = ", re-ranked"
"""After the name of a row: the best of eight samples instead of the greedy caption."""


@dataclass(frozen=True)
class Task:
    """``pool``: the photos of half B; ``labels``: how many of them are labelled; ``full``: also train on all."""

    name: str
    dataset: str
    labels: int
    photos: int | None = None
    full: bool = True
    full_epochs: float = 3.0


@dataclass(frozen=True)
class Table:
    """For each row the scores by random seed, and the trainings that a report needs."""

    rows: Mapping[str, Sequence[Scores]]
    trained: Mapping[str, Sequence[Trained]]


def run_task(task: Task, material: Material, pool: Photos, start: Path, seeds: Sequence[int]) -> Table:
    """Every row of the task; rows that do not depend on the drawn labels are made once."""
    rows, dev = Rows(material), material.photos(task.dataset, "dev")
    scores: dict[str, list[Scores]] = {}
    trained: dict[str, list[Trained]] = {}

    def add(row: str, checkpoint: Path, how: How = "greedy") -> None:
        captions = rows.captions(_slug(f"{task.name} {row}"), checkpoint, dev, how)
        scores.setdefault(row, []).append(score(material, task.dataset, dev, captions))

    def train(row: str, data: TrainingData, preset: Preset, stages: str, begin: Path, seed: int) -> Trained:
        one = rows.train(_slug(f"{task.name} {row} {seed}"), data, preset, stages=stages, start=begin, seed=seed)
        trained.setdefault(row, []).append(one)
        return one

    add(TEXT_ONLY, start)
    for seed in seeds:
        rng = np.random.default_rng([seed, 59])
        some = pool if task.photos is None else pool.pick(np.sort(rng.permutation(len(pool))[: task.photos]))
        labelled = rng.permutation(len(some))[: task.labels]
        data = labelled_data(some, labelled, seed)
        recommended = find_preset("recommended")
        one = train(STAGE1, data, recommended, "1", start, seed)
        add(STAGE1, one.checkpoint)
        add(STAGE1 + RERANKED, one.checkpoint, "rerank")
        for row, preset in ((SIMILARITY, _similarity(recommended)), (RECOMMENDED, recommended)):
            two = train(row, data, _after(preset, one, len(data.practice_images)), "2", one.checkpoint, seed)
            add(row, two.checkpoint)
        add(RECOMMENDED + RERANKED, two.checkpoint, "rerank")
        if task.full:
            everything = labelled_data(some, np.arange(len(some)), seed)
            preset = _whole(recommended, len(everything.seeds.pairs()[1]), task.full_epochs)
            whole = train(FULL, everything, preset, "1", start, seed)
            add(FULL, whole.checkpoint)
            add(FULL + RERANKED, whole.checkpoint, "rerank")
    return Table(scores, trained)


def _similarity(preset: Preset) -> Preset:
    return replace(preset, stage2=preset.stage2 and similarity_alone(preset.stage2))


def _after(preset: Preset, stage1: Trained, photos: int) -> Preset:
    """Stage 2 as it follows on stage 1 within one training, with so many photos to practise on."""
    if stage1.kept != "before" or preset.stage2 is None:
        return preset
    return replace(preset, stage2=gentler(preset.stage2, photos))


def _whole(preset: Preset, pairs: int, epochs: float) -> Preset:
    """Stage 1 over all pairs: the same rules, as many evaluations, more steps between them."""
    steps = max(preset.stage1.steps, round(epochs * pairs / preset.stage1.pairs))
    every = max(preset.stage1.evaluate_every, steps // 10)
    return with_overrides(preset, {"stage1.steps": steps, "stage1.evaluate_every": every})


def _slug(text: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in text).replace("--", "-")
