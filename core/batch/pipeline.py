"""Photos decoded ahead of the model: a few threads, a bounded queue, results in the order of the photos."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from core.images.decode import ImageError
from core.images.preprocess import Preprocess, load_pixels

T = TypeVar("T")
Guard = Callable[[T, Callable[[], np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Prepared(Generic[T]):
    """An item with its picture's ``pixels`` (float32 ``[3, H, W]``), or ``error``: why there are none."""

    item: T
    pixels: np.ndarray | None
    error: str | None = None


def prepare_ahead(
    items: Iterable[T],
    path_of: Callable[[T], Path | None],
    spec: Preprocess,
    *,
    workers: int,
    ahead: int,
    guard: Guard[T] = lambda item, load: load(),
) -> Generator[Prepared[T]]:
    """Decode and preprocess the photos of ``items`` in ``workers`` threads, at most ``ahead`` of them unread.

    ``path_of`` gives the photo of an item, or ``None`` for one that needs no pixels. ``items`` is read as slowly as
    the results are taken. ``guard`` calls what reads an item's photo, or refuses to. Close the iterator to stop the
    threads.
    """

    def load(item: T, path: Path | None) -> Prepared[T]:
        if path is None:
            return Prepared(item, None)
        try:
            return Prepared(item, guard(item, lambda: load_pixels(path, spec)))
        except ImageError as error:
            return Prepared(item, None, error.message)
        except Exception as error:  # noqa: BLE001 - the per-image guard: one photo never stops the others
            return Prepared(item, None, f"The photo could not be prepared ({type(error).__name__}: {error}).")

    waiting: deque[Future[Prepared[T]]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            while len(waiting) < ahead:
                item = next(source, waiting)  # any object that is no item marks the end
                if item is waiting:
                    break
                waiting.append(pool.submit(load, item, path_of(item)))  # pyright: ignore[reportArgumentType]
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_batches(prepared: Iterator[Prepared[T]], size: int) -> Iterator[list[Prepared[T]]]:
    """Group so that each group holds at most ``size`` pictures; failures ride along in their place."""
    group: list[Prepared[T]] = []
    pictures = 0
    for one in prepared:
        group.append(one)
        pictures += one.pixels is not None
        if pictures == size or len(group) >= 4 * size:
            yield group
            group, pictures = [], 0
    if group:
        yield group
