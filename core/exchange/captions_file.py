"""Reading captions that other programs wrote: CSV, TSV, JSON Lines, COCO JSON, and files beside photos."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.exchange.tables import rows
from core.exchange.text import decode, decode_text, read_bytes, readable
from core.images.decode import SUFFIXES

__all__ = ["CaptionsFile", "Notes", "decode_text", "read_captions"]

MAX_JSON_BYTES = 256 * 1024 * 1024
NOTED = 1000
"""So many lines that say nothing are told one by one; the others are counted."""
_NAME_KEYS = ("image", "file_name", "file", "filename", "image_name", "image_path", "path", "photo")
_TEXT_KEYS = ("caption", "captions", "text", "description", "sentence", "sentences", "comment", "raw")
_TOKEN_NUMBER = re.compile(r"#\d+\s*$")
_COCO_KEYS = frozenset({"id", "image_id", "width", "height"})


@dataclass(frozen=True)
class CaptionsFile:
    """``entries``: photo name (as the file has it, white space and stray bytes included) and caption, in order.
    ``skipped``: the first lines that say nothing, of ``skipped_count``. ``ignored``: columns and fields that were not
    taken in. ``encoding``: set where the file did not say its own and it is no plain UTF-8."""

    entries: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    ignored: tuple[str, ...] = ()
    encoding: str | None = None


@dataclass
class Notes:
    """What a reader has to say about a file besides its captions."""

    skipped: list[str] = field(default_factory=list)
    count: int = 0
    ignored: dict[str, None] = field(default_factory=dict)

    def skip(self, what: str) -> None:
        self.count += 1
        if len(self.skipped) < NOTED:
            self.skipped.append(what)

    def ignore(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self.ignored) < NOTED:
                self.ignored.setdefault(name)

    def file(self, entries: Iterable[tuple[str, str]], encoding: str | None = None) -> CaptionsFile:
        said = ((name, readable(text)) for name, text in entries)
        return CaptionsFile(tuple(said), tuple(self.skipped), self.count, tuple(self.ignored), encoding)


def read_captions(source: Path) -> CaptionsFile:
    """Captions from a file, or from the ``.txt`` and ``.xmp`` files below a folder.

    ``.csv`` and ``.tsv``: columns ``image`` and ``caption`` (several rows a photo, others ignored), or no header and
    two columns. ``.jsonl``: an object a line with ``file_name`` or ``file`` and ``caption`` or ``text``. ``.json``:
    COCO captions, a list of such objects, or an object from name to caption. Lines that cannot be read are listed and
    the others taken; a file of which nothing can be read is a ``UserError`` that names it. Texts are as the file has
    them, white space included.
    """
    if source.is_dir():
        from core.exchange.caption_folder import read_folder

        parts = read_folder(source)
        notes = Notes()
        for part in parts:
            notes.skipped.extend(part.skipped)
            notes.count += part.skipped_count
        return notes.file(entry for part in parts for entry in part.entries)
    decoded = decode(read_bytes(source), source)
    encoding = decoded.encoding if decoded.guessed else None
    suffix = source.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            return _from_json_lines(source, decoded.text, encoding)
        if suffix == ".json" or decoded.text.lstrip()[:1] in ("{", "["):
            return _from_json(source, decoded.text, encoding)
        return _from_table(source, decoded.text, encoding)
    except RecursionError:
        raise UserError(
            f"{source} is nested too deeply to be a captions file.", "Check that it is the right file."
        ) from None


# -- tables -----------------------------------------------------------------------------------------------------------


def _from_table(source: Path, text: str, encoding: str | None) -> CaptionsFile:
    delimiter, first, text = _dialect(text)
    entries: list[tuple[str, str]] = []
    notes = Notes()
    columns: _Columns | None = None
    for number, row in rows(text, delimiter, lambda line, why: notes.skip(f"line {line + first}: {why}")):
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns, is_header = _columns(source, row)
            if is_header:
                notes.ignore(cell.strip() for at, cell in enumerate(row) if not columns.has(at) and cell.strip())
                continue
        try:
            entries.append(columns.entry(row, delimiter))
        except ValueError as error:
            notes.skip(f"line {number + first}: {error}")
    if columns is None and not notes.count:
        raise UserError(f"{source} is empty.", "Give a file with the columns image,caption.")
    _something(source, entries, notes)
    return notes.file(entries, encoding)


@dataclass(frozen=True)
class _Columns:
    """Where a row has the photo and the caption, of how many columns."""

    photo: int
    caption: int
    number: int

    def has(self, at: int) -> bool:
        return at in (self.photo, self.caption)

    def entry(self, row: list[str], delimiter: str) -> tuple[str, str]:
        """Photo name and caption. A caption that ends the row may hold the delimiter without quotes. Raises
        ``ValueError`` in words for a row that does not say what is what."""
        cells = list(row)
        while len(cells) > self.number and not cells[-1].strip():
            cells.pop()
        if len(cells) > self.number and self.caption == self.number - 1:
            cells[self.caption :] = [delimiter.join(cells[self.caption :])]
        if len(cells) > self.number:
            raise ValueError(f"{len(cells)} cells, but {self.number} columns; a text with “{delimiter}” needs quotes")
        if len(cells) <= max(self.photo, self.caption) or not all(
            cells[at].strip() for at in (self.photo, self.caption)
        ):
            raise ValueError("no photo or no caption")
        return _photo_name(cells[self.photo]), cells[self.caption]


def _dialect(text: str) -> tuple[str, int, str]:
    """The delimiter, the number of the first line, and the text from there on. The delimiter is what ``sep=`` says, as
    Excel understands it, else the one by which the first line makes sense."""
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"\s*\"?sep=(.)\"?\s*", first)
    if said and said[1] in ",;\t|":
        return said[1], 2, rest
    candidates = sorted((",", ";", "\t", "|"), key=first.count, reverse=True)
    for delimiter in candidates:
        try:
            row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error:
            continue
        if _header(row) or _starts_with_photo(row):
            return delimiter, 1, text
    return candidates[0], 1, text


def _header(row: list[str]) -> tuple[int, int] | None:
    names = [cell.strip().casefold() for cell in row]
    image = next((names.index(key) for key in _NAME_KEYS if key in names), None)
    caption = next((names.index(key) for key in _TEXT_KEYS if key in names), None)
    return None if image is None or caption is None else (image, caption)


def _starts_with_photo(row: list[str]) -> bool:
    return len(row) >= 2 and _photo_name(row[0].strip()).lower().endswith(tuple(SUFFIXES))


def _photo_name(cell: str) -> str:
    """``a.jpg#2``, the third caption of a photo, names ``a.jpg``; ``a#2`` is a name of its own."""
    plain = _TOKEN_NUMBER.sub("", cell)
    return plain if plain.lower().endswith(tuple(SUFFIXES)) else cell


def _columns(source: Path, row: list[str]) -> tuple[_Columns, bool]:
    """Which columns hold the photo and the caption, and whether this row is the header that says so."""
    if (named := _header(row)) is not None:
        return _Columns(*named, len(row)), True
    if _starts_with_photo(row):
        return _Columns(0, 1, 2), False
    raise UserError(
        f"{source} does not say which column is the photo and which the caption.",
        "Begin the file with a line that names the columns: image,caption",
    )


def _something(source: Path, entries: list[tuple[str, str]], notes: Notes) -> None:
    """Refuse a file of which no line at all could be read; one that holds only a header is merely empty."""
    if not entries and notes.count:
        more = f" and {notes.count - 1:,} more" if notes.count > 1 else ""
        raise UserError(
            f"No caption could be read from {source}: {notes.skipped[0]}{more}.", "Check that it is the right file."
        )


# -- JSON -------------------------------------------------------------------------------------------------------------


def _from_json_lines(source: Path, text: str, encoding: str | None) -> CaptionsFile:
    entries: list[tuple[str, str]] = []
    notes = Notes()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
            notes.skip(f"line {number}: {reason}")
            continue
        entries.extend(_or_note(value, f"line {number}", _from_object, notes))
    _something(source, entries, notes)
    return notes.file(entries, encoding)


def _from_json(source: Path, text: str, encoding: str | None) -> CaptionsFile:
    if len(text) > MAX_JSON_BYTES:
        raise UserError(f"{source} has more than {MAX_JSON_BYTES >> 20} MB.", "Make it JSON Lines, or split it.")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{source} is not JSON: {error}.", "Mend it, or export it again.") from error
    notes = Notes()
    if isinstance(value, list):
        entries = [
            entry
            for at, item in enumerate(value, start=1)
            for entry in _or_note(item, f"item {at}", _from_object, notes)
        ]
    elif isinstance(value, dict) and isinstance(value.get("images"), list):
        entries = list(_from_coco(value, notes))
    elif isinstance(value, dict):
        entries = [entry for item in value.items() for entry in _from_pair(*item, notes)]
    else:
        entries = []
    if not entries:
        raise UserError(
            f"No captions were found in {source}.",
            "It should be COCO captions, or a list of objects with file_name and caption.",
        )
    return notes.file(entries, encoding)


def _from_coco(value: Mapping[str, Any], notes: Notes) -> Iterator[tuple[str, str]]:
    names: dict[Any, str] = {}
    for at, image in enumerate(value["images"], start=1):
        name = _first(image, _NAME_KEYS) if isinstance(image, dict) else None
        if isinstance(name, str) and name.strip():
            names[str(image.get("id", name))] = name
            yield from _from_object(image, notes)  # some sets keep the sentences with the picture
        else:
            notes.skip(f"image {at}: no file name")

    def annotated(annotation: Mapping[str, Any], notes: Notes) -> Iterator[tuple[str, str]]:
        if name := names.get(str(annotation.get("image_id"))):
            notes.ignore(key for key in annotation if key != "caption" and key not in _COCO_KEYS)
            yield from ((name, line) for line in _texts(annotation.get("caption")))

    annotations = value.get("annotations")
    for at, annotation in enumerate(annotations if isinstance(annotations, list) else (), start=1):
        yield from _or_note(annotation, f"annotation {at}", annotated, notes)


def _or_note(
    item: Any, what: str, read: Callable[[Mapping[str, Any], Notes], Iterable[tuple[str, str]]], notes: Notes
) -> list[tuple[str, str]]:
    """What ``read`` finds in an object; where that is nothing, it is noted."""
    found = list(read(item, notes)) if isinstance(item, dict) else []
    if not found:
        notes.skip(f"{what}: no photo or no caption")
    return found


def _from_pair(name: str, texts: Any, notes: Notes) -> Iterator[tuple[str, str]]:
    found = list(_texts(texts)) if name.strip() else []
    if not found:
        notes.skip(f"“{name}”: no photo or no caption")
    yield from ((name, line) for line in found)


def _from_object(item: Mapping[str, Any], notes: Notes) -> Iterator[tuple[str, str]]:
    name = _first(item, _NAME_KEYS)
    if not isinstance(name, str) or not name.strip():
        return
    found = next((key for key in _TEXT_KEYS if item.get(key)), None)
    texts = list(_texts(item[found])) if found else []
    for key, value in item.items():  # "text" beside "captions" is mostly the first of them once more
        repeats = key in _TEXT_KEYS and isinstance(value, str) and value in texts
        if key != found and value is not name and not repeats and key not in _COCO_KEYS:
            notes.ignore([key])
    yield from ((name, line) for line in texts)


def _first(item: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((item[key] for key in keys if item.get(key)), None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, dict):
        yield from _texts(_first(value, _TEXT_KEYS))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
