"""Taking captions from other programs into a library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.exchange.captions_file import read_captions
from core.exchange.matching import PhotoNames
from core.library.edits import MAX_LENGTH, add_captions
from core.library.library import Library
from core.library.queries import images_of


@dataclass(frozen=True)
class ImportReport:
    """``captions``: how many are new in the library; ``present``: how many it had already; ``photos``: how many photos
    the file speaks of; ``unmatched``: names of no photo here; ``ambiguous``: names of several; ``skipped``: lines that
    say nothing, or far too much."""

    captions: int
    present: int
    photos: int
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]
    skipped: tuple[str, ...]


def import_captions(library: Library, source: Path, as_: Literal["seed", "candidate"] = "seed") -> ImportReport:
    """Read ``source`` (see :func:`core.exchange.captions_file.read_captions`) and add its captions as one undo step.

    They count as written by a person: as seeds to learn from, or as candidates to be looked at first. Nothing that the
    library has is changed.
    """
    if as_ not in ("seed", "candidate"):
        raise ValueError(f"as_ must be 'seed' or 'candidate', not {as_!r}")
    found = read_captions(source)
    names = PhotoNames(images_of(library, usable=False)).resolve(name for name, _ in found.entries)
    texts: dict[int, list[str]] = {}
    skipped = list(found.skipped)
    total = 0
    for name, text in found.entries:
        if name not in names.ids:
            continue
        if len(text) > MAX_LENGTH:
            skipped.append(f"{name}: a caption of {len(text):,} characters")
            continue
        texts.setdefault(names.ids[name], []).append(text)
        total += 1
    if not names.ids and found.entries:
        raise UserError(
            f"None of the photos that {source.name} names is in the library (the first is {found.entries[0][0]}).",
            "Import the folder that holds these photos first, or check the names.",
        )
    new = add_captions(library, texts, is_seed=as_ == "seed", label=f"Import captions from {source.name}")
    return ImportReport(new, total - new, len(texts), names.unmatched, names.ambiguous, tuple(skipped))
