"""Thumbnails for views: decoded in a small pool, newest wish first, what nobody looks at any more dropped.

The file cache is core's; here is only a bounded cache of what is on the screen, at the size it is painted.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMutex, QMutexLocker, QObject, QRunnable, QThreadPool, Signal
from PySide6.QtGui import QImage, QPixmap

if TYPE_CHECKING:
    from core.library.records import ImageRow

THREADS = max(1, min(2, (os.cpu_count() or 1) - 1))  # one core stays for painting
CACHE_BYTES = 48 * 1024 * 1024
PAINTED = QImage.Format.Format_ARGB32_Premultiplied
MAX_WAITING = 240  # about two screens at the smallest tile


class Thumbnails(QObject):
    """``pixmap(image)`` answers at once, or with None and, later, the signal ``ready(image_id)``."""

    ready = Signal(int)
    _decoded = Signal(int, int, str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(THREADS)
        self._pool.setExpiryTimeout(2_000)
        self._lock = QMutex()
        self._waiting: OrderedDict[int, tuple[Path, str]] = OrderedDict()
        self._running = 0
        self._generation = 0
        self._side = 256
        self._cache: OrderedDict[str, QPixmap] = OrderedDict()
        self._bytes = 0
        self._failed: set[tuple[int, str]] = set()
        self._decoded.connect(self._arrived)

    def set_side(self, side: int) -> None:
        """The longer side in device pixels at which thumbnails are kept."""
        side = max(48, min(side, 512))
        if side != self._side:
            self._side = side
            self.clear()

    def clear(self) -> None:
        """Forget wishes and pictures: another library, another size."""
        with QMutexLocker(self._lock):
            self._generation += 1
            self._waiting.clear()
        self._cache.clear()
        self._failed.clear()
        self._bytes = 0

    def pixmap(self, image: ImageRow) -> QPixmap | None:
        key = image.content_hash
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            return found
        if key and (image.id, key) not in self._failed and not image.missing and not image.error:
            self._wish(image.id, image.path, key)
        return None

    def keep_only(self, image_ids: set[int]) -> None:
        """Drop wishes for photos that are out of sight."""
        with QMutexLocker(self._lock):
            for image_id in [waiting for waiting in self._waiting if waiting not in image_ids]:
                del self._waiting[image_id]

    def stop(self) -> None:
        """End the pool; nothing is delivered after this."""
        self.clear()
        self._pool.waitForDone()

    def _wish(self, image_id: int, path: Path, content_hash: str) -> None:
        with QMutexLocker(self._lock):
            self._waiting[image_id] = (path, content_hash)
            self._waiting.move_to_end(image_id)
            while len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            start = self._running < THREADS
            if start:
                self._running += 1
        if start:
            self._pool.start(_Decoder(self))

    def take(self) -> tuple[int, int, Path, str] | None:
        """For the pool's threads: the next wish, newest first, or None: end the thread's turn."""
        with QMutexLocker(self._lock):
            if not self._waiting:
                self._running -= 1
                return None
            image_id, (path, content_hash) = self._waiting.popitem(last=True)
            return self._generation, image_id, path, content_hash

    def decode(self, path: Path, content_hash: str) -> QImage | None:
        from PIL import Image

        from core.errors import UserError
        from core.images.thumbnails import ensure_thumbnail

        try:
            file = ensure_thumbnail(path, content_hash)
        except (UserError, OSError):
            return None
        # Read with Pillow: Qt's image plugins are loaded on first use, and doing that in a pool thread has crashed.
        try:
            with Image.open(file) as thumbnail:
                thumbnail.thumbnail((self._side, self._side))
                pixels = thumbnail.convert("RGBA")
        except (OSError, ValueError):
            return None
        image = QImage(pixels.tobytes(), *pixels.size, 4 * pixels.width, QImage.Format.Format_RGBA8888)
        return image.convertToFormat(PAINTED)  # here, so that the thread that paints has nothing left to do

    def deliver(self, generation: int, image_id: int, content_hash: str, image: QImage | None) -> None:
        self._decoded.emit(generation, image_id, content_hash, image)

    def _arrived(self, generation: int, image_id: int, content_hash: str, image: QImage | None) -> None:
        if generation != self._generation:
            return
        if image is None:
            self._failed.add((image_id, content_hash))  # of a copy it may well be made
        elif content_hash not in self._cache:
            pixmap = QPixmap.fromImage(image)
            self._cache[content_hash] = pixmap
            self._bytes += _bytes(pixmap)
            while self._bytes > CACHE_BYTES and len(self._cache) > 1:
                _, old = self._cache.popitem(last=False)
                self._bytes -= _bytes(old)
        self.ready.emit(image_id)


class _Decoder(QRunnable):
    """One turn of a pool thread: decodes until no wish is left."""

    def __init__(self, owner: Thumbnails) -> None:
        super().__init__()
        self._owner = owner

    def run(self) -> None:
        while (wish := self._owner.take()) is not None:
            generation, image_id, path, content_hash = wish
            self._owner.deliver(generation, image_id, content_hash, self._owner.decode(path, content_hash))


def _bytes(pixmap: QPixmap) -> int:
    return pixmap.width() * pixmap.height() * 4
