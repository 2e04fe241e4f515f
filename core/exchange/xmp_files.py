"""The XMP files beside photos: which one, what it says, and what it will say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import UserError
from core.exchange.files import digest, existing_bytes
from core.exchange.formats import Captioned
from core.exchange.plan import Action, ExportItem, MetadataOptions
from core.exchange.sidecars import SidecarNames
from core.exchange.xmp import Merged, merge


def xmp_items(
    names: SidecarNames,
    captioned: Captioned,
    places: Sequence[Path],
    options: MetadataOptions,
    overwrite: bool,
    refused: list[tuple[Path, str]],
) -> Iterator[ExportItem]:
    """An item a photo, in ``places``; files that cannot be read go to ``refused`` with the reason."""
    for (photo, captions), folder in zip(captioned, places, strict=True):
        path = folder / names.xmp(photo.path, folder, options.sidecars)
        try:
            present = existing_bytes(path)
            merged = merge(present, [caption.text for caption in captions], path, options, overwrite=overwrite)
        except UserError as error:
            refused.append((path, f"{error.message} {error.next_step}"))
            continue
        except OSError as error:
            refused.append((path, f"The file cannot be written: {error.strerror or error}."))
            continue
        action = _action(present, merged)
        expected = None if present is None else digest(present)
        yield ExportItem(
            path, action, merged.text, len(captions), merged.changes, expected=expected, encoding=merged.encoding
        )


def _action(present: bytes | None, merged: Merged) -> Action:
    if present is None:
        return "create"
    if not merged.changed:
        return "keep" if any(change.kept for change in merged.changes) else "same"
    return "replace" if merged.replaces else "merge"
