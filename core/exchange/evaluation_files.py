"""The two files that ``evaluate`` compares: predictions as ``caption`` writes them, and references of people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.exchange.captions_file import read_captions
from core.exchange.files import is_below
from core.exchange.text import decode_text, read_bytes


@dataclass(frozen=True)
class Predictions:
    """``captions``: by file name as the file has it; ``errors``: photos that have none, with the reason;
    ``candidates``: all captions offered for a photo, where there are several."""

    captions: dict[str, str]
    errors: dict[str, str]
    candidates: dict[str, tuple[str, ...]]


def read_predictions(source: Path) -> Predictions:
    """One JSON object a line with ``file`` and ``caption``, or ``error``; ``candidates`` may have more captions of the
    photo, as objects with ``caption`` or as texts. The last line of a file counts."""
    captions: dict[str, str] = {}
    errors: dict[str, str] = {}
    candidates: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(_read(source).split("\n"), start=1):
        if not line.strip():
            continue
        value = _prediction(source, number, line)
        name = value["file"]
        for table in (captions, errors, candidates):
            table.pop(name, None)
        if value.get("caption") is None:
            errors[name] = str(value.get("error") or "no caption")
            continue
        captions[name] = value["caption"]
        offered = _candidates(source, number, value.get("candidates") or [])
        if len(offered) > 1:
            candidates[name] = offered
    if not captions and not errors:
        raise UserError(f"{source} holds no predictions.", "Make it with 'seedcap caption DIR --out FILE.jsonl'.")
    return Predictions(captions, errors, candidates)


def _prediction(source: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{source}, line {number}, is not JSON: {error}.", "Give the file that 'seedcap caption' wrote."
        ) from error
    if not isinstance(value, dict) or not isinstance(value.get("file"), str):
        raise UserError(
            f'{source}, line {number}, has no "file".',
            'Each line needs "file" and "caption", as \'seedcap caption\' writes.',
        )
    if not isinstance(value.get("caption"), str | None):
        raise UserError(f'{source}, line {number}: "caption" is not a text.', "Mend that line.")
    return value


def _candidates(source: Path, number: int, values: Any) -> tuple[str, ...]:
    if isinstance(values, list):
        texts = [one.get("caption") if isinstance(one, dict) else one for one in values]
        found = tuple(text for text in texts if isinstance(text, str))
        if len(found) == len(values):
            return found
    raise UserError(f'{source}, line {number}: "candidates" is not a list of captions.', "Mend that line.")


def read_references(source: Path, split: str | None = None) -> dict[str, list[str]]:
    """Captions of people by photo name; with ``split``, the rows of a CSV whose column ``split`` says so."""
    if split is None:
        references: dict[str, list[str]] = {}
        for name, caption in read_captions(source).entries:
            references.setdefault(name, []).append(caption)
    else:
        references = _of_split(source, split)
    if not references:
        raise UserError(f"{source} holds no captions.", "It should have the columns image,caption, or be COCO JSON.")
    return references


def _of_split(source: Path, split: str) -> dict[str, list[str]]:
    rows = csv.DictReader(io.StringIO(_read(source), newline=""))
    if not {"split", "image", "caption"} <= set(rows.fieldnames or ()):
        raise UserError(
            f"{source} has no column 'split'.", "Leave --split out, or give a CSV with the columns split,image,caption."
        )
    references: dict[str, list[str]] = {}
    seen: set[str] = set()
    for row in rows:
        seen.add(row["split"])
        if row["split"] == split and row["image"] and (row["caption"] or "").strip():
            references.setdefault(row["image"], []).append(row["caption"].strip())
    if not references:
        raise UserError(f"{source} has no split '{split}'.", f"It has: {', '.join(sorted(map(str, seen)))}.")
    return references


def pair(names: Iterable[str], references: Mapping[str, object]) -> dict[str, str]:
    """Which reference each predicted name means: the same path, else the same file name if only one photo has it.

    Two predictions never take one reference: the exact one has it, or both are left out.
    """
    by_last: dict[str, list[str]] = {}
    for key in references:
        by_last.setdefault(_last(key), []).append(key)
    names = list(names)
    found = {name: name for name in names if name in references}
    claims: dict[str, list[str]] = {}
    for name in names:
        options = by_last.get(_last(name), [])
        if name not in found and len(options) == 1:
            claims.setdefault(options[0], []).append(name)
    taken = set(found.values())
    for key, claimants in claims.items():
        if key not in taken and len(claimants) == 1:
            found[claimants[0]] = key
    return {name: found[name] for name in names if name in found}


def find_photo(folder: Path, name: str, by_name: Mapping[str, list[Path]]) -> Path | None:
    """The photo that ``name`` means below ``folder``: by its path there, else by its file name if only one has it."""
    direct = folder / name
    if is_below(name) and direct.is_file():
        return direct
    options = by_name.get(_last(name), [])
    return options[0] if len(options) == 1 else None


def photos_by_name(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "Give the folder of the photos with --images.")
    found: dict[str, list[Path]] = {}
    for path in folder.rglob("*"):
        found.setdefault(path.name, []).append(path)
    return found


def _last(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1].strip()


def _read(source: Path) -> str:
    return decode_text(read_bytes(source), source)
