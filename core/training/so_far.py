"""What a training that was stopped has shown before, read from its folder: as the messages that told it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.training.messages import MetricRow, Samples, StageStarted
from core.training.runfolder import METRICS, SAMPLES, read_rows

Message = StageStarted | MetricRow | Samples


def steps_done(run: Path) -> dict[int, int]:
    """Steps that each stage has behind it, of those that began."""
    done: dict[int, int] = {}
    for row in read_rows(run / METRICS):
        done[row["stage"]] = max(done.get(row["stage"], 0), row["step"])
    return done


def so_far(run: Path, steps: Mapping[int, int]) -> tuple[Message, ...]:
    """Stages with their steps, in order, and the captions shown last. ``steps``: how many each stage should take."""
    told: list[Message] = []
    rows = read_rows(run / METRICS)
    for stage, done in sorted(steps_done(run).items()):
        told.append(StageStarted(stage, max(steps.get(stage, 0), done), done))
        for row in rows:
            if row["stage"] == stage and ("loss" in row or "reward" in row):
                told.append(MetricRow(stage, row["step"], row.get("loss"), row.get("reward"), row.get("kl")))
    samples = read_rows(run / SAMPLES)
    if told and samples:
        captions = samples[-1]["captions"]
        told.append(Samples(samples[-1]["step"], tuple((int(key), text) for key, text in captions.items())))
    return tuple(told)
