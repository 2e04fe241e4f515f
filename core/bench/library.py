"""``bench library``: a library of many photos beside one of a few: scanning, opening, filtering, finding words, memory.

The photos are made here: small JPEGs, each with a content of its own, a thousand to a folder. Every part runs in a
fresh process (:mod:`core.bench.library_parts`), with its modules imported before its clock starts.
"""

from __future__ import annotations

import io
import shutil
import statistics
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.bench.library_parts import PHOTOS_A_FOLDER
from core.bench.parts import run_part
from core.bench.result import BenchResult, Measure
from core.errors import UserError
from core.jobs import JobContext

FEW = 1_000
OPENINGS = 5
QUERIES = 400
SCANS_OF_FEW = 5
_SIDE = 24
LIBRARY = "bench.seedcap"


@dataclass(frozen=True)
class LibraryBenchRequest:
    photos: int = 100_000


@dataclass(frozen=True)
class _Cell:
    """Figures of a library of one size; times in seconds, ``filter`` and ``fts`` in milliseconds."""

    photos: int
    scan_rate: float
    rescan_rate: float
    open_s: float
    filter_p50: float
    filter_p99: float
    fts_p50: float
    fts_p99: float
    rss_mb: float


def run(ctx: JobContext, request: LibraryBenchRequest) -> BenchResult:
    if request.photos < 100:
        raise UserError("With fewer than 100 photos there is nothing to compare.", "Give --photos 100 or more.")
    few = min(FEW, request.photos // 2)
    with tempfile.TemporaryDirectory(prefix="seedcap-bench-") as scratch:
        small = _measure(Path(scratch) / "few", few, SCANS_OF_FEW, ctx)
        large = _measure(Path(scratch) / "many", request.photos, 1, ctx)
    measures = (
        Measure("scan_slowdown", small.scan_rate / large.scan_rate, "", 1.1, higher_is_better=False),
        Measure("open_s", large.open_s, "s", 0.3, higher_is_better=False),
        Measure("filter_p99_ms", large.filter_p99, "ms", 50, higher_is_better=False),
        Measure("fts_p99_ms", large.fts_p99, "ms", 50, higher_is_better=False),
        Measure("rss_mb", large.rss_mb, "MB", 300, higher_is_better=False),
        Measure("photos", large.photos, ""),
        *_plain(large, ""),
        *_plain(small, f"_at_{small.photos}"),
    )
    return BenchResult("library", measures)


def _plain(cell: _Cell, suffix: str) -> list[Measure]:
    measures = [
        Measure(f"scan_rate{suffix}", cell.scan_rate, "photos/s"),
        Measure(f"rescan_rate{suffix}", cell.rescan_rate, "photos/s"),
        Measure(f"filter_p50_ms{suffix}", cell.filter_p50, "ms"),
        Measure(f"fts_p50_ms{suffix}", cell.fts_p50, "ms"),
    ]
    if suffix:
        measures += [
            Measure(f"open_s{suffix}", cell.open_s, "s"),
            Measure(f"filter_p99_ms{suffix}", cell.filter_p99, "ms"),
            Measure(f"fts_p99_ms{suffix}", cell.fts_p99, "ms"),
            Measure(f"rss_mb{suffix}", cell.rss_mb, "MB"),
        ]
    return measures


def _measure(place: Path, photos: int, scans: int, ctx: JobContext) -> _Cell:
    steps = ("making photos", "scanning", "writing captions", "opening", "asking")

    def say(step: int) -> None:
        ctx.progress(step, len(steps), f"{photos:,} photos: {steps[step]}")
        ctx.check_cancelled()

    say(0)
    make_photos(place / "photos", photos, ctx)
    say(1)
    library, scanned = place / LIBRARY, scan_photos(place, photos, scans)
    say(2)
    _part("fill", library)
    say(3)
    openings = [_part("open", library) for _ in range(OPENINGS)]
    say(4)
    asked = _part("ask", library, str(QUERIES))
    filters, searches = (1000 * np.array(asked[name]) for name in ("filter_s", "fts_s"))
    return _Cell(
        photos=photos,
        scan_rate=photos / scanned["scan_s"],
        rescan_rate=photos / scanned["rescan_s"],
        open_s=statistics.median(one["open_s"] for one in openings),
        filter_p50=float(np.percentile(filters, 50)),
        filter_p99=float(np.percentile(filters, 99)),
        fts_p50=float(np.percentile(searches, 50)),
        fts_p99=float(np.percentile(searches, 99)),
        rss_mb=max(one["rss_mb"] for one in (scanned, asked, *openings)),
    )


def scan_photos(place: Path, photos: int, scans: int = 1) -> dict[str, Any]:
    """Take the photos of ``place`` into a new library there; how long that took."""
    scanned = _part("scan", place / LIBRARY, str(place / "photos"), str(scans))
    if scanned["photos"] != photos:
        raise RuntimeError(f"the scan found {scanned['photos']} of {photos} photos")
    return scanned


def make_library(place: Path, photos: int, ctx: JobContext) -> Path:
    """A library of ``photos`` small photos with captions and scores in ``place``; one that is there already is kept."""
    ready = place / f"{photos}.ready"
    if not ready.is_file():
        shutil.rmtree(place, ignore_errors=True)
        make_photos(place / "photos", photos, ctx)
        scan_photos(place, photos)
        _part("fill", place / LIBRARY)
        ready.touch()
    return place / LIBRARY


def make_photos(folder: Path, count: int, ctx: JobContext) -> None:
    """``count`` small JPEGs, :data:`PHOTOS_A_FOLDER` in each of the folders 000, 001 …, no two of the same content.

    The pixels are the same few, since decoding is not what is measured; a comment in each file tells them apart.
    """
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(16):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)).save(buffer, "JPEG", quality=70)
        bodies.append(buffer.getvalue())
    for number in range(count):
        place = folder / f"{number // PHOTOS_A_FOLDER:03d}"
        if number % PHOTOS_A_FOLDER == 0:
            ctx.check_cancelled()
            place.mkdir(parents=True)
        body, comment = bodies[number % len(bodies)], f"photo {number}".encode()
        marker = b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment
        (place / f"IMG_{number:06d}.jpg").write_bytes(body[:2] + marker + body[2:])


def _part(name: str, library: Path, *arguments: str) -> dict[str, Any]:
    return run_part("core.bench.library_parts", name, str(library), *arguments)
