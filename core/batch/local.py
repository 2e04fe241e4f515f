"""Captioning on this machine: photos decoded ahead in threads, one open bundle, batches that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from core.batch.batch_size import LARGEST, START, BatchSize
from core.batch.engine import NOT_FINITE, WROTE_NOTHING, CaptionEngine
from core.batch.listing import Item
from core.batch.pipeline import Prepared, in_batches, in_threads, prepare
from core.batch.records import Candidate
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.providers import CPU
from core.onnx.threads import decode_threads
from core.running_out import in_portions

R = TypeVar("R")


@dataclass(frozen=True)
class Done:
    """What became of a photo: candidates, best first, or ``error``.

    ``photo`` and ``text``: unit vectors of the photo and of the first candidate, where there are any. ``content``: the
    hash of the file, where it could be read.
    """

    item: Item
    candidates: tuple[Candidate, ...] = ()
    photo: np.ndarray | None = None
    text: np.ndarray | None = None
    content: str | None = None
    error: str | None = None


class Runner(Protocol):
    """Where photos are captioned: here, or on several machines (:mod:`core.batch.ray_runner`)."""

    def run(self, items: Iterable[Item], ctx: JobContext) -> Generator[list[Done]]:
        """Caption ``items``, in any order, each exactly once; a group is given as soon as it is done. Close the
        iterator to stop."""
        ...


class LocalRunner:
    """Captions in the order of the photos."""

    def __init__(self, engine: CaptionEngine, batch: int | None = None) -> None:
        self._engine = engine
        on_cpu = engine.bundle.provider.name == CPU
        self.size = BatchSize(batch, START if on_cpu else LARGEST)

    def run(self, items: Iterable[Item], ctx: JobContext) -> Generator[list[Done]]:
        for batch in self.prepared(items, ctx):
            before = self._engine.timers.busy
            yield from within_memory(self._engine, batch, self.size, ctx)
            self.size.took(sum(one.pixels is not None for one in batch), self._engine.timers.busy - before)

    def prepared(self, items: Iterable[Item], ctx: JobContext) -> Generator[list[Prepared]]:
        """``items`` with their pictures, in batches of the size that fits."""
        engine = self._engine
        work = partial(prepare, spec=engine.bundle.encoder.preprocess)
        pictures = in_threads(items, work, workers=decode_threads(), ahead=lambda: 2 * self.size())
        with closing(pictures):
            batches = in_batches(pictures, self.size)
            while True:
                with engine.timers.of("wait"):
                    batch = next(batches, None)
                if batch is None:
                    return
                ctx.check_cancelled()
                yield batch


def within_memory(
    engine: CaptionEngine, batch: Sequence[Prepared], size: BatchSize, ctx: JobContext
) -> Iterator[list[Done]]:
    """The batch captioned in as few portions as memory has room for."""
    return photos_in_portions(batch, size, lambda portion: _caption(engine, portion, ctx))


def photos_in_portions(
    batch: Sequence[Prepared], size: BatchSize, work: Callable[[Sequence[Prepared]], R]
) -> Iterator[R]:
    """``work`` done on as few portions of the batch as memory has room for, in order; ``UserError`` where not even one
    photo fits."""
    none_fits = UserError(
        "There is not enough memory to caption even one photo at a time.",
        "Close other programs, or ask for fewer candidates or beams.",
    )
    return in_portions(batch, size, work, none_fits)


def _caption(engine: CaptionEngine, batch: Sequence[Prepared], ctx: JobContext) -> list[Done]:
    usable = [one for one in batch if one.error is None]
    made = iter(engine.embed([one.pixels for one in usable if one.pixels is not None]))
    ctx.check_cancelled()
    vectors: list[Any] = [next(made) if one.pixels is not None else one.item.vector for one in usable]
    photos = np.stack(vectors) if vectors else np.zeros((0, engine.bundle.encoder.dim), np.float32)
    broken = np.logical_not(np.isfinite(photos).all(axis=1))  # half precision may overflow on a photo
    photos = np.where(broken[:, None], np.float32(0), photos)
    # What is sampled for a photo is decided by what it shows: not by its name, its batch or its machine.
    seeds = [int((one.content or "0")[:14], 16) for one in usable]
    candidates, texts = engine.caption(photos, seeds, ctx)
    rows = iter(range(len(usable)))
    found: list[Done] = []
    for one in batch:
        if one.error is not None:
            found.append(Done(one.item, content=one.content, error=one.error))
            continue
        row = next(rows)
        said = candidates[row]
        if broken[row] or not all(math.isfinite(number) for made in said for number in (made.score, made.log_prob)):
            found.append(Done(one.item, content=one.content, error=NOT_FINITE))
        elif said:
            found.append(Done(one.item, said, photos[row], texts[row], one.content))
        else:
            found.append(Done(one.item, (), photos[row], None, one.content, WROTE_NOTHING))
    return found
