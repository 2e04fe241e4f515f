"""What an export will do, file by file and field by field, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Which = Literal["accepted", "best"]
Action = Literal["create", "merge", "same", "replace", "keep"]
SidecarName = Literal["full", "stem"]
FIELDS = ("description", "alt-text")
OTHER_FORMATS = ("txt", "xmp", "metadata")
"""Formats of a file a photo; those that are one file for all stand in :mod:`core.exchange.formats`."""


@dataclass(frozen=True)
class MetadataOptions:
    """For ``xmp`` and ``metadata``. ``sidecars``: new XMP files are called ``a.jpg.xmp`` (full: darktable, digiKam) or
    ``a.xmp`` (stem: Lightroom, Capture One); one that is there already is used, whatever it is called. ``fields``: of
    :data:`FIELDS`, which get the first caption. ``first``: how many photos ``metadata`` looks into, ``None`` for all:
    that takes a while, and a plan to be looked at need not wait for the last one."""

    sidecars: SidecarName = "full"
    fields: tuple[str, ...] = FIELDS
    first: int | None = None


def is_blank(text: str | None) -> bool:
    """Whether a field is empty: it is not there, or says nothing but white space."""
    return not (text or "").strip()


@dataclass(frozen=True)
class FieldChange:
    """One field of one file, ``None`` where it is not there. ``kept``: it has other words than ``after``, and keeps
    them; ``note`` says why, where it is not because other words are never replaced unasked."""

    field: str
    before: str | None
    after: str | None
    kept: bool = False
    note: str = ""

    @property
    def writes(self) -> bool:
        return not self.kept and self.before != self.after

    @property
    def replaces(self) -> bool:
        """Whether words are lost by it."""
        return self.writes and not is_blank(self.before)


@dataclass(frozen=True)
class ExportItem:
    """A file and what will happen to it. ``create`` it; ``merge``: fields are added to it and everything else stays;
    it is the ``same`` already; ``replace`` what it says; ``keep``: it says something else and is left as it is.

    ``content`` is the whole file afterwards, in ``encoding`` (nothing for ``metadata``, which changes a photo).
    ``captions``: how many it holds; ``changes``: at most :data:`MAX_CHANGES` fields; ``more``: how many others;
    ``expected``: sha256 of the file as the plan found it, ``None`` for no file.
    """

    path: Path
    action: Action
    content: str
    captions: int = 1
    changes: tuple[FieldChange, ...] = ()
    more: int = 0
    expected: str | None = None
    encoding: str = "utf-8"
    image_id: int | None = None

    @property
    def preview(self) -> str:
        """In one line, what the file will say; or what it keeps on saying."""
        texts = [change.before if change.kept else change.after for change in self.changes[:3]]
        return " · ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text))[:400]


MAX_CHANGES = 1000


@dataclass(frozen=True)
class ExportPlan:
    """Every file of an export. ``photos``: how many photos have a caption in it; ``without``: how many have none.
    ``refused``: files that can be neither read nor written, and why; ``notes``: sentences about what the format cannot
    carry, or what to mind."""

    format: str
    items: tuple[ExportItem, ...]
    photos: int
    without: int
    library: Path
    refused: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class ExportReport:
    """``written`` files; ``same``: files that said it already; ``kept``: files with other words, left as they are;
    ``failed``: files that could not be written, and why. ``undo``: the name under which the export can be undone."""

    written: int
    same: int
    kept: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    undo: str | None = None
