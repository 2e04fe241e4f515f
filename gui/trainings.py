"""What the overview says about the trainings of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from core.library.records import Counts
from core.report.document import PAGE
from core.training.messages import StageStarted, TrainRequest
from core.training.presets import PRESETS

if TYPE_CHECKING:
    from core.library.records import RunRow
    from core.training.enough import MoreSeeds
    from core.training.so_far import Message
    from core.training.time_left import Paces


STOPPED = ("cancelled", "failed", "interrupted")


@dataclass(frozen=True)
class Here:
    """``looked_at``: a training has looked at this library's photos. Of the newest training, where it was stopped:
    ``so_far``, what it had shown, and ``ends``: it was asked to learn no more. ``more``: what trainings have told of
    the number of seeds."""

    paces: Paces
    looked_at: bool = False
    so_far: tuple[Message, ...] = ()
    ends: bool = False
    more: MoreSeeds | None = None

    @property
    def stage(self) -> StageStarted | None:
        """The stage in which it was stopped."""
        return next((one for one in reversed(self.so_far) if isinstance(one, StageStarted)), None)


def stopped(library: Path, runs: Sequence[RunRow]) -> TrainRequest | None:
    """How to go on with the newest training, if it was stopped half-way: with the settings that it was begun with.

    An older one has been overtaken.
    """
    if not runs or runs[0].status not in STOPPED:
        return None
    known = {field.name for field in fields(TrainRequest)}
    begun = {name: value for name, value in runs[0].config.get("request", {}).items() if name in known}
    text_file = Path(begun["text_file"]) if begun.get("text_file") else None
    return TrainRequest(**{**begun, "library": library, "text_file": text_file, "resume": True})


def newest_report(runs: Sequence[RunRow]) -> Path | None:
    pages = (run.folder / PAGE for run in runs if run.status == "done")
    return next((page for page in pages if page.is_file()), None)


def here(runs: Sequence[RunRow]) -> Here:
    """What is known of trainings in this library and on this computer."""
    from core.training.enough import more_seeds
    from core.training.runfolder import RunFolder
    from core.training.so_far import so_far
    from core.training.time_left import read_paces

    paces, more = read_paces(), more_seeds(runs)
    if not runs or runs[0].status not in STOPPED:
        return Here(paces, looked_at=bool(runs), more=more)
    preset = runs[0].config.get("preset", {})
    steps = {n: (preset.get(f"stage{n}") or {}).get("steps", 0) for n in (1, 2)}
    return Here(paces, True, so_far(runs[0].folder, steps), RunFolder(runs[0].folder).asked_to_end, more)


def end_here(runs: Sequence[RunRow], wanted: bool) -> None:
    """Have the newest training come to its end without learning more, now or when it goes on; or not any more."""
    from core.training.runfolder import RunFolder

    if runs:
        RunFolder(runs[0].folder).ask_to_end(wanted)


def expected(here: Here, request: TrainRequest, counts: Counts) -> tuple[float, float] | None:
    """Seconds at least and at most of a training here, or of the rest of the stopped one; None: nothing is known."""
    from core.training.time_left import Material, plan_of
    from core.training.time_left import expected as span

    preset = PRESETS.get(request.preset)
    if preset is None:
        return None
    done = {one.stage: one.done for one in here.so_far if isinstance(one, StageStarted)} if request.resume else {}
    without = max(0, counts.photos - counts.seeds)
    material = Material(0 if here.looked_at else counts.photos, counts.seeds, without, counts.seeds)
    plan = plan_of(preset, request, material, done)
    return span(here.paces, request, plan)
