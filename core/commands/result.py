"""What every command hands back, and how it becomes JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """``data`` goes to ``--json FILE``, ``text`` to stdout; ``failed`` items make the exit status 1."""

    data: dict[str, Any]
    text: str = ""
    failed: int = 0


SHOWN = 20
"""Things that are named one by one in the text of a result; ``--json`` has more."""


def listed(title: str, items: Sequence[str], total: int | None = None) -> list[str]:
    """Lines of text: how many ``items`` there are, ``total`` if those are the first of more, and the first of them;
    none where there are none. ``title`` goes on after their number."""
    total = len(items) if total is None else total
    if not total:
        return []
    more = [f"  and {total - SHOWN:,} more"] if total > SHOWN else []
    return [f"{total:,} {title}:", *(f"  {item}" for item in items[:SHOWN]), *more]


def to_json(data: object) -> bytes:
    """Encode as indented UTF-8 JSON, with everything a command may hold in its result.

    Dataclasses become objects, paths strings, numpy scalars and arrays numbers and lists. A number that is not finite
    becomes ``null``, since JSON has no word for it; a file name that is not valid Unicode keeps its bytes as escapes.
    """
    text = json.dumps(_plain(data), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(_plain(data), indent=2, allow_nan=False) + "\n").encode("ascii")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    as_list = getattr(value, "tolist", None)  # numpy arrays and scalars, without importing numpy
    if callable(as_list):
        return _plain(as_list())
    raise TypeError(f"a command result cannot hold a {type(value).__name__}")
