"""Photos of every format: read, told by their headers, refused where they are bombs."""

from __future__ import annotations

import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from core.images import decode
from core.images.decode import ImageError, ImageInfo, load_image, probe
from core.images.header import HEAD_BYTES, size_in_header
from tests.core.photos import png_header, two_colours, write_photo

_FORMATS = {
    ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".avif": "AVIF",
    ".heic": "HEIF",
}  # fmt: skip


def _save(image: Image.Image, path: Path, **options) -> Path:
    """Save in the format that the name says; a format that this Pillow lacks is skipped."""
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").from_pillow(image).save(path, **options)
    elif path.suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    else:
        image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", _FORMATS)
def test_every_format_is_read_and_its_header_tells_the_size(tmp_path, suffix):
    path = _save(two_colours((80, 64)), tmp_path / f"a{suffix}")
    assert probe(path) == ImageInfo(80, 64, _FORMATS[suffix])
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", (80, 64))
    (red, _, blue), (red2, _, blue2) = image.getpixel((10, 32)), image.getpixel((70, 32))
    assert red > 200 > 60 > blue and blue2 > 200 > 60 > red2
    if suffix not in (".jpg", ".tif"):  # of these two Pillow reads no more than the header, too
        assert size_in_header(path.read_bytes()[:HEAD_BYTES]) == (80, 64)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": Image.Exif()}])
def test_every_kind_of_webp_header_tells_the_size(tmp_path, options):
    image = two_colours((301, 17))
    image.putpixel((0, 0), (1, 2, 3))
    if "exif" in options:
        options["exif"][0x0112] = 1
    image.save(tmp_path / "a.webp", **options)
    assert size_in_header((tmp_path / "a.webp").read_bytes()) == (301, 17)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".avif", ".heic"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_photos_of_other_formats_are_turned_too(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif.tobytes() if suffix == ".heic" else exif}
    path = _save(two_colours((96, 64)), tmp_path / f"a{suffix}", **options)
    image = load_image(path)
    assert image.size == ((96, 64) if orientation == 3 else (64, 96)) == (probe(path).width, probe(path).height)
    spot = {3: (88, 32), 5: (32, 8), 6: (32, 8), 8: (32, 88)}[orientation]
    red, _, blue = image.getpixel(spot)
    assert red > 190 and blue < 70


def test_deep_colours_are_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(values.astype(">u2")).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        pixels = np.asarray(load_image(tmp_path / name), int)[..., 0]
        assert np.abs(pixels - values // 256).max() <= 1
    (tmp_path / "colour.png").write_bytes(_png_16_bit(20, 20, (65535, 32768, 0)))
    assert np.abs(np.asarray(load_image(tmp_path / "colour.png"), int) - (255, 128, 0)).max() <= 1


def _png_16_bit(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    line = b"\0" + struct.pack(">HHH", *colour) * width
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(line * height))
        + chunk(b"IEND", b"")
    )


def test_a_cmyk_jpeg_has_its_own_colours(tmp_path):
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = load_image(tmp_path / "red.jpg").getpixel((16, 16))
    assert red > 200 and green < 60 and blue < 60


def test_a_lab_picture_is_converted_by_its_colour_space(tmp_path):
    lab = Image.merge("LAB", [Image.new("L", (20, 20), value) for value in (255, 128, 128)])
    lab.save(tmp_path / "a.tif")
    assert min(load_image(tmp_path / "a.tif").getpixel((10, 10))) > 245


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_a_moving_picture_the_first_frame_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (24, 24), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    red, _, blue = load_image(tmp_path / f"a{suffix}").getpixel((12, 12))
    assert red > 200 and blue < 60


def _bombs() -> dict[str, bytes]:
    """Small files that claim to be huge."""
    side = 60_000
    webp = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + struct.pack("<I", side)[:3] + struct.pack("<I", side)[:3]
    box = struct.pack(">I", 20) + b"ispe" + b"\0\0\0\0" + struct.pack(">II", side, side)
    return {
        "a.png": png_header(side, side),
        "a.gif": b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0),
        "a.bmp": b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, side, -side) + b"\0" * 28,
        "old.bmp": b"BM" + b"\0" * 12 + struct.pack("<IHH", 12, side, side) + b"\0" * 28,
        "a.webp": b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        "lossless.webp": b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 0x0FFFFFFF) + b"\0" * 8,
        "a.avif": struct.pack(">I", 16) + b"ftypavif" + b"\0\0\0\0" + box,
        "a.heic": struct.pack(">I", 16) + b"ftypheic" + b"\0\0\0\0" + box,
    }


def test_a_bomb_is_refused_by_its_header_before_any_decoder_sees_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: pytest.fail("a decoder was asked"))
    for name, content in _bombs().items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="too large to open"):
            probe(tmp_path / name)


@pytest.mark.parametrize("length", [0, 1, 5, 12, 17, 20, 24, 27, 30])
def test_a_header_that_ends_early_tells_nothing(length):
    for content in _bombs().values():
        assert size_in_header(content[:length]) in (None, size_in_header(content))


def test_a_progressive_jpeg_has_the_cap_of_all_others(tmp_path, monkeypatch):
    """It is held as a whole while it is decoded, whatever size is asked for."""
    monkeypatch.setattr(decode, "MAX_PIXELS", 5000)
    plain = write_photo(tmp_path / "plain.jpg", size=(100, 100))
    progressive = write_photo(tmp_path / "progressive.jpg", size=(100, 100), progressive=True)
    assert load_image(plain).size == (50, 50)
    for read in (probe, load_image):
        with pytest.raises(ImageError, match="too large"):
            read(progressive)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "LARGE_PIXELS", 1000)
    paths = [write_photo(tmp_path / f"{number}.png", seed=number, size=(60, 40)) for number in range(6)]
    at_once: list[int] = []
    inside = 0
    load = ImageFile.ImageFile.load

    def counting(self):
        nonlocal inside
        inside += 1
        at_once.append(inside)
        time.sleep(0.002)
        try:
            return load(self)
        finally:
            inside -= 1

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    with ThreadPoolExecutor(6) as pool:
        assert {info.width for info in pool.map(probe, paths)} == {60}
    assert len(at_once) >= 6 and max(at_once) == 1
