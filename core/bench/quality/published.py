"""``full``: the published one-stage systems with every photo labelled. ``reward``: the published rewards compared."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core import paths
from core.bench.quality.cells import Cells
from core.bench.quality.halves import build_half, half_b_rows
from core.bench.quality.material import Material
from core.bench.quality.rows import How, Rows, Trained, labelled_data
from core.bench.quality.scores import Scores, score
from core.bench.result import BenchResult, Measure
from core.captioner.captioner import new_captioner
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import JobContext
from core.training.presets import Preset, find_preset, with_overrides
from core.training.runfolder import read_report

ONE_STAGE = ("clipcap-mlp", "clipcap-transformer")
AIM_BLEU4 = 21.3
LABELLED = 600
"""Photos of half B with captions for ``reward``: CIDEr as a reward needs references."""
STEPS = 100


def full_task(ctx: JobContext, data: Path, seeds: int, work: Path | None) -> BenchResult:
    """All 5,997 Flickr8k train photos labelled, the starter's encoder and language model; Flickr8k dev. Beside greedy
    captions those of beam search, as the figures it is compared with are of it."""
    work = work or paths.cache_dir() / "bench-quality"
    material = Material(data, load_encoder("starter"), Cells(work / "cells"), ctx)
    train, dev = material.photos("flickr8k", "train"), material.photos("flickr8k", "dev")
    rows, measures = Rows(material), list[Measure]()
    best: list[Scores] = []
    for name in ONE_STAGE:
        preset, trained = find_preset(name), list[Trained]()
        found: dict[How, list[Scores]] = {"greedy": [], "beam": []}
        for seed in range(seeds):
            learned = labelled_data(train, np.arange(len(train)), seed)
            start = _fresh(material, preset, seed)
            one = rows.train(f"full-{name}-{seed}", learned, preset, stages="1", start=start, seed=seed, fresh=True)
            for how, some in found.items():
                some.append(score(material, "flickr8k", dev, rows.captions(f"full-{name}", one.checkpoint, dev, how)))
            trained.append(one)
        learning = read_report(trained[0].checkpoint.parent)["trained_parameters"]
        measures += [
            *(
                Measure(f"{name}_{how}_{figure}", _mean(some, figure), "", seeds=seeds)
                for how, some in found.items()
                for figure in ("cider", "bleu4")
            ),
            Measure(f"{name}_minutes", float(np.mean([one.minutes for one in trained])), "min", seeds=seeds),
            Measure(f"{name}_trained_parameters", sum(learning.values()) / 1e6, "million"),
        ]
        best = max(best, found["beam"], key=lambda some: _mean(some, "bleu4") if some else -1.0)
    measures = [
        Measure("cider", _mean(best, "cider"), "", seeds=seeds),
        Measure("bleu4", _mean(best, "bleu4"), "", AIM_BLEU4, seeds=seeds),
        *measures,
    ]
    return BenchResult("quality full", tuple(measures))


def _fresh(material: Material, preset: Preset, seed: int) -> Path:
    """A checkpoint with an untrained mapper of the preset's kind before the starter's language model."""
    settings = {"mapper": str(preset.mapper), "seed": seed, "encoder": material.encoder.fingerprint}
    folder = material.cells.path("fresh", settings)
    if not folder.is_dir():
        made = new_captioner(material.encoder, load_language_model("starter"), preset.mapper, seed=seed)
        save_captioner(made, folder)
    return folder


def reward_task(ctx: JobContext, data: Path, seeds: int, work: Path | None) -> BenchResult:
    """The orderings of arXiv 2205.13115 on half B: what each reward does to CIDEr and to similarity; Flickr8k dev."""
    work = work or paths.cache_dir() / "bench-quality"
    half = build_half(data, work / "half-a", ctx)
    material = Material(data, load_encoder(half.encoder), Cells(work / "cells"), ctx)
    train, dev = material.photos("flickr8k", "train"), material.photos("flickr8k", "dev")
    pool, rows = train.pick(half_b_rows(len(train))), Rows(material)
    found: dict[str, list[Scores]] = {}
    for seed in range(seeds):
        labelled = np.random.default_rng([seed, LABELLED]).permutation(len(pool))[:LABELLED]
        learned = labelled_data(pool, labelled, seed)
        first = rows.train(
            f"reward-1-{seed}", learned, find_preset("recommended"), stages="1", start=half.captioner, seed=seed
        )
        checkpoints = {"mle": first.checkpoint}
        for name, preset in _rewards().items():
            one = rows.train(f"reward-{name}-{seed}", learned, preset, stages="2", start=first.checkpoint, seed=seed)
            checkpoints[name] = one.checkpoint.parent / "stage2"  # whatever was kept: what the reward did is asked
        for name, checkpoint in checkpoints.items():
            captions = rows.captions(f"reward-{name}", checkpoint, dev)
            found.setdefault(name, []).append(score(material, "flickr8k", dev, captions))
    orders = {
        "cider": ("cider", "mle", "clip-grammar", "clip"),
        "clip_s": ("clip", "clip-grammar", "mle"),
        "r5": ("clip", "clip-grammar", "mle"),
    }
    measures = [
        Measure(
            f"{figure}_order_holds", float(_ordered([_mean(found[one], figure) for one in order])), "", 1.0, seeds=seeds
        )
        for figure, order in orders.items()
    ]
    for name, some in found.items():
        measures += [
            Measure(f"{name}_{figure}", _mean(some, figure), "", seeds=seeds) for figure in ("cider", "clip_s", "r5")
        ]
    return BenchResult("quality reward", tuple(measures))


def _rewards() -> Mapping[str, Preset]:
    """The published rewards, as many steps each, each as it ends and not as the checks would have it."""
    short = {"stage2.steps": STEPS}
    cider = with_overrides(find_preset("cider-clip"), {**short, "stage2.rewards.clip_s": 0.0})
    return {
        "clip": with_overrides(find_preset("clip-reward"), short),
        "clip-grammar": with_overrides(find_preset("clip-reward-grammar"), short),
        "cider": cider,
        "cider-clip": replace(with_overrides(find_preset("cider-clip"), short), name="cider-clip"),
    }


def _ordered(values: Sequence[float]) -> bool:
    """Whether they fall from the first to the last."""
    return all(a > b for a, b in itertools.pairwise(values))


def _mean(rows: Sequence[Scores], name: str) -> float:
    return float(np.mean([one.summary()[name] for one in rows]))
