"""FineCapEval's file, which a person supplies: CSV or JSON with image, caption, background, object, relation.

Phrases within a field are separated by a backslash and a semicolon. A row that lacks a field is left out, as in the
authors' script, and told.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.exchange.files import write_atomically
from core.exchange.text import decode_text, read_bytes
from core.metrics.fine_cap_eval import CRITERIA, FineRow

COLUMNS = ("image", "caption", *CRITERIA)
SEPARATOR = "\\;"
_MAX_BYTES = 256 << 20
_NEXT = f"It needs the columns {', '.join(COLUMNS)}; phrases in the last three are separated by '{SEPARATOR}'."


@dataclass(frozen=True)
class FineCapEvalFile:
    """``rows`` in the order of the file; ``incomplete``: how many were left out because a field was empty."""

    rows: tuple[FineRow, ...]
    incomplete: int = 0


def read_fine_cap_eval(source: Path) -> FineCapEvalFile:
    """Read ``.csv``, or ``.json``: a list of objects, or an object of columns as pandas writes it.

    A ``UserError`` names the columns that are missing, or the row that is something else.
    """
    text = decode_text(read_bytes(source, _MAX_BYTES), source)
    table = _json_rows(source, text) if source.suffix.lower() == ".json" else _csv_rows(source, text)
    rows: list[FineRow] = []
    incomplete = 0
    for number, values in table:
        fields = {name: _field(source, number, name, values[name]) for name in COLUMNS}
        if all(fields.values()):
            phrases = {name: _phrases(fields[name]) for name in CRITERIA}
            rows.append(FineRow(fields["image"], fields["caption"], phrases))
        else:
            incomplete += 1
    if not rows:
        raise UserError(f"{source} has no row in which every column says something.", _NEXT)
    return FineCapEvalFile(tuple(rows), incomplete)


def write_fine_cap_eval(path: Path, rows: Iterable[FineRow]) -> None:
    """Write rows as CSV, in one move. Raises ``OSError``."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((row.image, row.caption, *(SEPARATOR.join(row.phrases[name]) for name in CRITERIA)))
    write_atomically(path, table.getvalue().encode("utf-8"), durable=False)


def _phrases(field: str) -> tuple[str, ...]:
    """What the authors' script takes for phrases: single characters are none."""
    return tuple(phrase.strip() for phrase in field.split(SEPARATOR) if len(phrase) > 1)


def _field(source: Path, number: int, name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # an empty cell, as pandas keeps it
        return ""
    if not isinstance(value, str):
        raise UserError(f"{source}, row {number}: '{name}' is not a text.", _NEXT)
    return value.strip()


def _require_columns(source: Path, there: Iterable[str], where: str = "") -> None:
    names = [str(name) for name in there]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        shown = ", ".join(names[:20]) or "none"
        raise UserError(f"{source}{where} lacks the columns {', '.join(missing)}. It has: {shown}.", _NEXT)


def _csv_rows(source: Path, text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        _require_columns(source, reader.fieldnames or ())
        return list(enumerate(reader, start=1))
    except csv.Error as error:
        raise UserError(f"{source} cannot be read as CSV: {error}.", _NEXT) from error


def _json_rows(source: Path, text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source} is not JSON: {error}.", _NEXT) from error
    if isinstance(document, dict):
        document = _from_columns(source, document)
    if not isinstance(document, list) or not document:
        raise UserError(f"{source} holds no list of rows.", _NEXT)
    for number, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{source}, row {number}, is no object.", _NEXT)
        _require_columns(source, row, f", row {number},")
    return list(enumerate(document, start=1))


def _from_columns(source: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns of lists, or of objects from row number to value."""
    _require_columns(source, document)
    columns = [list(c.values()) if isinstance(c, dict) else c for c in (document[name] for name in COLUMNS)]
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        raise UserError(f"The columns of {source} are not equally long lists.", _NEXT)
    return [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
