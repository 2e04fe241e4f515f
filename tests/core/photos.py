"""Photos and libraries that the tests of the library make for themselves."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.jobs import Cancelled, QuietContext
from core.library import queries
from core.library.library import Library
from core.library.scan import ScanReport, scan


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = (48, 36), **save) -> Path:
    """A small picture that no other seed gives."""
    rng = np.random.default_rng(seed)
    low = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    low.resize(size, Image.Resampling.BICUBIC).save(path, **save)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds nothing."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))


def photo_folder(folder: Path, count: int) -> Path:
    for number in range(count):
        write_photo(folder / f"{number:02d}.png", seed=number)
    return folder


def look(library: Library, folder: Path) -> ScanReport:
    return scan(library, folder, QuietContext())


def library_with(tmp_path: Path, count: int) -> Library:
    """A library of ``count`` photos named 00.png, 01.png …, in order of their ids."""
    library = Library.create(tmp_path / "test")
    look(library, photo_folder(tmp_path / "photos", count))
    return library


def captions_by_name(library: Library) -> dict[str, list[tuple[str, str, bool]]]:
    """Text, state and seed mark of the captions of each photo that has any."""
    rows = {row.id: row.relative_path for row in queries.images_of(library)}
    found = queries.captions_of(library, rows)
    return {rows[one]: [(c.text, c.state, c.is_seed) for c in captions] for one, captions in found.items() if captions}


def copy_of_library(template: Path, folder: Path) -> Library:
    """A library of its own, copied from one that was made with :func:`library_with` and closed: fast."""
    shutil.copytree(template, folder / template.name)
    return Library.open(folder / template.name)


class FakeEncoder:
    """Photos become the mean colour of a 3 × 3 grid of cells; sentences a hash of their words."""

    id = "fake"
    dim = 27
    prompt = "A photo depicts "

    def __init__(self, fingerprint: str = "f" * 64) -> None:
        from core.images.preprocess import Preprocess

        self.fingerprint = fingerprint
        self.preprocess = Preprocess(24, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.batches: list[int] = []

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixels))
        cells = pixels.reshape(len(pixels), 3, 3, 8, 3, 8).mean(axis=(3, 5)).reshape(len(pixels), -1)
        return _unit(cells)

    def encode_texts(self, texts, prompt: bool = True) -> np.ndarray:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        return _unit(np.stack([np.random.default_rng(seed).normal(size=self.dim) for seed in seeds]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _tool_is_there() -> bool:
    try:
        import exiftool  # noqa: F401
    except ImportError:
        return False
    return shutil.which("exiftool") is not None


needs_exiftool = pytest.mark.skipif(
    not _tool_is_there(), reason="ExifTool (libimage-exiftool-perl) or PyExifTool (the extra 'metadata') is missing"
)


class CancelAfter(QuietContext):
    def __init__(self, asks: int) -> None:
        self.left = asks

    def check_cancelled(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def note_reads(monkeypatch) -> list[str]:
    """The names of the files that a scan reads from now on."""
    from core.library import scan as module

    read: list[str] = []
    examine = module.examine

    def noting(item):
        read.append(item.relative)
        return examine(item)

    monkeypatch.setattr(module, "examine", noting)
    return read


def photo_names(library: Library) -> list[str]:
    """Of all photos, in the order of the library."""
    return [row.relative_path for row in queries.image_rows(library, queries.image_ids(library))]


def photo_id(library: Library, name: str) -> int:
    """Of the one photo with this path below its folder."""
    (found,) = [row.id for row in queries.images_of(library, usable=False) if row.relative_path == name]
    return found


def two_colours(size=(40, 24)) -> Image.Image:
    """Red left half, blue right half: turning it shows."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return image


def write_file(path: Path, content: str | bytes) -> Path:
    """Write a file in a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path
