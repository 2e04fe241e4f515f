"""Reading picture files that strangers made: every failure is an :class:`ImageError` that says why in words.

Nothing here trusts a file name: the first bytes say what a file is. Pillow is asked only for the formats named in
``FORMATS``, so that its rarer (and riskier) readers never see a file.
"""

from __future__ import annotations

import errno
import functools
import math
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from core.disk import is_pipe_or_device
from core.errors import UserError
from core.images.header import HEAD_BYTES, size_in_header
from core.machine import heic_advice

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
MAX_PIXELS = 110_000_000
"""The largest picture decoded, in pixels: Pillow keeps 4 bytes a pixel, twice while it converts, within 1 GB."""
MAX_JPEG_PIXELS = 1_000_000_000
"""A JPEG may be larger (phones write 200 megapixels): its decoder can shrink by 2, 4 or 8 on the way. Not a progressive
one, which is held as a whole before the first pixel is known."""
LARGE_PIXELS = 32_000_000
"""Pictures above this are decoded one at a time, whatever number of threads decodes: memory stays bounded."""
MIN_SIDE = 8
"""A shorter side than this, in pixels, shows nothing that a caption could name."""

_COPY_AGAIN = "Copy it again from where it came from."
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_one_large = threading.Lock()

# Pillow's own guard against decompression bombs stays on behind ours, as an error: a warning would let the file pass.
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # about damaged metadata: the photo is read
warnings.simplefilter("error", Image.DecompressionBombWarning)


class ImageError(UserError):
    """A file that cannot be used as a photo; ``message`` is the reason, without the file's name."""


@dataclass(frozen=True)
class ImageInfo:
    """``width`` and ``height`` in pixels, orientation applied; ``format`` as Pillow names it."""

    width: int
    height: int
    format: str


def load_image(path: Path, max_side: int | None = None, *, min_side: int | None = None) -> Image.Image:
    """The photo as an RGB picture, turned the way it was held, transparency laid on white.

    ``max_side``: shrink so that the longer side is at most this many pixels (thumbnails). ``min_side``: a JPEG may be
    decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side keeps at least this many pixels (encoders).
    Raises :class:`ImageError` with the reason.
    """
    with _guard(path), _opened(path) as image, _one_at_a_time(image):
        _shrink_while_decoding(image, max_side, min_side)
        image.load()
        orientation = _orientation(image)
        picture = _to_rgb(image)
        if max_side is not None and max(picture.size) > max_side:
            # Shrink first, turn afterwards: the turn then moves few pixels.
            picture.thumbnail((max_side, max_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return picture.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else picture


def probe(path: Path) -> ImageInfo:
    """Size and format of the photo, after making sure that the whole file can be decoded.

    So damage far into a file (a copy that was cut off) is found too; a JPEG is decoded at an eighth of its size, which
    reads all of it for a fraction of the time. Raises :class:`ImageError` with the reason.
    """
    with open_photo(path) as file:
        return probe_open(file, path)


def open_photo(path: Path) -> BufferedReader:
    """The file, open for reading; what cannot be opened raises :class:`ImageError` with the reason."""
    with _guard(path):
        if is_pipe_or_device(path):
            raise ImageError("This is not a file but a pipe, a socket or a device.", "Remove it from the photo folder.")
        return path.open("rb")


def probe_open(file: BinaryIO, path: Path) -> ImageInfo:
    """The same as :func:`probe` of a file that is open already, read from its beginning; ``path`` is for the words."""
    with _guard(path), _picture(file) as image, _one_at_a_time(image):
        width, height = image.size
        kind = image.format or ""
        if kind in ("JPEG", "MPO"):
            image.draft("RGB", (1, 1))
        image.load()
        if _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return ImageInfo(width, height, kind)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with open_photo(path) as file, _picture(file) as image:
        yield image


@contextmanager
def _picture(file: BinaryIO) -> Iterator[Image.Image]:
    """The picture with its size known and allowed, not decoded yet."""
    head = file.read(HEAD_BYTES)
    _refuse_by_content(head[:4096])
    claimed = size_in_header(head)
    if claimed is not None:
        _check_size(*claimed, MAX_PIXELS)
    if _is_heic(head):
        _register_heic()
    file.seek(0)
    formats = (*FORMATS, "HEIF") if _is_heic(head) else FORMATS
    with Image.open(file, formats=formats) as image:
        _check_size(*image.size, _most_pixels(image))
        yield image


def _most_pixels(image: Image.Image) -> int:
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        return MAX_JPEG_PIXELS
    return MAX_PIXELS // 2 if image.mode in ("I", "F") else MAX_PIXELS  # these need twice the memory to become RGB


def _one_at_a_time(image: Image.Image) -> AbstractContextManager[object]:
    """Hold a large picture back until no other one is being decoded; JPEG shrinks while it decodes."""
    large = image.width * image.height > LARGE_PIXELS and image.format not in ("JPEG", "MPO")
    return _one_large if large else nullcontext()


def _refuse_by_content(head: bytes) -> None:
    if not head:
        raise ImageError("The file is empty.", _COPY_AGAIN)
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        raise ImageError("The file holds text, not a picture.", "Give it the ending that fits, or remove it.")


def _check_size(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise _too_large(f"{width:,} × {height:,} pixels", limit)
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"The picture is too small to caption: {width}×{height} pixels.", "Use a larger copy of it.")


def _too_large(size: str, limit: int) -> ImageError:
    return ImageError(
        f"The picture is too large to open: {size}, and the most is {limit // 1_000_000:,} megapixels.",
        "Save a smaller copy of it.",
    )


def _shrink_while_decoding(image: Image.Image, max_side: int | None, min_side: int | None) -> None:
    """Let the JPEG decoder skip detail nobody asked for; it never goes below the size asked."""
    if image.format not in ("JPEG", "MPO"):
        return
    width, height = image.size
    wanted = [1.0]
    if max_side is not None:
        wanted.append(max(width, height) / (2 * max_side))
    if min_side is not None:
        wanted.append(min(width, height) / min_side)
    wanted.append(math.sqrt(width * height / MAX_PIXELS))
    factor = next(scale for scale in (8, 4, 2, 1) if scale <= max(wanted))
    if width * height / factor**2 > MAX_PIXELS:
        factor *= 2
    if factor > 1:
        image.draft("RGB", (max(1, width // factor), max(1, height // factor)))


def _orientation(image: Image.Image) -> int:
    # Broken EXIF is common and says nothing about the pixels: such a photo is simply not turned.
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image if not isinstance(image, ImageFile.ImageFile) else image.copy()
    if image.mode.startswith("I;16"):
        # 16 bits a channel: Pillow's own conversion clips at 255 instead of scaling.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return _stretch(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        paper = Image.new("RGB", layer.size, (255, 255, 255))
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    if image.mode == "LAB":
        return _from_lab(image)
    return image.convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    """Pillow knows this colour space only by its profile."""
    from PIL import ImageCms  # rare, and slow to load

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("its colours cannot be converted")
    return converted


def _stretch(image: Image.Image) -> Image.Image:
    """A 32-bit picture has no agreed white: its own darkest and brightest values become black and white."""
    values = np.asarray(image, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError("The picture holds values that are not numbers.", "Save it again as PNG or JPEG.")
    if low >= 0 and high <= 255 and image.mode == "I":
        return image.convert("L")
    values = values - low
    values *= 255.0 / (high - low) if high > low else 0.0
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


@functools.cache
def _register_heic() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            "The photo is in HEIC format, and the package that reads it is not installed.",
            heic_advice(),
        ) from None
    pillow_heif.register_heif_opener()


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a foreign file into one sentence."""
    try:
        yield
    except ImageError:
        raise
    except OSError as error:
        raise _from_os_error(path, error) from error
    except MemoryError as error:
        raise ImageError("There was not enough memory to open the picture.", "Close other programs.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(found[1]) // 1_000_000:,} megapixels" if found else "many more pixels"
        raise _too_large(size, MAX_PIXELS) from error
    except Exception as error:  # the per-image guard: decoders raise anything on a damaged file
        raise ImageError(f"The picture is damaged: {_words(error)}.", _COPY_AGAIN) from error


def _from_os_error(path: Path, error: OSError) -> ImageError:
    if error.errno == errno.ENOENT:
        if path.is_symlink():
            return ImageError("The link points to a file that is not there.", "Mend the link or remove it.")
        return ImageError("The file is not there any more.", "Scan the folder again.")
    if error.errno == errno.ELOOP:
        return ImageError("The link points to itself.", "Mend the link or remove it.")
    if error.errno in (errno.EACCES, errno.EPERM):
        if _is_folder(path):  # Windows says "permission denied" when a folder is opened as a file
            return ImageError("This is a folder, not a picture.", "Rename it if that is confusing.")
        return ImageError("The file may not be read (permission denied).", "Ask for the right to read it.")
    if error.errno == errno.EISDIR:
        return ImageError("This is a folder, not a picture.", "Rename it if that is confusing.")
    if error.errno is not None:
        return ImageError(f"The file cannot be read: {error.strerror or error}.", "Check the disk it is on.")
    if "cannot identify" in str(error):
        return ImageError("The file is not a picture in a format that can be read.", "Save it as JPEG or PNG.")
    if "truncated" in str(error).lower():
        return ImageError("The picture is cut off: the end of the file is missing.", "Copy it again.")
    return ImageError(f"The picture is damaged: {_words(error)}.", _COPY_AGAIN)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:160] if text else type(error).__name__
