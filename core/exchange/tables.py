"""The rows of a CSV or TSV file of which some lines may be wrong: a bad line costs itself, not those after it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

_CLOSED, _OPEN, _BROKEN = range(3)


def rows(text: str, delimiter: str, skip: Callable[[int, str], None]) -> Iterator[tuple[int, list[str]]]:
    """The rows with the number of their first line, from 0.

    A quoted cell may go on over lines as far as its closing quote, which ends the cell. Where there is none, the quote
    is a slip of the pen, and only the line it stands in is passed to ``skip``, with the reason.
    """
    lines = list(io.StringIO(text, newline=""))
    ends: dict[int, int | None] = {}
    at = 0
    while at < len(lines):
        first = last = at
        if _left(lines[at], delimiter, quoted=False) == _OPEN:
            closed = _closed_in(lines, at + 1, delimiter, ends)
            last = at if closed is None else closed
        at = last + 1
        # What is wrong within one line is read as leniently as other programs do: "Stop" sign is a text, too.
        reader = csv.reader([*lines[first : last + 1], '"'], delimiter=delimiter)
        try:
            row = next(reader)
        except csv.Error as error:
            skip(first, str(error))
            continue
        if reader.line_num > last + 1 - first:
            skip(first, "a quote that is never closed")
        else:
            yield first, row


def _closed_in(lines: list[str], at: int, delimiter: str, ends: dict[int, int | None]) -> int | None:
    """The line in which a quoted cell ends that goes on into line ``at``; ``None`` where no quote ends it. ``ends``
    remembers that for each line that was looked at, so that no file takes long, however many quotes are open."""
    passed: list[int] = []
    while at < len(lines) and at not in ends:
        passed.append(at)
        left = _left(lines[at], delimiter, quoted=True)
        if left != _OPEN:
            ends[at] = at if left == _CLOSED else None
            break
        at += 1
    end = ends.get(at)
    ends.update(dict.fromkeys(passed, end))
    return end


def _left(line: str, delimiter: str, *, quoted: bool) -> int:
    """How a line leaves the cell that it ends in, having begun inside quotes or not."""
    if '"' not in line:
        return _OPEN if quoted else _CLOSED
    reader = csv.reader([f'"{line}' if quoted else line, '"'], delimiter=delimiter, strict=True)
    try:
        next(reader)
    except csv.Error:
        return _BROKEN
    return _CLOSED if reader.line_num == 1 else _OPEN
