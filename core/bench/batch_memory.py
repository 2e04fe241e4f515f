"""Whether captioning grows with the number of photos: the memory of one job, early and late."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.batch.progress import BatchProgress
from core.batch.runner import CaptionOptions, CaptionRequest, caption_folder
from core.bench.memory import resident_mb
from core.children import child_environment, module_command
from core.errors import UserError
from core.images.decode import SUFFIXES
from core.jobs import QuietContext

_READINGS = 5
"""Readings whose median counts: what decoding holds at a moment changes by some megabytes from batch to batch."""
_AHEAD = 4
"""Batches more than are looked at: near the end of a job fewer photos wait decoded, and that would hide a growth."""


def memory_growth_mb(bundle: Path, photos: Path, *, first: int = 100, last: int = 10_000, batch: int = 32) -> float:
    """How many MB more a captioning process holds after ``last`` photos than after ``first``.

    The photos of ``photos`` are captioned over and over, under as many names, by the whole pipeline (listing, reading,
    decoding, model, scores, output) in a process of its own; its resident memory is read between two batches.

    Args:
        bundle: the folder of a bundle.
        photos: a folder of photos, at least one.
        first, last: photos done, ``first < last``.
        batch: photos at once.

    Raises:
        UserError: where there are no photos, or this system does not tell a process's memory.
    """
    if not resident_mb():
        raise UserError("This system does not say how much memory a process holds.", "Run this on Linux.")
    sources = sorted(path.absolute() for path in photos.iterdir() if path.suffix.lower() in SUFFIXES)
    if not sources:
        raise UserError(f"{photos} holds no photos.", "Name a folder of photos.")
    with tempfile.TemporaryDirectory(prefix="seedcap-memory-") as work:
        links = Path(work) / "photos"
        links.mkdir()
        for number in range(last + (_READINGS + _AHEAD) * batch):
            source = sources[number % len(sources)]
            (links / f"{number:06d}{source.suffix}").symlink_to(source)
        readings = _readings_of_a_child(bundle.absolute(), links, Path(work) / "captions.jsonl", batch)
    return growth_mb(readings, first, last)


def growth_mb(readings: Sequence[tuple[int, float]], first: int, last: int) -> float:
    """The difference between the medians of the few readings from ``first`` and from ``last`` photos on; a reading is
    ``(photos done, MB)``."""

    def near(count: int) -> float:
        return statistics.median([mb for done, mb in readings if done >= count][:_READINGS])

    return near(last) - near(first)


def _readings_of_a_child(bundle: Path, photos: Path, out: Path, batch: int) -> list[tuple[int, float]]:
    child = subprocess.run(
        module_command("core.bench.batch_memory", str(bundle), str(photos), str(out), str(batch)),
        env=child_environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if child.returncode != 0:
        raise UserError(f"The photos could not be captioned: {child.stderr.strip().splitlines()[-1:]}", "")
    return [(done, mb) for done, mb in json.loads(child.stdout)]


class _Readings(QuietContext):
    """Reads the memory after each batch."""

    def __init__(self) -> None:
        self.found: list[tuple[int, float]] = []

    def partial(self, result: object) -> None:
        if isinstance(result, BatchProgress):
            self.found.append((result.done, resident_mb()))


def _child(bundle: str, photos: str, out: str, batch: str) -> None:
    readings = _Readings()
    options = CaptionOptions(batch=int(batch), provider="cpu")
    caption_folder(readings, CaptionRequest(Path(photos), Path(out), Path(bundle), options=options))
    json.dump(readings.found, sys.stdout)


if __name__ == "__main__":
    _child(*sys.argv[1:])
