"""What a training that was stopped has shown before, read from its folder: as the messages that told it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.training.messages import MetricRow, Samples, StageStarted
from core.training.runfolder import METRICS, SAMPLES, read_rows

Message = StageStarted | MetricRow | Samples


def steps_done(run: Path) -> dict[int, int]:
    """Steps that each stage has behind it, of those that began."""
    done: dict[int, int] = {}
    for row in _rows(run / METRICS):
        done[row["stage"]] = max(done.get(row["stage"], 0), row["step"])
    return done


def so_far(run: Path, steps: Mapping[int, int]) -> tuple[Message, ...]:
    """Stages with their steps, in order, and the captions shown last. ``steps``: how many each stage should take."""
    told: list[Message] = []
    rows = _rows(run / METRICS)
    for stage, done in sorted(steps_done(run).items()):
        told.append(StageStarted(stage, max(steps.get(stage, 0), done), done))
        for row in rows:
            if row["stage"] == stage and ("loss" in row or "reward" in row):
                told.append(MetricRow(stage, row["step"], row.get("loss"), row.get("reward"), row.get("kl")))
    samples = [row for row in _rows(run / SAMPLES) if isinstance(row.get("captions"), dict)]
    if told and samples:
        captions = samples[-1]["captions"]
        told.append(
            Samples(samples[-1]["step"], tuple((int(key), text) for key, text in captions.items() if key.isdigit()))
        )
    return tuple(told)


def _rows(file: Path) -> list[dict[str, Any]]:
    """Rows that say which step of which stage they are of; a file of another hand may hold anything."""
    rows: list[Any] = read_rows(file)
    return [
        row
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("stage"), int) and isinstance(row.get("step"), int)
    ]
