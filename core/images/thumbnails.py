"""Small copies of photos in the cache, named by content: copies share one, a changed photo gets a new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from core import paths
from core.images.decode import load_image

SIZE = 256
_QUALITY = 80


def thumbnail_path(content_hash: str, size: int = SIZE) -> Path:
    """Where the thumbnail of a photo with this content lies, or would lie: a WebP file in the cache folder."""
    return paths.cache_dir() / "thumbnails" / str(size) / content_hash[:2] / f"{content_hash}.webp"


def ensure_thumbnail(source: Path, content_hash: str, size: int = SIZE) -> Path:
    """The path of the thumbnail of ``source``, made now if it is not there: longer side at most ``size`` pixels.

    Safe to call from several threads and processes at once. Raises ``ImageError`` when the photo cannot be read.
    """
    target = thumbnail_path(content_hash, size)
    if target.exists():
        return target
    image = load_image(source, max_side=size)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, "WEBP", quality=_QUALITY, method=2)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
