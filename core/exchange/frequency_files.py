"""Document frequencies as a file: gzip of plain text, so that reading a stranger's runs nothing and has bounds.

The first line is a JSON object: ``format``, ``version``, ``label``, ``photos``, ``ngrams`` (lines that follow). Each
line after it is ``photos TAB word word ...``: 1 to 4 words as ``core.metrics.tokenize`` splits them. N-grams of a
single photo are left out: they weigh what unseen ones weigh, so no score changes, and they are four fifths of all.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from pathlib import Path

from core.errors import UserError
from core.exchange.files import write_atomically
from core.exchange.text import read_bytes
from core.metrics.document_frequencies import DocumentFrequencies
from core.metrics.ngrams import MAX_N, Ngram
from core.paths import resources_dir

FORMAT, VERSION = "seedcap document frequencies", 1
_MAX_PACKED = 128 << 20
_MAX_TEXT = 512 << 20
_MAX_LABEL = 200
_NEXT = "Make it with 'seedcap evaluate --references FILE --save-document-frequencies FILE'."


SHIPPED = {"flickr8k": "flickr8k-train.df.gz"}
"""Frequencies that come with Seedcap, by the name that stands for their file."""


def load_frequencies(name: str) -> DocumentFrequencies:
    """Those of :data:`SHIPPED` by name, any others by the path of their file."""
    return read_frequencies(resources_dir() / "frequencies" / SHIPPED[name] if name in SHIPPED else Path(name))


def write_frequencies(path: Path, frequencies: DocumentFrequencies) -> int:
    """Write the file in one move, the same bytes for the same counts; returns how many n-grams it holds."""
    kept = sorted((" ".join(ngram), photos) for ngram, photos in frequencies.counts.items() if photos > 1)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "label": frequencies.label,
        "photos": frequencies.photos,
        "ngrams": len(kept),
    }
    lines = [json.dumps(head, ensure_ascii=False), *(f"{photos}\t{words}" for words, photos in kept), ""]
    packed = gzip.compress("\n".join(lines).encode("utf-8"), compresslevel=9, mtime=0)
    try:
        write_atomically(path, packed, durable=False)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.", "Name a file in a folder of yours.") from error
    return len(kept)


def read_frequencies(path: Path) -> DocumentFrequencies:
    """Read such a file. A ``UserError`` names the file, and the line, where it is anything else."""
    lines = _text(path).split("\n")
    label, photos, ngrams = _head(path, lines[0])
    if len(lines) != ngrams + 2 or lines[-1]:
        raise UserError(f"{path} is not whole: it announces {ngrams:,} n-grams and has {len(lines) - 2:,}.", _NEXT)
    counts: dict[Ngram, int] = {}
    for number, line in enumerate(lines[1:-1], start=2):
        count, _, words = line.partition("\t")
        ngram = tuple(words.split(" "))
        if not (count.isascii() and count.isdigit() and 1 < int(count) <= photos and _is_ngram(ngram)):
            raise UserError(f"{path}, line {number}, is not 'photos TAB words'.", _NEXT)
        counts[ngram] = int(count)
    return DocumentFrequencies(label, photos, counts)


def _is_ngram(ngram: Ngram) -> bool:
    return len(ngram) <= MAX_N and all(word and word.isprintable() for word in ngram)


def _text(path: Path) -> str:
    packed = read_bytes(path, _MAX_PACKED)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            content = file.read(_MAX_TEXT + 1)  # what a small file can grow to has no bound of its own
        if len(content) > _MAX_TEXT:
            raise UserError(f"{path} unpacks to more than {_MAX_TEXT >> 20} MB.", _NEXT)
        return content.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a file of document frequencies: {error}.", _NEXT) from error


def _head(path: Path, line: str) -> tuple[str, int, int]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a file of document frequencies.", _NEXT) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise UserError(f"{path} is not a file of document frequencies.", _NEXT)
    if head.get("version") != VERSION:
        raise UserError(f"{path} was written by another version of Seedcap.", _NEXT)
    label, photos, ngrams = head.get("label"), head.get("photos"), head.get("ngrams")
    if not (isinstance(label, str) and isinstance(photos, int) and isinstance(ngrams, int)):
        raise UserError(f"The first line of {path} lacks its label or its numbers.", _NEXT)
    if photos < 1 or not 0 < len(label.strip()) <= _MAX_LABEL:
        raise UserError(f"The first line of {path} has an unusable label or number.", _NEXT)
    return label, photos, ngrams
