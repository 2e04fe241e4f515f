"""The size of a picture from its first bytes, before any decoder is asked: a bomb is refused without being opened.

Read are the formats whose decoders set memory aside, or want more than the header, as soon as a file is opened; of the
others (JPEG, TIFF) Pillow itself reads only the header until the pixels are asked for.
"""

from __future__ import annotations

import struct

HEAD_BYTES = 64 * 1024
"""How much of a file is enough: HEIC and AVIF name their sizes among other metadata, not at a fixed place."""

_PNG = b"\x89PNG\r\n\x1a\n"
_OLD_BMP_HEADER = 12


def size_in_header(head: bytes) -> tuple[int, int] | None:
    """``(width, height)`` in pixels as the file claims, before any turn; ``None`` when the bytes do not tell."""
    try:
        if head.startswith(_PNG) and head[12:16] == b"IHDR":
            return struct.unpack_from(">II", head, 16)
        if head[:6] in (b"GIF87a", b"GIF89a"):
            return struct.unpack_from("<HH", head, 6)
        if head[:2] == b"BM":
            return _bmp(head)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head)
        if head[4:8] == b"ftyp":
            return _largest_item(head)
    except struct.error:  # the file ends inside its header; the decoder has the words for that
        return None
    return None


def _bmp(head: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", head, 14)[0] == _OLD_BMP_HEADER:
        return struct.unpack_from("<HH", head, 18)
    width, height = struct.unpack_from("<ii", head, 18)  # a height below zero says: stored from the top
    return abs(width), abs(height)


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", head, 24)
        return 1 + low_width + (high_width << 16), 1 + low_height + (high_height << 16)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _largest_item(head: bytes) -> tuple[int, int] | None:
    """HEIC and AVIF: tiles, previews and the picture itself each have a size; the largest is the picture's."""
    sizes: list[tuple[int, int]] = []
    at = head.find(b"ispe")
    while at >= 0:
        if at + 16 <= len(head):
            sizes.append(struct.unpack_from(">II", head, at + 8))
        at = head.find(b"ispe", at + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
