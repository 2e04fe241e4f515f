"""Breaking files: the same random seed breaks the same file the same way."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_EDGES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff",
          b"\xff\xff\xff\x7f", b"\x01\x00\x00\x00", b"\x00\x00\x00\x01")  # fmt: skip
_NUMBERS = (b"-1", b"0", b"99999999999999999999", b"1e400", b"NaN", b"-0.0", b"2147483648", b"1" * 5000)
_TOKENS: dict[str, tuple[bytes, ...]] = {
    "captions": (
        b'"', b"'", b",", b";", b"\t", b"\r", b"\n", b"{", b"}", b"[", b"]", b"null", b"true", b"{}", b"[[]]",
        b"\\u0000", b"\\ud800", b"\\", b"image,caption\n", b'"images":', b'"annotations":[',
        b"../../etc/passwd", b"\xef\xbb\xbf",
        b"\xff\xfe", b"[" * 3000, b'{"a":' * 3000, b"sep=;\n", b"\x00", b"=cmd|' /C calc'!A0",
        b"x" * 20000,
    ),
    "xmp": (
        b"<", b">", b"&", b"&amp;", b"&#0;", b"&#xD800;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?xpacket end?>",
        b'<!DOCTYPE x [<!ENTITY a "b">]>', b"&a;", b'<!ENTITY e SYSTEM "file:///etc/passwd">', b"<rdf:Alt>",
        b"</rdf:li>", b'xml:lang="x-default"', b"<x>" * 200, b"\xef\xbb\xbf", b"\xff\xfe", b'encoding="utf-16"',
        b"xmlns:dc=''", b"<rdf:Description/>", b'rdf:parseType="Resource"', b"<dc:description/>",
    ),
    "bundle": (
        b'"', b"{", b"[", b"]", b"}", b"null", b"../../x", b"/etc/passwd", b"[" * 3000, b"\\u0000", b"-1", b"true",
        b'"schema": 9', b'"files": {}', b"location", b"weights.bin",
    ),
    "library": (b"CREATE TRIGGER", b"SQLite format 3\x00", b"DROP TABLE", b"image", b"caption", b"\x0d", b"\x05"),
}  # fmt: skip


def mutate(content: bytes, rng: random.Random, kind: str, others: Sequence[bytes] = ()) -> bytes:
    """``content`` with one to eight faults. ``others``: files of the same kind, of which parts are put in."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        rng.choice(_FAULTS)(changed, rng, kind, others)
        del changed[4_000_000:]
    return bytes(changed)


def _place(changed: bytearray, rng: random.Random) -> int:
    """Anywhere, but often in the first bytes, where headers are."""
    return rng.randrange(min(len(changed), 256) if rng.random() < 0.4 else len(changed)) if changed else 0


def _flip(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 4, 32))):
        if changed:
            changed[_place(changed, rng)] ^= 1 << rng.randrange(8)


def _edge(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    edge, at = rng.choice(_EDGES), _place(changed, rng)
    changed[at : at + len(edge)] = edge


def _cut(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    at = _place(changed, rng)
    if rng.random() < 0.5:
        del changed[at:]
    else:
        del changed[at : at + rng.choice((1, 2, 4, 16, 512))]


def _repeat(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    at, length = _place(changed, rng), rng.choice((1, 4, 32, 1024))
    changed[at:at] = bytes(changed[at : at + length]) * rng.choice((1, 2, 50))


def _blank(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    at, length = _place(changed, rng), rng.choice((4, 64, 4096))
    part = changed[at : at + length]
    changed[at : at + length] = rng.randbytes(len(part)) if rng.random() < 0.5 else bytes(len(part))


def _token(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    at = _place(changed, rng)
    changed[at:at] = rng.choice(_TOKENS.get(kind, _EDGES))


def _number(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    """Another number for one that is written in digits; another length for four bytes of a binary file."""
    found = [match.span() for match in re.finditer(rb"\d{1,12}", changed)][:2000]
    if found and kind in _TOKENS and rng.random() < 0.7:
        start, end = rng.choice(found)
        changed[start:end] = rng.choice(_NUMBERS)
    else:
        at = _place(changed, rng)
        length = rng.randrange(2 ** rng.choice((8, 16, 24, 32)))
        changed[at : at + 4] = length.to_bytes(4, rng.choice(("little", "big")))


def _splice(changed: bytearray, rng: random.Random, kind: str, others: Sequence[bytes]) -> None:
    if others:
        other = rng.choice(others)
        start, at = rng.randrange(max(len(other), 1)), _place(changed, rng)
        part = other[start : start + rng.choice((16, 256, 4096))]
        changed[at : at + (len(part) if rng.random() < 0.5 else 0)] = part


_Fault = Callable[[bytearray, random.Random, str, Sequence[bytes]], None]
_FAULTS: tuple[_Fault, ...] = (_flip, _flip, _edge, _cut, _repeat, _blank, _token, _token, _number, _splice)
