"""Captions in files of their own beside the photos: ``.txt`` and ``.xmp``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError
from core.exchange.captions_file import CaptionsFile, Notes
from core.exchange.text import decode_text, read_bytes
from core.exchange.xmp import read_captions_of

MAX_SIDECAR_BYTES = 16 * 1024 * 1024
_TEXT_SUFFIXES = (".txt", ".caption")
_LINE_END = re.compile(r"\r\n|\r|\n")


def read_folder(folder: Path) -> list[CaptionsFile]:
    """The text files and the XMP sidecars below a folder, apart: a photo may have one of each.

    ``a/b.txt`` or ``a/b.jpg.txt`` are captions of ``a/b``, one a line; ``a/b.xmp`` or ``a/b.jpg.xmp`` hold a
    description. Links that lead out of the folder are skipped, and so is what cannot be read; both are listed.
    """
    texts: list[tuple[str, str]] = []
    packets: list[tuple[str, str]] = []
    text_notes, packet_notes = Notes(), Notes()
    root = folder.resolve()
    for path in _files(folder):
        is_xmp = path.suffix.lower() == ".xmp"
        if not is_xmp and path.suffix.lower() not in _TEXT_SUFFIXES:
            continue
        entries, notes = (packets, packet_notes) if is_xmp else (texts, text_notes)
        relative = path.relative_to(folder)
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            notes.skip(f"{relative}: a link that leads out of the folder")
            continue
        try:
            content = read_bytes(path, MAX_SIDECAR_BYTES)
            found = read_captions_of(content, path) if is_xmp else _lines(decode_text(content, path))
        except UserError as error:
            notes.skip(f"{relative}: {error.message}")
            continue
        name = relative.with_suffix("").as_posix()
        entries.extend((name, text) for text in found)
        if not found and not is_xmp:  # an XMP file without a description is nothing strange
            notes.skip(f"{relative}: empty")
    return [text_notes.file(texts), packet_notes.file(packets)]


def _lines(text: str) -> list[str]:
    return [line for line in _LINE_END.split(text) if line.strip()]


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):  # follows no links to folders
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))
