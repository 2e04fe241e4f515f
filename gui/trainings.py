"""What the overview says about the trainings of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from core.report.document import PAGE
from core.training.messages import TrainRequest

if TYPE_CHECKING:
    from core.library.records import RunRow
    from core.onnx.precision_loss import PrecisionLoss


def stopped(library: Path, runs: Sequence[RunRow]) -> TrainRequest | None:
    """How to go on with the newest training, if it was stopped half-way: with the settings that it was begun with.

    An older one has been overtaken.
    """
    if not runs or runs[0].status not in ("cancelled", "failed", "interrupted"):
        return None
    known = {field.name for field in fields(TrainRequest)}
    begun = {name: value for name, value in runs[0].config.get("request", {}).items() if name in known}
    text_file = Path(begun["text_file"]) if begun.get("text_file") else None
    return TrainRequest(**{**begun, "library": library, "text_file": text_file, "resume": True})


def faster(library: Path, run: RunRow | None) -> PrecisionLoss | None:
    """What was measured when the int8 bundle of the model in use was made."""
    from core.onnx.bundle import faster_folder

    folder = faster_folder(library, None if run is None else run.id)
    if not folder.is_dir():
        return None
    from core.onnx.precision_loss import loss_of

    return loss_of(folder)


def newest_report(runs: Sequence[RunRow]) -> Path | None:
    pages = (run.folder / PAGE for run in runs if run.status == "done")
    return next((page for page in pages if page.is_file()), None)


def last_duration(runs: Sequence[RunRow]) -> float | None:
    times = [run.finished_at - run.created_at for run in runs if run.status == "done" and run.finished_at is not None]
    return times[0].total_seconds() if times else None
