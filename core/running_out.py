"""Memory that does not suffice: told from other errors, in smaller portions where that helps, in words where not.

torch and onnxruntime are neither imported nor needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from core.errors import UserError
from core.marking import tr

T = TypeVar("T")
R = TypeVar("R")

_CPU = "cpu"
_TYPES = ("OutOfMemoryError",)
"""torch's, by name: for graphics cards alone; of processors and Apple's chips it says so in words, as onnxruntime."""
_WORDS = (
    "failed to allocate", "out of memory", "outofmemory", "not enough memory", "alloc_failed", "bad_alloc",
    "bad allocation", "can't allocate memory", "cannot allocate memory", "paging file",
)  # fmt: skip
_WINDOWS_COMMITMENT_LIMIT = 1455
"""Windows' number for a paging file that is too small, as when weights are mapped into memory."""

MAY_SAY_SO = (MemoryError, RuntimeError, OSError, UserError)
"""What is to be caught before it is asked :func:`is_out_of_memory`."""


class NoRoomError(UserError):
    """The memory does not suffice; what needed less of it, or another device, may go on."""


class Portion:
    """How many things at once: half as many from the moment on when the memory ran out."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self) -> int:
        return self._size

    def too_much(self, number: int) -> None:
        """So many did not fit: half of them from now on, and never more than before."""
        self._size = max(1, min(self._size, number) // 2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory did not suffice, of the computer or of a card; its cause may say so instead."""
    if isinstance(error, MemoryError | NoRoomError) or any(one.__name__ in _TYPES for one in type(error).__mro__):
        return True
    if any(_says_the_system(one) for one in (error, error.__cause__)):
        return True
    words = f"{error} {error.__cause__ or ''}".lower()
    return isinstance(error, RuntimeError | UserError) and any(one in words for one in _WORDS)


def _says_the_system(error: BaseException | None) -> bool:
    """By number: its words are in the system's language."""
    windows = getattr(error, "winerror", None) == _WINDOWS_COMMITMENT_LIMIT
    return isinstance(error, OSError) and (error.errno == errno.ENOMEM or windows)


@contextmanager
def room_for(what: str, device: object) -> Iterator[None]:
    """While ``what`` ("The encoder 'starter'") is put onto ``device``, as torch names it.

    Raises:
        NoRoomError: it does not go there.
    """
    try:
        yield
    except MAY_SAY_SO as error:
        if not is_out_of_memory(error):
            raise
        raise no_room(what, device) from error


def no_room(what: str, device: object) -> NoRoomError:
    """The sentence, for a graphics card or for the processor."""
    if str(device) == _CPU:
        return NoRoomError(
            f"{what} does not go into the memory of this computer.",
            tr("Close other programs, or choose a smaller model."),
        )
    return NoRoomError(
        f"{what} does not go into the memory of {device}.",
        tr("Close other programs that use the card, or choose a smaller model, another device or the processor."),
        topic="no room",
    )


def in_words() -> NoRoomError:
    """For work that nobody foresaw to need so much."""
    return NoRoomError(
        tr("The memory did not suffice for this work."),
        tr("Close other programs, or work on fewer photos at a time, and start again."),
    )


def where_it_fits(work: Callable[[str], R], device: object) -> R:
    """``work(device)``; on the processor instead where the memory of ``device`` does not suffice.

    Raises:
        NoRoomError: nor does the computer's.
    """
    try:
        return work(str(device))
    except NoRoomError:
        if str(device) == _CPU:
            raise
    return work(_CPU)  # only here, where no error holds on to what was loaded


def in_portions(
    batch: Sequence[T], portion: Portion, work: Callable[[Sequence[T]], R], none_fits: UserError
) -> Iterator[R]:
    """``work`` done on as few portions of the batch as memory has room for, in order.

    Raises ``none_fits`` where not even one goes alone.
    """
    waiting = [batch] if len(batch) else []
    while waiting:
        now = waiting.pop()
        if len(now) > portion():
            waiting += [now[portion() :], now[: portion()]]
            continue
        try:
            done = work(now)
        except MAY_SAY_SO as error:
            if not is_out_of_memory(error):
                raise
            if len(now) == 1:
                raise none_fits from error
            portion.too_much(len(now))
            half = len(now) // 2
            waiting += [now[half:], now[:half]]
        else:
            yield done
