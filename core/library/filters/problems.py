"""What is wrong with a filter, and where."""

from __future__ import annotations

from core.errors import UserError


class FilterError(UserError):
    """A filter that cannot be understood: the trouble is from ``start`` to ``end`` (positions in the text, from 0).

    The message names what stands there and its place (counted from 1), the next step what is expected instead.
    """

    def __init__(self, message: str, expected: str, *, start: int, end: int) -> None:
        super().__init__(message, expected)
        self.start = start
        self.end = end

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.message, self.next_step, self.start, self.end)


def _again(message: str, expected: str, start: int, end: int) -> FilterError:
    return FilterError(message, expected, start=start, end=end)
