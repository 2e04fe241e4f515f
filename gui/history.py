"""The trainings of a library side by side: read from its list of runs and their reports, in a lane. No Qt."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from core.library.library import Library
    from core.library.records import RunRow


@dataclass(frozen=True)
class RunLine:
    """One training; ``run_id=None`` is the starter model, with which a library begins.

    ``kept``: ``before``, ``stage1`` or ``stage2`` of a finished one, else empty. ``seeds``: photos whose captions it
    was given. ``before`` and ``after``: what was measured of the model it began with and of the one it kept.
    ``newest``: the one that can be gone on with, if it was stopped. ``usable``: its model is there. ``page``: its
    report, where there is one.
    """

    run_id: str | None
    preset: str = ""
    status: str = "done"
    kept: str = ""
    created_at: datetime | None = None
    seconds: float | None = None
    seeds: int | None = None
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    page: Path | None = None
    usable: bool = False
    in_use: bool = False
    newest: bool = False


def run_lines(library: Library) -> tuple[RunLine, ...]:
    """Every training, the newest first, and the starter model last; none while there has been no training."""
    from core.library.runs import current_run, runs

    current = current_run(library)
    used = None if current is None else current.id
    lines = [replace(_line(run, used), newest=number == 0) for number, run in enumerate(runs(library))]
    return (*lines, RunLine(None, usable=True, in_use=used is None)) if lines else ()


def took(lines: tuple[RunLine, ...]) -> dict[str, float]:
    """Seconds of the newest finished training with each preset."""
    done = [line for line in lines if line.run_id and line.status == "done" and line.seconds is not None]
    return {line.preset: line.seconds for line in reversed(done) if line.seconds is not None}


def _line(run: RunRow, used: str | None) -> RunLine:
    from core.report.document import PAGE
    from core.training.runfolder import BEFORE, kept_checkpoint, read_report

    ended = None if run.finished_at is None else (run.finished_at - run.created_at).total_seconds()
    page = run.folder / PAGE
    report: dict[str, Any] = {}
    usable = False
    if run.status == "done":
        try:
            report = read_report(run.folder)
            usable = report["kept"] != BEFORE and kept_checkpoint(run.folder).is_dir()
        except UserError:
            report = {}  # its files are gone; that it was is still told
    kept = str(report.get("kept", ""))
    return RunLine(
        run.id,
        run.preset,
        run.status,
        kept,
        run.created_at,
        ended if run.status == "done" else None,
        _seeds(run.folder),
        _values(report, BEFORE),
        _values(report, kept),
        page if page.is_file() else None,
        usable,
        run.id == used,
    )


def _values(report: Mapping[str, Any], name: str) -> dict[str, float]:
    """What a report says of one of its models; a report of another hand may say anything."""
    result = report.get("results", {}).get(name) if isinstance(report.get("results"), dict) else None
    values = result.get("values") if isinstance(result, dict) else None
    return {k: v for k, v in values.items() if isinstance(v, (int, float))} if isinstance(values, dict) else {}


def _seeds(folder: Path) -> int | None:
    from core.training.runfolder import CONFIG

    try:
        data = tomllib.loads((folder / CONFIG).read_text("utf-8"))["data"]
        return int(data["seeds"]) + int(data["held_out_seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
