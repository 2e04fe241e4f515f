"""Pictures that claim another size than they have: small files that ask a decoder for a lot of memory."""

from __future__ import annotations

import random
import struct
import zlib


def claim_size(content: bytes, rng: random.Random) -> bytes:
    """The picture with another width and height in its header, check sums mended; as it is where none is found."""
    width, height = (rng.choice((1, 200, 4000, 11_000, 30_000, 65_500, 2**31 - 1)) for _ in range(2))
    changed = bytearray(content)
    if content.startswith(b"\x89PNG"):
        changed[16:24] = struct.pack(">II", width, height)
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    elif content.startswith(b"BM"):
        changed[18:26] = struct.pack("<ii", width, height)
    elif content.startswith(b"GIF8"):
        changed[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    elif content.startswith(b"II*\x00"):
        _tiff(changed, width, height)
    elif content.startswith(b"\xff\xd8"):
        at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        if at > 0:
            changed[at + 5 : at + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    return bytes(changed)


def _tiff(changed: bytearray, width: int, height: int) -> None:
    (first,) = struct.unpack_from("<I", changed, 4)
    (entries,) = struct.unpack_from("<H", changed, first)
    for at in range(first + 2, first + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from("<H", changed, at)
        if tag in (256, 257, 278):  # width, height, rows in a strip
            struct.pack_into("<HHII", changed, at, tag, 4, 1, width if tag == 256 else height)
