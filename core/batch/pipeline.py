"""Photos decoded ahead of the model: a few threads, a bounded queue, results in the order of the photos."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.batch.listing import Item
from core.disk import is_pipe_or_device
from core.images.content import hash_of, load_content, stamp_of
from core.images.decode import ImageError
from core.images.preprocess import Preprocess, load_square

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Prepared:
    """An item with its picture's ``pixels`` (uint8 ``[H, W, 3]``), which one whose vector is known does without, or
    ``error``: why it cannot be captioned. ``content``: the hash of its file, where that could be read."""

    item: Item
    pixels: np.ndarray | None = None
    content: str | None = None
    error: str | None = None


def prepare(item: Item, spec: Preprocess) -> Prepared:
    """Read, check and preprocess a photo. Whatever is wrong with it is in the result."""
    if item.reason is not None or item.vector is not None:
        return Prepared(item, None, item.content, item.reason)
    content = item.content
    try:
        if item.stamp is not None and content is not None:
            pixels = load_content(item.path, content, lambda: load_square(item.path, spec), item.stamp)
            return Prepared(item, pixels, content)
        before, content = stamp_of(item.path), _hash(item)
        pixels = load_square(item.path, spec)
        if item.content not in (None, content):
            return Prepared(item, None, content, "The file here holds something else than the list says.")
        if content is None or stamp_of(item.path) != before:
            return Prepared(item, None, content, "The file changed while it was being read.")
        return Prepared(item, pixels, content)
    except ImageError as error:
        return Prepared(item, None, content, error.message)
    except Exception as error:  # noqa: BLE001 - the per-image guard: one photo never stops the others
        return Prepared(item, None, content, f"The photo could not be prepared ({type(error).__name__}: {error}).")


def _hash(item: Item) -> str | None:
    try:
        # Reading a pipe would wait for ever, and a list may name one.
        return None if is_pipe_or_device(item.path) else hash_of(item.path)
    except OSError:
        return None  # decoding says what is wrong


def in_threads(items: Iterable[T], work: Callable[[T], R], *, workers: int, ahead: Callable[[], int]) -> Generator[R]:
    """``work`` done on each of ``items`` in ``workers`` threads, at most ``ahead()`` of the results unread.

    ``items`` is read as slowly as the results are taken. Close the iterator to stop the threads.
    """
    waiting: deque[Future[R]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            while len(waiting) < ahead():
                item = next(source, waiting)  # any object that is no item marks the end
                if item is waiting:
                    break
                waiting.append(pool.submit(work, item))  # pyright: ignore[reportArgumentType]
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_batches(prepared: Iterator[Prepared], size: Callable[[], int]) -> Iterator[list[Prepared]]:
    """Group so that each group holds at most ``size()`` photos for the model; failures ride along in their place."""
    group: list[Prepared] = []
    photos, most = 0, size()
    for one in prepared:
        group.append(one)
        photos += one.error is None
        if photos == most or len(group) >= 4 * most:
            yield group
            group, photos, most = [], 0, size()
    if group:
        yield group
