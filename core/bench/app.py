"""``bench app``: how fast the window is there and shows a library, and whether it ever stalls.

The app runs in processes of its own (``gui.bench_parts``; nothing here imports Qt), without a display unless
``QT_QPA_PLATFORM`` names one. What it shows is a library of many small photos; what it trains meanwhile is one of
sample scenes. Beside what the clock says stands what the processor did (``start_processor_s``, ``work_…``): on a
computer that is busy with something else, it tells the app's own part.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.bench.library import make_library
from core.bench.parts import run_part
from core.bench.result import BenchResult, Measure
from core.errors import UserError
from core.jobs import JobContext
from core.library.edits import add_captions
from core.library.library import Library
from core.library.queries import images_of
from core.library.scan import scan
from core.starter.scenes_library import write_sample_library
from core.starter.scenes_words import DEMO

STARTS, OPENINGS = 5, 3
SCENES, SEEDS = 160, 24
PLATFORM = "QT_QPA_PLATFORM"
_WINDOW = "gui.bench_parts"
_SAMPLE_LIBRARY = 7


@dataclass(frozen=True)
class AppBenchRequest:
    """``work``: where the libraries are kept for the next time; ``None`` makes them anew."""

    photos: int = 100_000
    work: Path | None = None


def run(ctx: JobContext, request: AppBenchRequest) -> BenchResult:
    if request.photos < 100:
        raise UserError("With fewer than 100 photos there is nothing to scroll.", "Give --photos 100 or more.")
    with tempfile.TemporaryDirectory(prefix="seedcap-bench-") as scratch:
        place = Path(scratch) if request.work is None else request.work.absolute()
        home = {"SEEDCAP_HOME": str(Path(scratch) / "home"), PLATFORM: os.environ.get(PLATFORM) or "offscreen"}
        return _measured(place / "app", request.photos, home, ctx)


def _measured(place: Path, photos: int, home: dict[str, str], ctx: JobContext) -> BenchResult:
    steps = ("starting", f"making a library of {photos:,} photos", "opening it", "scrolling and training")

    def say(step: int) -> None:
        ctx.progress(step, len(steps), steps[step])
        ctx.check_cancelled()

    say(0)
    starts = [_start(home) for _ in range(STARTS)]
    seconds = [one["seconds"] for one in starts]
    say(1)
    library = make_library(place / "many", photos, ctx)
    sample = make_sample(place / "sample", ctx)
    say(2)
    first = run_part(_WINDOW, "paint", str(library), "", environment=home)
    again = [run_part(_WINDOW, "paint", str(library), str(sample), environment=home) for _ in range(OPENINGS)]
    say(3)
    scrolled = run_part(_WINDOW, "scroll", str(library), str(sample), environment=home)
    busy, quiet = np.array(scrolled["busy_ms"]), np.array(scrolled["quiet_ms"])
    forbidden = sorted({name for one in (*starts, scrolled) for name in one["forbidden"]})
    measures = (
        _at_most("start_s", statistics.median(seconds), "s", 1.0),
        _at_most("forbidden_modules", len(forbidden), "", 0),
        _at_most("first_paint_s", statistics.median(one["rows_s"] for one in again), "s", 0.3),
        _at_most("stall_p99_ms", float(np.percentile(busy, 99)), "ms", 33),
        _at_most("stall_max_ms", float(busy.max()), "ms", 100),
        _at_most("rss_mb", scrolled["rss_mb"], "MB", 250),
        Measure("photos", photos, ""),
        Measure("start_processor_s", statistics.median(one["processor_s"] for one in starts), "s"),
        Measure("work_p99_ms", float(np.percentile(scrolled["work_ms"], 99)), "ms"),
        Measure("work_max_ms", max(scrolled["work_ms"]), "ms"),
        Measure("first_pictures_s", statistics.median(one["pictures_s"] for one in again), "s"),
        Measure("first_paint_after_start_s", first["rows_s"], "s"),
        Measure("first_pictures_uncached_s", first["pictures_s"], "s"),
        Measure("stall_p99_ms_without_training", float(np.percentile(quiet, 99)), "ms"),
        Measure("stall_max_ms_without_training", float(quiet.max()), "ms"),
    )
    notes = [f"Loaded in the window's process: {', '.join(forbidden)}."] if forbidden else []
    if not scrolled["trained"]:
        notes.append("The training was over before the scrolling was.")
    return BenchResult("app", measures, tuple(notes))


def _at_most(name: str, value: float, unit: str, aim: float) -> Measure:
    return Measure(name, value, unit, aim, higher_is_better=False)


def _start(home: dict[str, str]) -> dict[str, Any]:
    """One start of the app: ``seconds`` from before its process was begun until its window was painted."""
    started = time.time()
    shown = run_part(_WINDOW, "start", environment=home)
    return {**shown, "seconds": shown["shown_at"] - started}


def make_sample(place: Path, ctx: JobContext) -> Path:
    """A library of sample scenes, a few of them captioned; one that is there already is kept."""
    library = place / "sample.seedcap"
    if library.is_dir():
        return library
    samples = write_sample_library(place / "scenes", SCENES, DEMO, _SAMPLE_LIBRARY)
    told = {sample.file: sample.captions[:1] for sample in samples[:: SCENES // SEEDS][:SEEDS]}
    with Library.create(library) as opened:
        scan(opened, place / "scenes", ctx)
        texts = {row.id: list(told[row.path.name]) for row in images_of(opened) if row.path.name in told}
        add_captions(opened, texts, is_seed=True, label="Seeds of the benchmark")
    return library
