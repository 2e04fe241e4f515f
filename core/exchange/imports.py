"""Taking captions from other programs into a library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.exchange.caption_folder import read_folder
from core.exchange.captions_file import Notes, read_captions
from core.exchange.matching import PhotoNames, Place
from core.library.edits import MAX_LENGTH, add_captions, says_nothing
from core.library.library import Library, absolute
from core.library.queries import folders, images_of


@dataclass(frozen=True)
class ImportReport:
    """``captions``: how many are new in the library, or seeds from now on; ``present``: how many it had already;
    ``photos``: how many photos the file speaks of; ``unmatched``: names of no photo here; ``ambiguous``: names of
    several; ``skipped``: the first lines that say nothing, or far too much, of ``skipped_count``; ``ignored``: columns
    that were not taken in; ``encoding``: which one was guessed, where the file does not say."""

    captions: int
    present: int
    photos: int
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]
    skipped: tuple[str, ...]
    skipped_count: int = 0
    ignored: tuple[str, ...] = ()
    encoding: str | None = None


def import_captions(library: Library, source: Path, as_: Literal["seed", "candidate"] = "seed") -> ImportReport:
    """Read ``source`` (see :func:`core.exchange.captions_file.read_captions`) and add its captions as one undo step.

    They count as written by a person: as seeds to learn from, or as candidates to be looked at first. Nothing that the
    library has is changed. Names are only looked up among the photos of the library, first from where the file lies:
    no file is opened by them.
    """
    if as_ not in ("seed", "candidate"):
        raise ValueError(f"as_ must be 'seed' or 'candidate', not {as_!r}")
    sidecars = source.is_dir()
    parts = read_folder(source) if sidecars else [read_captions(source)]
    place = Place(_as_the_library_writes(source if sidecars else source.parent, library), sidecars)
    photo_names = PhotoNames(images_of(library, usable=False))
    notes = Notes()
    texts: dict[int, list[str]] = {}
    unmatched: dict[str, None] = {}
    ambiguous: dict[str, None] = {}
    total = 0
    for part in parts:  # a text file and an XMP file may speak of one photo by different names
        names = photo_names.resolve((name for name, _ in part.entries), place)
        unmatched.update(dict.fromkeys(names.unmatched))
        ambiguous.update(dict.fromkeys(names.ambiguous))
        notes.skipped.extend(part.skipped)
        notes.count += part.skipped_count
        for name, text in part.entries:
            if name not in names.ids:
                continue
            if len(text.strip()) > MAX_LENGTH:
                notes.skip(f"{name}: a caption of {len(text):,} characters")
            elif says_nothing(text):
                notes.skip(f"{name}: no caption")
            else:
                texts.setdefault(names.ids[name], []).append(text)
                total += 1
    entries = [entry for part in parts for entry in part.entries]
    if entries and not texts and not ambiguous and not notes.count:
        raise UserError(
            f"None of the photos that {source.name} names is in the library (the first is {entries[0][0]}).",
            "Import the folder that holds these photos first, or check the names.",
        )
    new = add_captions(library, texts, is_seed=as_ == "seed", label=f"Import captions from {source.name}")
    ignored = tuple(dict.fromkeys(name for part in parts for name in part.ignored))
    encoding = next((part.encoding for part in parts if part.encoding), None)
    return ImportReport(
        new, total - new, len(texts), tuple(unmatched), tuple(ambiguous), tuple(notes.skipped), notes.count, ignored,
        encoding,
    )  # fmt: skip


def _as_the_library_writes(folder: Path, library: Library) -> str:
    """``folder`` with the name that it has below a folder of the library, should links lead to either."""
    named = absolute(folder)
    roots = folders(library)
    if not any(named.is_relative_to(root) for root in roots):
        real = named.resolve()
        for root in roots:
            if real.is_relative_to(root.resolve()):
                return str(root / real.relative_to(root.resolve()))
    return str(named)
