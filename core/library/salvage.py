"""Reading what can be read of a damaged table, and making its rows fit to be kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Float, Integer, Table

from core.library.columns import PathText, RelativePath, UtcTime, now, path_from_stored
from core.library.pagescan import DatabasePages
from core.library.relative import stays_inside

_TRIES = 4000
"""Ranges that are tried in one table: each damaged page costs a few."""
_ADDED_LATER = 2
"""Columns that migrations have added to one table: rows written before end sooner."""
_HUMAN, _CANDIDATE = "human", "candidate"
_FEW = {"author": (_HUMAN, "run"), "state": (_CANDIDATE, "accepted", "rejected"), "is_seed": (0, 1), "live": (0, 1)}


@dataclass
class Holes:
    """What could not be read of one table: at most so many rows; ``unknown``: nobody can say how many."""

    rows: int = 0
    unknown: bool = False
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def none(self) -> bool:
        return not self.rows and not self.unknown


def read_rows(
    connection: sqlite3.Connection, table: Table, columns: Sequence[str], holes: Holes, *, most: int
) -> Iterator[tuple[Any, ...]]:
    """Every row of ``table`` that can be read, its ``columns`` in this order; ``holes`` learns what could not.

    ``most``: no rowid is higher than this, where the table itself cannot tell.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    if table.dialect_options["sqlite"]["with_rowid"]:
        yield from _by_rowid(connection, table.name, names, holes, most)
    else:
        yield from _from_both_ends(connection, table, names, holes)


def _by_rowid(
    connection: sqlite3.Connection, table: str, names: str, holes: Holes, most: int
) -> Iterator[tuple[Any, ...]]:
    """Ranges of rowids; one with a damaged page is read from both of its ends, then split until the page is alone."""
    try:
        highest = connection.execute(f'SELECT max(rowid) FROM "{table}"').fetchone()[0] or 0
    except sqlite3.DatabaseError:
        highest = most
    query = f'SELECT rowid, {names} FROM "{table}" WHERE rowid BETWEEN ? AND ? ORDER BY rowid '
    waiting, tries = [(min(0, highest), highest)], 0
    while waiting:
        low, high = waiting.pop()
        for order in ("ASC", "DESC"):
            tries += 1
            last = None
            try:
                for row in connection.execute(query + order, (low, high)):
                    last = row[0]
                    yield tuple(row[1:])
                break  # the whole range was read
            except sqlite3.DatabaseError:
                if last is not None:
                    low, high = (last + 1, high) if order == "ASC" else (low, last - 1)
                if low > high:
                    break
        else:
            if high == low or tries > _TRIES:
                holes.rows += high - low + 1
                holes.ranges.append((low, high))
            else:
                middle = (low + high) // 2
                waiting += [(middle + 1, high), (low, middle)]


def _from_both_ends(
    connection: sqlite3.Connection, table: Table, names: str, holes: Holes
) -> Iterator[tuple[Any, ...]]:
    keys = [column.name for column in table.primary_key]
    for order in ("ASC", "DESC"):
        by = ", ".join(f'"{key}" {order}' for key in keys)
        try:
            for row in connection.execute(f'SELECT {names} FROM "{table.name}" ORDER BY {by}'):
                yield tuple(row)
            return
        except sqlite3.DatabaseError:
            holes.unknown = True


def rows_like(
    pages: DatabasePages, table: Table, columns: Sequence[str], ranges: Sequence[tuple[int, int]] | None
) -> Iterator[dict[str, Any]]:
    """Rows on any page that can only be of ``table``, with rowids in ``ranges`` (``None``: any).

    ``columns``: all of the table's, in the order of the file. A row must make sense in every one of them; those that
    were added to the table later may lack.
    """
    shape = [table.columns.get(name) for name in columns]
    number = next((at for at, one in enumerate(shape) if one is not None and _is_row_number(table, one)), None)
    for row_id, values in pages.rows():
        if not len(shape) - _ADDED_LATER <= len(values) <= len(shape):
            continue
        values += (None,) * (len(shape) - len(values))
        if ranges is not None and not any(low <= row_id <= high for low, high in ranges):
            continue
        if number is not None:  # an INTEGER PRIMARY KEY is the rowid; its own place in the row is empty
            if values[number] is not None:
                continue
            values = (*values[:number], row_id, *values[number + 1 :])
        row = dict(zip(columns, values, strict=True))
        if all(_is_like(column, value) for column, value in zip(shape, values, strict=True)) and _is_known(row):
            yield row


def _is_like(column: Column[Any] | None, value: Any) -> bool:
    if column is None:
        return True  # of an older schema: its name is all that is known
    if value is None:
        return bool(column.nullable)
    if isinstance(column.type, UtcTime) and not isinstance(value, str):
        return False
    return type(_fitted(column, value)) is type(value) and _fitted(column, value) == value


def _is_known(row: Mapping[str, Any]) -> bool:
    """Where a column has few values, it is one of them: tables of one shape are told apart by that."""
    return all(row[name] in values for name, values in _FEW.items() if name in row and "text" in row)


def fit_to_keep(table: Table, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row with every value that damage has made senseless put right, or ``None`` when it cannot be.

    A caption's words are kept whatever has become of the rest of its row.
    """
    fitted: dict[str, Any] = {}
    for name, value in row.items():
        column = table.columns.get(name)
        if column is None:  # of an older schema; the migrations take it from there
            fitted[name] = value
            continue
        good = _fitted(column, value)
        if good is None and not column.nullable and not _is_row_number(table, column):
            return None
        fitted[name] = good
    return _fit_caption(fitted) if table.name == "caption" else fitted


def _fitted(column: Column[Any], value: Any) -> Any:
    """``value`` if it is one that the column may hold; else what stands for nothing, or ``None``."""
    kind = column.type
    for types, check in _CHECKS:
        if isinstance(kind, types):
            return check(column, value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None if value is None else str(value)


def _fit_path(column: Column[Any], value: Any) -> Any:
    path = path_from_stored(value)
    inside = stays_inside(path) if isinstance(column.type, RelativePath) else isinstance(path, str) and bool(path)
    return value if inside else None


def _fit_time(column: Column[Any], value: Any) -> Any:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None if column.nullable else UtcTime().process_bind_param(now(), None)  # type: ignore[arg-type]
    return value


def _fit_json(column: Column[Any], value: Any) -> Any:
    try:
        json.loads(value)
    except (TypeError, ValueError):
        return None if column.nullable or column.name == "changes" else "[]" if column.name == "gates" else "{}"
    return value


def _fit_number(column: Column[Any], value: Any) -> Any:
    types = (int, float) if isinstance(column.type, Float) else (int,)
    if isinstance(value, types):
        return value
    plain = not (column.nullable or column.primary_key or column.foreign_keys)
    return 0 if plain else None


_CHECKS: tuple[tuple[Any, Callable[[Column[Any], Any], Any]], ...] = (
    (PathText, _fit_path),
    (UtcTime, _fit_time),
    (JSON, _fit_json),
    ((Integer, Float, Boolean), _fit_number),
)


def _is_row_number(table: Table, column: Column[Any]) -> bool:
    """A lost ``INTEGER PRIMARY KEY`` is given anew by SQLite."""
    return column.primary_key and len(table.primary_key) == 1 and isinstance(column.type, Integer)


def _fit_caption(row: dict[str, Any]) -> dict[str, Any] | None:
    if not row["text"].strip("\x00 "):
        return None
    if row["author"] not in (_HUMAN, "run"):
        row["author"] = _HUMAN  # so that no job replaces it
    if row["state"] not in (_CANDIDATE, "accepted", "rejected"):
        row["state"] = _CANDIDATE
    row["is_seed"] = bool(row["is_seed"]) and row["state"] == "accepted"
    row["live"] = bool(row["live"])
    return row
