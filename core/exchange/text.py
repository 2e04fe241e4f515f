"""Text files of unknown origin: their encoding, and a bound on their size."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from core.disk import is_pipe_or_device
from core.errors import UserError
from core.exchange.files import NO_FILE

MAX_BYTES = 512 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_STRAY = re.compile("[\udc80-\udcff]")
_ORDINARY = frozenset(" \n,;\t\"'{}[]:.aeinorst")


@dataclass(frozen=True)
class Decoded:
    """``encoding``: as Python names it; ``guessed``: nothing in the file said so, and it is no plain UTF-8. In ``text``
    stray bytes between UTF-8 are lone surrogates, as in names of files; :func:`readable` makes letters of them."""

    text: str
    encoding: str
    guessed: bool = False


def read_bytes(source: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file of at most ``limit`` bytes; a ``UserError`` that names it where it cannot be read."""
    try:
        if is_pipe_or_device(source):
            raise OSError(0, NO_FILE)
        with source.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"There is no file {source}.", "Check its name.") from None
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror}.", "Check its rights.") from error
    if len(content) > limit:
        raise UserError(f"{source} has more than {limit >> 20} MB.", "Split it into several files.")
    return content


def decode(content: bytes, source: Path) -> Decoded:
    """Text in whatever encoding people's programs write: what a mark says; UTF-8; UTF-16 without a mark; else Windows
    Latin, of which Latin-1 is a part. What is none of these is refused in words that name ``source``."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8" else "replace"
            return Decoded(content[len(mark) :].decode(encoding, errors), encoding)
    if b"\x00" in content:
        return _without_mark(content, source)
    try:
        return Decoded(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    mixed = content.decode("utf-8", errors="surrogateescape")
    strange = len(_STRAY.findall(mixed))
    # Letters of several bytes come about by chance so seldom that a text with as many of them as of bytes that are
    # none is UTF-8, and those bytes are a file name from elsewhere, or got into it.
    if sum(character > "\x7f" for character in mixed) >= 2 * strange:
        return Decoded(mixed, "utf-8", guessed=True)
    try:
        return Decoded(content.decode("cp1252"), "cp1252", guessed=True)
    except UnicodeDecodeError:
        return Decoded(content.decode("latin-1"), "latin-1", guessed=True)


def decode_text(content: bytes, source: Path) -> str:
    """:func:`decode`, only the text, stray bytes made letters."""
    return readable(decode(content, source).text)


def readable(text: str) -> str:
    """``text`` with stray bytes (lone surrogates, as in names of files that are not Unicode) as Windows Latin."""
    return _STRAY.sub(lambda found: bytes([ord(found[0]) - 0xDC00]).decode("cp1252", errors="replace"), text)


def _without_mark(content: bytes, source: Path) -> Decoded:
    """UTF-16 shows itself: in the right byte order it has line ends and ordinary letters, in the wrong one none."""
    best: tuple[float, Decoded] | None = None
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        head = text[:4096]
        if any(character < " " and character not in "\t\r\n\v\f" for character in head):
            continue
        share = sum(character in _ORDINARY for character in head) / max(len(head), 1)
        if share > 0.05 and (best is None or share > best[0]):
            best = share, Decoded(text, encoding, guessed=True)
    if best is None:
        raise UserError(f"{source} is not a text file.", "Give a CSV, JSON Lines, COCO JSON or text file.")
    return best[1]
