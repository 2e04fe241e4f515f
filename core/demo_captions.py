"""The captions that lie beside the demo's photos in ``captions.csv``, and which photo of a library each belongs to.

Light to import: the app takes captions in with it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.exchange.captions_file import CaptionsFile, read_captions
from core.exchange.matching import PhotoNames
from core.jobs import JobContext
from core.library.edits import add_captions
from core.library.library import Library
from core.library.queries import images_of, seeds

CAPTIONS_FILE = "captions.csv"


@dataclass(frozen=True)
class SeedOrder:
    """Captions of ``photos/captions.csv`` for ``count`` photos of ``library``."""

    library: Path
    photos: Path
    count: int


def captions_beside(photos: Path) -> CaptionsFile:
    """What ``captions.csv`` in the folder says; ``UserError`` when it is not there or cannot be read."""
    table = photos / CAPTIONS_FILE
    if not table.is_file():
        raise UserError(
            f"{table} is missing.", "Write a file with the columns image,caption: the demo takes its seeds from it."
        )
    return read_captions(table)


def by_photo(library: Library, captions: CaptionsFile) -> dict[int, tuple[str, ...]]:
    """The sentences of each usable photo, each once, in the order of the file."""
    names = PhotoNames(images_of(library)).resolve(name for name, _ in captions.entries)
    found: dict[int, dict[str, None]] = {}
    for name, text in captions.entries:
        if name in names.ids and (plain := " ".join(text.split())):
            found.setdefault(names.ids[name], {})[plain] = None
    return {image_id: tuple(texts) for image_id, texts in found.items()}


def write_seeds(ctx: JobContext, order: SeedOrder) -> int:
    """A job: take captions in for photos spread over the library, unless it has seeds; how many photos got one."""
    ctx.progress(0, None, f"Reading {CAPTIONS_FILE}")
    captions = captions_beside(order.photos)
    with Library.open(order.library) as library:
        if order.count < 1 or seeds(library):
            return 0
        told = by_photo(library, captions)
        known = [row.id for row in images_of(library) if row.id in told]
        step = max(1, len(known) // order.count)
        chosen = known[::step][: order.count]
        add_captions(
            library, {one: told[one][:1] for one in chosen}, is_seed=True, label=f"Captions from {CAPTIONS_FILE}"
        )
    return len(chosen)
