"""What an export would do, file by file, before it is done: read in a lane. No Qt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import UserError
from gui.tasks import ExportOrder

if TYPE_CHECKING:
    from core.library.library import Library

LOOKED_INTO = 40  # photos, for the preview of an export that writes into them


@dataclass(frozen=True)
class ExportRow:
    """One file of an export: what will happen to it (an action of ``core.exchange``), and what it will say; or that it
    will ``fail``, and why."""

    file: Path
    action: Literal["create", "merge", "same", "replace", "keep", "fail"]
    text: str


@dataclass(frozen=True)
class ExportPreview:
    """``photos`` with captions and ``without``; how many files would be written, are the ``same`` already, are ``kept``
    since they say something else, or ``failed``: they can be neither read nor written; ``replaced``: of those written,
    how many say something else now. The first files are ``rows``, failed ones before those that say something else,
    and these before the others. Looking into photos takes a while: those ``unseen`` are in none of these numbers.
    ``refused``: why nothing can be exported; ``empty``: since no caption is there to be."""

    photos: int = 0
    without: int = 0
    files: int = 0
    same: int = 0
    kept: int = 0
    rows: tuple[ExportRow, ...] = ()
    refused: str = ""
    empty: bool = False
    unseen: int = 0
    failed: int = 0
    notes: tuple[str, ...] = ()
    replaced: int = 0


def preview_export(library: Library, order: ExportOrder, limit: int) -> ExportPreview:
    """The first ``limit`` files, and how many there are of each kind."""
    from core.exchange.exports import NO_CAPTIONS, ONLY_ACCEPTED, MetadataOptions, plan_export

    into = MetadataOptions(first=LOOKED_INTO)
    try:
        plan = plan_export(
            library, order.format, order.target, which=order.which, overwrite=order.overwrite, metadata=into
        )
    except UserError as error:
        return ExportPreview(refused=str(error), empty=error.topic in (ONLY_ACCEPTED, NO_CAPTIONS))
    numbers = Counter(item.action for item in plan.items)
    rows = [ExportRow(path, "fail", reason) for path, reason in plan.refused[:limit]]
    items = sorted(plan.items, key=lambda item: item.action not in ("replace", "keep"))
    rows += [ExportRow(item.path, item.action, item.preview) for item in items[: limit - len(rows)]]
    return ExportPreview(
        plan.photos,
        plan.without,
        numbers["create"] + numbers["merge"] + numbers["replace"],
        numbers["same"],
        numbers["keep"],
        tuple(rows),
        unseen=max(0, plan.photos - LOOKED_INTO) if order.format == "metadata" else 0,
        failed=len(plan.refused),
        notes=plan.notes,
        replaced=numbers["replace"],
    )
