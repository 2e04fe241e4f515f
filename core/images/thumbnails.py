"""Small copies of photos in the cache, named by content: copies share one, a changed photo gets a new one."""

from __future__ import annotations

import os
from pathlib import Path

from core import paths
from core.disk import replacing
from core.images.content import load_content
from core.images.decode import load_image

SIZE = 256
_QUALITY = 80


def thumbnail_path(content_hash: str, size: int = SIZE) -> Path:
    """Where the thumbnail of a photo with this content lies, or would lie: a WebP file in the cache folder."""
    return paths.cache_dir() / "thumbnails" / str(size) / content_hash[:2] / f"{content_hash}.webp"


def ensure_thumbnail(source: Path, content_hash: str, size: int = SIZE) -> Path:
    """The path of the thumbnail of ``source``, made now if it is not there: longer side at most ``size`` pixels.

    Safe to call from several threads and processes at once. Raises ``ImageError`` when the photo cannot be read, or
    holds something else than ``content_hash`` by now.
    """
    target = thumbnail_path(content_hash, size)
    if _is_whole(target):
        return target
    image = load_content(source, content_hash, lambda: load_image(source, max_side=size))
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, durable=False) as file:  # what a power cut leaves of it is not whole, and made again
        image.save(file, "WEBP", quality=_QUALITY, method=2)
    return target


def _is_whole(file: Path) -> bool:
    """Whether this is a WebP file as long as it says at its beginning (RIFF: the bytes after the first eight)."""
    try:
        with file.open("rb") as opened:
            head, length = opened.read(12), os.fstat(opened.fileno()).st_size
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:] == b"WEBP" and int.from_bytes(head[4:8], "little") + 8 == length
