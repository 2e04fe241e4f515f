"""Captions inside the photos themselves: description and alt text, by ExifTool; no pixel changes.

The rules, field by field (docs/decisions/0018): XMP's description and IPTC's alt text get the first caption. IPTC's
caption and EXIF's description, the older homes of the same text, are only changed where a photo has them already.
Whatever has other words keeps them, unless replacing is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image, ImageSequence

from core.disk import sync_file, temporary_beside
from core.errors import UserError
from core.exchange.exiftool import ExifTool
from core.exchange.files import digest, put_in_place, write_temporary
from core.exchange.formats import Captioned
from core.exchange.history import ExportLog
from core.exchange.plan import Action, ExportItem, FieldChange, MetadataOptions, is_blank
from core.images.decode import load_image
from core.library.library import Library
from core.library.rewritten import same_pixels

_XMP, _IPTC, _EXIF = "XMP-dc:Description", "IPTC:Caption-Abstract", "IFD0:ImageDescription"
_ALT = "XMP-iptcCore:AltTextAccessibility"
_CHARSET = "IPTC:CodedCharacterSet"
_TAGS = {"description": (_XMP, _IPTC, _EXIF), "alt-text": (_ALT,)}
_IPTC_BYTES = 2000
_MAX_FRAMES = 200
# What ExifTool says about the file, and what follows from where things lie in it, may differ afterwards.
_VOLATILE_GROUPS = ("ExifTool:", "System:", "File:", "Composite:")
_VOLATILE_NAMES = (
    "Offset",
    "Start",
    "Digest",
    "XMPToolkit",
    "Length",
    "ApplicationRecordVersion",
    "Padding",
    "GIFVersion",
)


def embedded_items(
    captioned: Captioned, options: MetadataOptions, overwrite: bool, refused: list[tuple[Path, str]]
) -> Iterator[ExportItem]:
    """An item a photo; those that ExifTool cannot read go to ``refused``."""
    with ExifTool() as tool:
        for photo, captions in captioned:
            try:
                if photo.path.is_symlink():
                    raise UserError("It is a link to another place.", "Add the folder in which the photo itself lies.")
                present = tool.read(photo.path, [tag for tags in _TAGS.values() for tag in tags] + [_CHARSET])
                changes = tuple(_changes(present, captions[0].text, options, overwrite=overwrite))
                expected = digest(photo.path.read_bytes())
            except UserError as error:
                refused.append((photo.path, f"{error.message} {error.next_step}"))
                continue
            except OSError as error:
                refused.append((photo.path, f"The file cannot be read: {error.strerror}."))
                continue
            yield ExportItem(
                photo.path, _action(changes), "", 1, changes, expected=expected, image_id=photo.id
            )  # fmt: skip


def _changes(
    present: Mapping[str, str], text: str, options: MetadataOptions, *, overwrite: bool
) -> Iterator[FieldChange]:
    for field in options.fields:
        for tag in _TAGS[field]:
            before = present.get(tag)
            if tag in (_IPTC, _EXIF) and is_blank(before):
                continue
            note = _cannot_hold(tag, text, present)
            kept = bool(note) or not (is_blank(before) or before == text or overwrite)
            yield FieldChange(tag, before, text, kept and before != text, note if before != text else "")


def _cannot_hold(tag: str, text: str, present: Mapping[str, str]) -> str:
    if tag == _IPTC:
        if len(text.encode("utf-8")) > _IPTC_BYTES:
            return f"IPTC holds at most {_IPTC_BYTES:,} bytes"
        if "UTF8" not in present.get(_CHARSET, "") and text.encode("cp1252", "ignore").decode("cp1252") != text:
            return "this photo's IPTC fields are in Latin letters"
    return "EXIF holds no line that is empty at its end" if tag == _EXIF and text != text.rstrip() else ""


def _action(changes: tuple[FieldChange, ...]) -> Action:
    if not any(change.writes for change in changes):
        return "keep" if any(change.kept for change in changes) else "same"
    return "replace" if any(change.replaces for change in changes) else "merge"


class EmbeddedWriter:
    """Writes the fields of one photo after the other; a context manager."""

    def __init__(self, library: Path, log: ExportLog) -> None:
        self._log = log
        self._tool = ExifTool()
        self._library = Library.open(library)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tool.__exit__(kind, error, trace)
        self._library.close()

    def write(self, item: ExportItem) -> bool:
        """Put the fields into the photo; ``False``: it has changed since it was looked at, and is left as it is.

        ExifTool writes a copy. Only when the copy has the same pixels, our fields read back as they should, every
        other field says what it said and the library knows its bytes does it take the photo's place. Raises
        ``UserError`` or ``OSError`` otherwise.
        """
        path = item.path
        before = path.read_bytes()
        if digest(before) != item.expected:
            return False
        values = {change.field: change.after or "" for change in item.changes if change.writes}
        copy = temporary_beside(path).with_suffix(path.suffix)
        try:
            self._copy(path, copy, before, values)
            self._check(path, copy, values)
            after = copy.read_bytes()
            sync_file(copy)
            self._log.record(path, before, after, splice=True)
            self._log.sync()
            # Told first: should the move fail, the library knows the old bytes as well as the new ones.
            same_pixels(self._library, path, bytes_of=copy)
            try:
                put_in_place(copy, path)
            except OSError:
                same_pixels(self._library, path)
                raise
        finally:
            copy.unlink(missing_ok=True)
        return True

    def _copy(self, path: Path, copy: Path, content: bytes, values: Mapping[str, str]) -> None:
        try:
            self._tool.write_copy(path, copy, {_as_written(tag): text for tag, text in values.items()})
        except UserError:
            copy.unlink(missing_ok=True)
            # ExifTool does not say that a disk is full. Where there is no room for the photo, this does.
            write_temporary(path, content).unlink()
            raise

    def _check(self, path: Path, copy: Path, values: Mapping[str, str]) -> None:
        if not _same_picture(path, copy):
            raise UserError(f"ExifTool would change the picture of {path.name}.", "It is left as it is.")
        old, new = self._tool.read(path), self._tool.read(copy)
        said = self._tool.read(copy, list(values))
        if wrong := [tag for tag, text in values.items() if not _same_text(said.get(tag), text)]:
            raise UserError(f"{path.name} cannot hold this text in {', '.join(wrong)}.", "It is left as it is.")
        lost = [tag for tag in old if _is_foreign(tag) and tag not in values and old[tag] != new.get(tag)]
        if lost:
            raise UserError(f"Other fields of {path.name} would change: {', '.join(lost[:5])}.", "It is left as it is.")


def _as_written(tag: str) -> str:
    """XMP by its default language: without it, ExifTool would clear the other languages."""
    return f"{tag}-x-default" if tag.startswith("XMP-") else tag


def _is_foreign(tag: str) -> bool:
    return not tag.startswith(_VOLATILE_GROUPS) and not any(name in tag for name in _VOLATILE_NAMES)


def _same_text(said: str | None, text: str) -> bool:
    return said is not None and (said == text or (text.lower() in ("true", "false") and said == text.lower()))


def _same_picture(one: Path, other: Path) -> bool:
    """Whether both files decode to the same pixels, turned the same way, frame by frame."""
    if not np.array_equal(np.asarray(load_image(one)), np.asarray(load_image(other))):
        return False
    if one.suffix.lower() not in (".gif", ".png", ".tif", ".tiff", ".webp"):
        return True
    with Image.open(one) as first, Image.open(other) as second:
        if getattr(first, "n_frames", 1) != getattr(second, "n_frames", 1):
            return False
        if getattr(first, "n_frames", 1) > _MAX_FRAMES:
            return True
        pairs = zip(ImageSequence.Iterator(first), ImageSequence.Iterator(second), strict=True)
        return all(a.mode == b.mode and a.tobytes() == b.tobytes() for a, b in pairs)
