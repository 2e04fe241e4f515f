"""Writing captions out for other programs: first a plan that can be looked at, then the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import UserError
from core.exchange import formats
from core.exchange.captions_file import read_captions
from core.exchange.files import digest, existing_bytes
from core.exchange.formats import Captioned
from core.exchange.history import UndoReport, undo_last_export
from core.exchange.plan import (
    FIELDS,
    MAX_CHANGES,
    Action,
    ExportItem,
    ExportPlan,
    ExportReport,
    FieldChange,
    MetadataOptions,
    Which,
    is_blank,
)
from core.exchange.sidecars import SidecarNames, place_below, safe_relative, tree_names
from core.exchange.text import decode_text
from core.exchange.writing import write_export
from core.images.decode import SUFFIXES
from core.jobs import JobContext
from core.library.library import DATABASE, Library
from core.library.queries import all_captions, folders, images_of
from core.library.records import CaptionRow, ImageRow
from core.library.rewritten import same_pixels

__all__ = [
    "ExportItem", "ExportPlan", "ExportReport", "MetadataOptions", "plan_export", "undo_export", "write_export",
]  # fmt: skip

ONLY_ACCEPTED, NO_CAPTIONS = "only accepted", "no captions"
"""Topics of the errors that there is nothing to export."""
_OUR_COLUMNS = {"author", "state", "seed", "run", "score", "captions", "text"}


def plan_export(
    library: Library,
    format: str,
    out: Path | None = None,
    *,
    which: Which = "accepted",
    overwrite: bool = False,
    metadata: MetadataOptions | None = None,
) -> ExportPlan:
    """What an export would write, nothing being written yet.

    ``txt`` and ``xmp``: a file beside each photo, or the same tree below ``out``; ``txt`` a caption a line, best first,
    ``xmp`` merged into what is there. ``jsonl``, ``csv``, ``coco`` and whatever else stands in
    :data:`core.exchange.formats.WHOLE_FILES`: one file ``out`` (or in the folder ``out``; by default in the photo
    folder). ``metadata``: into the photos themselves, through ExifTool. ``which``: accepted
    captions only, or for photos without one the ``best`` candidate. Only with ``overwrite`` are other words replaced.
    """
    metadata = metadata or MetadataOptions()
    if format not in (known := formats.known_formats()):
        raise UserError(f"There is no export format {format!r}.", f"Choose one of {', '.join(known)}.")
    if not metadata.fields or not set(metadata.fields) <= set(FIELDS):
        raise UserError(f"There are no such fields: {', '.join(metadata.fields)}.", f"Choose of {', '.join(FIELDS)}.")
    _refuse_inside_a_library(out)
    photos = images_of(library, usable=False)
    usable = [photo for photo in photos if not (photo.missing or photo.removed or photo.error)]
    captioned = _captioned(library, usable, which)
    roots = folders(library)
    trees = tree_names(roots)
    for photo, _ in captioned:
        safe_relative(photo)
    refused: list[tuple[Path, str]] = []
    if format == "txt":
        items = list(_text_files(SidecarNames(photos), captioned, out, trees, overwrite, refused))
    elif format == "xmp":
        from core.exchange.xmp_files import xmp_items

        places = [photo.path.parent if out is None else place_below(photo, out, trees) for photo, _ in captioned]
        items = list(xmp_items(SidecarNames(photos), captioned, places, metadata, overwrite, refused))
    elif format == "metadata":
        from core.exchange.embedded import embedded_items

        if out is not None:
            raise UserError("Captions inside the photos have no file of their own.", "Leave --out away.")
        items = list(embedded_items(captioned[: metadata.first], metadata, overwrite, refused))
    else:
        items = list(_one_file(format, captioned, _single_file(format, out, roots), len(roots) > 1, overwrite, refused))
    notes = tuple(_notes(format, captioned))
    without = len(usable) - len(captioned)
    return ExportPlan(format, tuple(items), len(captioned), without, library.path, tuple(refused), notes)


def undo_export(library: Library, ctx: JobContext) -> UndoReport:
    """Put back what the last export changed; a photo that has its old bytes again stays the photo it is.

    Raises ``UserError`` when there is nothing to undo.
    """

    def restored(path: Path) -> None:
        if path.suffix.lower() in SUFFIXES:
            same_pixels(library, path)

    return undo_last_export(library.path, ctx, restored=restored)


def _refuse_inside_a_library(out: Path | None) -> None:
    place = out and out.resolve()
    inside = next((one for one in (place, *place.parents) if (one / DATABASE).is_file()), None) if place else None
    if inside is not None:
        raise UserError(f"{out} lies inside the library {inside.name}.", "Choose another place for the captions.")


def _captioned(library: Library, photos: Sequence[ImageRow], which: Which) -> list[tuple[ImageRow, list[CaptionRow]]]:
    chosen: dict[int, list[CaptionRow]] = {}
    for image_id, captions in all_captions(library).items():
        accepted = [caption for caption in captions if caption.state == "accepted"]
        if accepted or which == "best":
            chosen[image_id] = accepted or captions[:1]
    captioned = [(photo, chosen[photo.id]) for photo in photos if photo.id in chosen]
    if not captioned:
        if which == "best":
            raise UserError(
                "No photo has a caption yet.", "Write some, or let the model suggest some.", topic=NO_CAPTIONS
            )
        hint = "Accept some in Review, or export the best candidates too."
        raise UserError("No photo has an accepted caption yet.", hint, topic=ONLY_ACCEPTED)
    return captioned


def _notes(format: str, captioned: Captioned) -> Iterator[str]:
    if format == "txt" and (broken := sum(formats.with_line_breaks(captions) for _, captions in captioned)):
        yield f"{broken:,} captions have line breaks, which become spaces: a text file holds a caption a line."
    if format == "csv" and (formulas := sum(formats.like_formulas(captions) for _, captions in captioned)):
        yield (
            f"{formulas:,} captions begin with = + - or @, which a spreadsheet takes for a formula: "
            "import the file there as text."
        )
    several = sum(len(captions) > 1 for _, captions in captioned)
    if format == "metadata" and several:
        yield f"{several:,} photos have several captions; a field holds one, so each gets the first."


def _planned(path: Path, content: str, overwrite: bool, refused: list[tuple[Path, str]]) -> tuple[Action, str] | None:
    """What will happen to a file that is written as a whole, and what it says now; ``None``: it cannot be looked at."""
    try:
        present = existing_bytes(path)
    except OSError as error:
        refused.append((path, f"The file cannot be written: {error.strerror or error}."))
        return None
    if present is None:
        return "create", ""
    try:
        said = decode_text(present, path)
    except UserError:
        said = None
    if said is not None and said.strip().splitlines() == content.strip().splitlines():
        return "same", digest(present)
    if said is not None and is_blank(said):
        return "merge", digest(present)
    if said is None and overwrite:
        refused.append((path, "There is a file that holds no text, so no captions; it is left as it is."))
        return None
    return ("replace" if overwrite else "keep"), digest(present)


def _text_files(
    names: SidecarNames,
    captioned: Captioned,
    out: Path | None,
    trees: Mapping[Path, str],
    overwrite: bool,
    refused: list[tuple[Path, str]],
) -> Iterator[ExportItem]:
    for photo, captions in captioned:
        folder = photo.path.parent if out is None else place_below(photo, out, trees)
        path = folder / names.text(photo.path)
        text = formats.sidecar_text(captions)
        planned = _planned(path, text, overwrite, refused)
        if planned is None:
            continue
        action, expected = planned
        before = None if action == "create" else text if action == "same" else _said(path)
        change = FieldChange("text", before, text, action == "keep")
        yield ExportItem(path, action, text, len(captions), (change,), expected=expected or None)


def _said(path: Path) -> str:
    try:
        return decode_text(existing_bytes(path) or b"", path)
    except OSError:
        return ""
    except UserError:
        return "(no text)"


def _single_file(format: str, out: Path | None, roots: Sequence[Path]) -> Path:
    name = formats.WHOLE_FILES[format].file_name
    if out is not None and not out.is_dir():
        if out.suffix.lower() in SUFFIXES:
            raise UserError(f"{out} has the name of a photo.", f"Choose a name like {name}.")
        return out
    if out is None and len(roots) != 1:
        raise UserError("The library has photos in several folders.", "Say where to write the file.", topic="no out")
    return (out or roots[0]) / name


def _one_file(
    format: str, captioned: Captioned, path: Path, several: bool, overwrite: bool, refused: list[tuple[Path, str]]
) -> Iterator[ExportItem]:
    text = formats.WHOLE_FILES[format].text(captioned, several)
    planned = _planned(path, text, overwrite, refused)
    if planned is None:
        return
    action, expected = planned
    changes = _changes(path, captioned, several, read=action in ("keep", "replace"))
    if action == "same":
        changes = [replace(change, before=change.after) for change in changes]
    elif action == "keep":
        changes = [replace(change, kept=True) for change in changes]
    number = sum(len(captions) for _, captions in captioned)
    more = max(len(changes) - MAX_CHANGES, 0)
    yield ExportItem(path, action, text, number, tuple(changes[:MAX_CHANGES]), more, expected or None)


def _changes(path: Path, captioned: Captioned, several: bool, *, read: bool) -> list[FieldChange]:
    """Photo by photo what the file says now and what it will say; and the columns of others that it would lose."""
    after = {
        formats.file_name(photo, several): "\n".join(caption.text for caption in captions)
        for photo, captions in captioned
    }
    before: dict[str, list[str]] = {}
    lost: tuple[str, ...] = ()
    if read:
        try:
            present = read_captions(path)
        except UserError:
            return [FieldChange("the whole file", "(something that is no captions file)", "(captions)")]
        for name, text in present.entries:
            before.setdefault(name, []).append(text)
        lost = tuple(name for name in present.ignored if name not in _OUR_COLUMNS)
    found = [
        FieldChange(name, "\n".join(before[name]) if name in before else None, after.get(name))
        for name in dict.fromkeys([*after, *before])
    ]
    changed = [change for change in found if change.before != change.after]
    return [*(FieldChange(f"column {name}", "(values)", None) for name in lost), *changed]
