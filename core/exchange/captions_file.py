"""Reading captions that other programs wrote: CSV, TSV, JSON Lines, COCO JSON, and text files beside photos."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.images.decode import SUFFIXES

MAX_BYTES = 512 * 1024 * 1024
_NAME_KEYS = ("image", "file_name", "file", "filename", "image_name", "image_path", "path", "photo")
_TEXT_KEYS = ("caption", "captions", "text", "description", "sentence", "sentences", "comment", "raw")
_SIDE_SUFFIXES = (".txt", ".caption")
_TOKEN_NUMBER = re.compile(r"#\d+$")


@dataclass(frozen=True)
class CaptionsFile:
    """``entries``: photo name (as the file has it) and caption, in order; ``skipped``: lines that say nothing."""

    entries: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...] = ()


def read_captions(source: Path) -> CaptionsFile:
    """Captions from a file, or from the ``.txt`` files below a folder.

    ``.csv`` and ``.tsv``: columns ``image`` and ``caption`` (several rows a photo, others ignored), or no header and
    two columns. ``.jsonl``: an object a line with ``file_name`` or ``file`` and ``caption`` or ``text``. ``.json``:
    COCO captions, a list of such objects, or an object from name to caption. Anything undecodable is a ``UserError``
    that names the file and the line.
    """
    if source.is_dir():
        return _from_folder(source)
    text = _read_text(source)
    suffix = source.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            return _from_json_lines(source, text)
        if suffix == ".json" or text.lstrip()[:1] in ("{", "["):
            return _from_json(source, text)
        return _from_table(source, text)
    except RecursionError:
        raise UserError(
            f"{source} is nested too deeply to be a captions file.", "Check that it is the right file."
        ) from None


def _read_text(source: Path) -> str:
    try:
        if source.stat().st_size > MAX_BYTES:
            raise UserError(f"{source} has more than {MAX_BYTES >> 20} MB.", "Split it into several files.")
        content = source.read_bytes()
    except FileNotFoundError:
        raise UserError(f"There is no file {source}.", "Check its name.") from None
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror}.", "Check its rights.") from error
    return decode_text(content, source)


def decode_text(content: bytes, source: Path) -> str:
    """Text in whatever encoding people's programs write: UTF-8 or UTF-16 with a mark, UTF-8, else Windows Latin."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if b"\x00" in content:
        raise UserError(f"{source} is not a text file.", "Give a CSV, JSON Lines, COCO JSON or text file.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _from_table(source: Path, text: str) -> CaptionsFile:
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    entries: list[tuple[str, str]] = []
    skipped: list[str] = []
    columns: tuple[int, int] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns, is_header = _columns(source, row)
                if is_header:
                    continue
            if len(row) <= max(columns) or not row[columns[0]].strip() or not row[columns[1]].strip():
                skipped.append(f"line {reader.line_num}: no photo or no caption")
                continue
            name = _TOKEN_NUMBER.sub("", row[columns[0]].strip())
            entries.append((name, row[columns[1]].strip()))
    except csv.Error as error:
        raise UserError(f"{source}, line {reader.line_num}, cannot be read: {error}.", "Mend that line.") from error
    if columns is None:
        raise UserError(f"{source} is empty.", "Give a file with the columns image,caption.")
    return CaptionsFile(tuple(entries), tuple(skipped))


def _columns(source: Path, row: list[str]) -> tuple[tuple[int, int], bool]:
    """Which columns hold the photo and the caption, and whether this row is the header that says so."""
    names = [cell.strip().casefold() for cell in row]
    image = next((names.index(key) for key in _NAME_KEYS if key in names), None)
    caption = next((names.index(key) for key in _TEXT_KEYS if key in names), None)
    if image is not None and caption is not None:
        return (image, caption), True
    if len(row) >= 2 and _TOKEN_NUMBER.sub("", row[0].strip().lower()).endswith(tuple(SUFFIXES)):
        return (0, 1), False
    raise UserError(
        f"{source} does not say which column is the photo and which the caption.",
        "Begin the file with a line that names the columns: image,caption",
    )


def _from_json_lines(source: Path, text: str) -> CaptionsFile:
    entries: list[tuple[str, str]] = []
    skipped: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value = _parse(source, line, f", line {number},")
        found = list(_from_object(value)) if isinstance(value, dict) else []
        entries.extend(found)
        if not found:
            skipped.append(f"line {number}: no photo or no caption")
    return CaptionsFile(tuple(entries), tuple(skipped))


def _parse(source: Path, text: str, place: str = "") -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{source}{place} is not JSON: {error}.", "Mend it, or export it again.") from error


def _from_json(source: Path, text: str) -> CaptionsFile:
    value = _parse(source, text)
    if isinstance(value, list):
        entries = [entry for item in value if isinstance(item, dict) for entry in _from_object(item)]
    elif isinstance(value, dict) and isinstance(value.get("images"), list):
        entries = list(_from_coco(value))
    elif isinstance(value, dict):
        entries = [(name, line) for name, texts in value.items() for line in _texts(texts)]
    else:
        entries = []
    if not entries:
        raise UserError(
            f"No captions were found in {source}.",
            "It should be COCO captions, or a list of objects with file_name and caption.",
        )
    return CaptionsFile(tuple(entries))


def _from_coco(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names: dict[Any, str] = {}
    for image in value["images"]:
        if not isinstance(image, dict):
            continue
        name = _first(image, _NAME_KEYS)
        if isinstance(name, str):
            names[str(image.get("id", name))] = name
            yield from _from_object(image)  # some sets keep the sentences with the picture
    annotations = value.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if isinstance(annotation, dict) and (name := names.get(str(annotation.get("image_id")))):
            yield from ((name, line) for line in _texts(annotation.get("caption")))


def _from_object(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = _first(item, _NAME_KEYS)
    if isinstance(name, str) and name.strip():
        yield from ((name.strip(), line) for line in _texts(_first(item, _TEXT_KEYS)))


def _first(item: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((item[key] for key in keys if item.get(key)), None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, dict):
        yield from _texts(_first(value, _TEXT_KEYS))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _from_folder(folder: Path) -> CaptionsFile:
    """``a/b.txt`` or ``a/b.jpg.txt`` below the folder are captions of ``a/b``, one a line."""
    entries: list[tuple[str, str]] = []
    skipped: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _SIDE_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        lines = [line.strip() for line in _read_text(path).splitlines() if line.strip()]
        entries.extend((name, line) for line in lines)
        if not lines:
            skipped.append(f"{path.name}: empty")
    return CaptionsFile(tuple(entries), tuple(skipped))
