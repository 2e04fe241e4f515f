"""Decoding, preprocessing and thumbnails."""

from __future__ import annotations

import os
import shutil
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from core.images import decode
from core.images.content import hash_of
from core.images.decode import ImageError, ImageInfo, load_image, probe
from core.images.header import HEAD_BYTES, size_in_header
from core.images.preprocess import Preprocess, load_pixels, preprocess
from core.images.thumbnails import ensure_thumbnail, thumbnail_path
from core.starter.scenes import sample_scene
from core.starter.scenes_render import render
from tests.core.photos import png_header, write_photo

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def _two_colours(size=(40, 24)) -> Image.Image:
    """Red left half, blue right half: turning it shows."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return image


# Where the red half (left in the stored pixels) is to be seen, for each EXIF orientation.
_RED_SIDE = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [None, 20])
def test_photo_is_turned_the_way_it_was_held(tmp_path, orientation, max_side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    _two_colours().save(tmp_path / "a.png", exif=exif)
    image = load_image(tmp_path / "a.png", max_side)
    upright = orientation < 5
    assert image.size == ((40, 24) if upright else (24, 40)) if max_side is None else max(image.size) == max_side
    assert (probe(tmp_path / "a.png").width > probe(tmp_path / "a.png").height) == upright
    width, height = image.size
    spots = {
        "left": (1, height // 2), "right": (width - 2, height // 2),
        "top": (width // 2, 1), "bottom": (width // 2, height - 2),
    }  # fmt: skip
    red = [side for side, spot in spots.items() if image.getpixel(spot)[0] > 200 and image.getpixel(spot)[2] < 60]
    assert _RED_SIDE[orientation] in red
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[_RED_SIDE[orientation]]
    assert opposite not in red


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff"])
def test_broken_exif_does_not_lose_the_photo(tmp_path, exif):
    _two_colours().save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (40, 24)
    assert probe(tmp_path / "a.jpg").width == 40


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("L", 100, ".png", (100, 100, 100)),
        ("1", 1, ".png", (255, 255, 255)),
        ("I;16", 65535, ".png", (255, 255, 255)),
        ("I;16", 32768, ".png", (128, 128, 128)),
        ("RGBA", (10, 20, 30, 0), ".png", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), ".png", (10, 20, 30)),
        ("LA", (0, 0), ".png", (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), ".tif", (0, 0, 0)),
        ("P", 0, ".gif", (0, 0, 0)),
        ("I", 200, ".tif", (200, 200, 200)),
    ],
)
def test_every_colour_mode_becomes_rgb(tmp_path, mode, colour, suffix, expected):
    path = tmp_path / f"a{suffix}"
    Image.new(mode, (20, 20), colour).save(path)
    image = load_image(path)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, int) - expected).max() <= 1


def test_wide_range_photo_is_stretched_to_black_and_white(tmp_path):
    values = np.linspace(-3000.0, 9000.0, 400, dtype=np.float32).reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "a.tif")
    pixels = np.asarray(load_image(tmp_path / "a.tif"))
    assert pixels.min() == 0 and pixels.max() == 255
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "b.tif")
    with pytest.raises(ImageError):
        load_image(tmp_path / "b.tif")


def test_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 10, 200, 10] + [0] * 762)
    image.paste(0, (0, 0, 10, 20))
    image.save(tmp_path / "a.png", transparency=0)
    loaded = load_image(tmp_path / "a.png")
    assert loaded.getpixel((2, 2)) == (255, 255, 255)
    assert loaded.getpixel((15, 15)) == (10, 200, 10)


def _jpeg(path: Path) -> bytes:
    return write_photo(path, size=(200, 150), quality=90).read_bytes()


def _fakes(folder: Path) -> dict[str, str]:
    """Files that are no photos, and a word that the reason must hold."""
    folder.mkdir(exist_ok=True)
    jpeg = _jpeg(folder.parent / "whole.jpg")
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "header-only.jpg").write_bytes(jpeg[:20])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("Grüße, no picture here\n", encoding="utf-8")
    (folder / "noise.png").write_bytes(np.random.default_rng(0).bytes(5000))
    Image.new("RGB", (1, 1)).save(folder / "one.gif")
    (folder / "huge.png").write_bytes(png_header(20_000, 20_000))
    png = write_photo(folder.parent / "whole.png", size=(200, 150)).read_bytes()
    (folder / "cut.png").write_bytes(png[:-500])
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    (folder / "flipped.png").write_bytes(flipped)
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "cut.jpg": "cut off", "header-only.jpg": "picture", "empty.jpg": "empty", "text.jpg": "text",
        "noise.png": "not a picture", "one.gif": "too small to caption: 1×1", "huge.png": "20,000 × 20,000",
        "cut.png": "cut off", "flipped.png": "damaged", "folder.jpg": "folder", "dangling.jpg": "link",
        "circle.jpg": "link", "pipe.jpg": "pipe", "not-there.jpg": "not there",
    }  # fmt: skip


@pytest.mark.parametrize("read", [probe, load_image])
def test_what_is_no_photo_is_refused_with_the_reason(tmp_path, read):
    reasons = _fakes(tmp_path / "fakes")
    for name, word in reasons.items():
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "fakes" / name)
        assert word in caught.value.message, name
        assert caught.value.message.endswith("."), name
        assert caught.value.next_step, name


def test_pixel_cap_is_checked_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 1000)
    for suffix in (".png", ".gif", ".webp", ".bmp", ".tif"):
        path = write_photo(tmp_path / f"a{suffix}", size=(40, 40))
        with pytest.raises(ImageError, match="too large"):
            load_image(path)


def test_huge_jpeg_is_decoded_smaller_rather_than_refused(tmp_path, monkeypatch):
    path = write_photo(tmp_path / "a.jpg", size=(400, 320))
    monkeypatch.setattr(decode, "MAX_PIXELS", 400 * 320 // 4)
    assert load_image(path).size == (200, 160)
    monkeypatch.setattr(decode, "MAX_JPEG_PIXELS", 400 * 320 - 1)
    with pytest.raises(ImageError, match="too large"):
        load_image(path)


def test_min_side_never_decodes_below_what_was_asked(tmp_path):
    path = write_photo(tmp_path / "a.jpg", size=(800, 600))
    assert load_image(path, min_side=75).size == (100, 75)
    assert load_image(path, min_side=76).size == (200, 150)
    assert load_image(path, min_side=600).size == (800, 600)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_max_side_keeps_the_aspect(tmp_path, suffix):
    path = write_photo(tmp_path / f"a{suffix}", size=(1000, 500))
    assert load_image(path, 256).size == (256, 128)
    assert load_image(path, 4000).size == (1000, 500)


def test_heic_is_read_or_refused_with_the_command_that_helps(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(_two_colours((64, 48))).save(tmp_path / "a.heic")
    assert probe(tmp_path / "a.heic").format == "HEIF"
    red, _, blue = load_image(tmp_path / "a.heic").getpixel((5, 20))
    assert red > 200 and blue < 60
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    decode._register_heic.cache_clear()
    try:
        with pytest.raises(ImageError) as caught:
            load_image(tmp_path / "a.heic")
    finally:
        decode._register_heic.cache_clear()
    assert "seedcap[heic]" in caught.value.next_step


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".jpg", ".png", ".gif", ".webp", ".bmp", ".tif"]))
def test_a_mutated_file_is_read_or_refused_never_more(tmp_path, data, suffix):
    path = tmp_path / f"whole{suffix}"
    if not path.exists():
        write_photo(path, size=(60, 40))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    mutated = tmp_path / f"mutated{suffix}"
    mutated.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for read in (probe, load_image):
        try:
            read(mutated)
        except ImageError as error:
            assert error.message


# -- formats ----------------------------------------------------------------------------------------------------------

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
    path = _save(_two_colours((80, 64)), tmp_path / f"a{suffix}")
    assert probe(path) == ImageInfo(80, 64, _FORMATS[suffix])
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", (80, 64))
    (red, _, blue), (red2, _, blue2) = image.getpixel((10, 32)), image.getpixel((70, 32))
    assert red > 200 > 60 > blue and blue2 > 200 > 60 > red2
    if suffix not in (".jpg", ".tif"):  # of these two Pillow reads no more than the header, too
        assert size_in_header(path.read_bytes()[:HEAD_BYTES]) == (80, 64)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": Image.Exif()}])
def test_every_kind_of_webp_header_tells_the_size(tmp_path, options):
    image = _two_colours((301, 17))
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
    path = _save(_two_colours((96, 64)), tmp_path / f"a{suffix}", **options)
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


# -- preprocessing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize_mode", ["squash", "shortest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_preprocessing_equals_open_clip(resize_mode, interpolation):
    transform = pytest.importorskip("open_clip.transform").image_transform
    rng = np.random.default_rng(0)
    for size in (32, 225):
        theirs = transform(size, False, MEAN, STD, resize_mode, interpolation)
        spec = Preprocess(size, MEAN, STD, resize_mode, interpolation)
        for shape in [(500, 375), (375, 500), (224, 224), (30, 40), (1000, 17), (333, 334), (225, 224), (641, 480)]:
            image = Image.fromarray(rng.integers(0, 256, (shape[1], shape[0], 3), np.uint8))
            ours = preprocess(image, spec)
            assert ours.dtype == np.float32 and ours.shape == (3, size, size) and ours.flags["C_CONTIGUOUS"]
            np.testing.assert_allclose(ours, theirs(image).numpy(), atol=1e-6)


def test_a_very_long_strip_does_not_become_a_huge_picture():
    spec = Preprocess(224, MEAN, STD, "shortest")
    strip = Image.new("RGB", (100_000, 8), (255, 255, 255))
    strip.paste((0, 0, 0), (50_000, 0, 50_008, 8))
    pixels = preprocess(strip, spec)
    assert pixels.shape == (3, 224, 224)
    middle, edge = pixels[0, 112, 150], pixels[0, 112, 10]
    assert middle < edge  # the dark square right of the middle is where it belongs


def test_a_jpeg_is_decoded_smaller_only_where_that_changes_little(tmp_path):
    """Half a grey level of noise already takes some vectors of the starter's encoder beyond a cosine of 0.999."""
    spec = Preprocess(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    small, large, too_small = [], [], []
    for seed in range(4):
        scene = render(sample_scene(seed), size=16 * spec.size)
        for size, found in ((16 * spec.size, large), (16 * spec.size - 2, small)):
            path = tmp_path / f"{seed}-{size}.jpg"
            scene.crop((0, 0, size, size)).save(path, quality=92)
            full = preprocess(load_image(path), spec)
            found.append(255 * np.abs(load_pixels(path, spec) - full).mean())
            if found is large:
                half_as_large = preprocess(load_image(path, min_side=2 * spec.size), spec)
                too_small.append(255 * np.abs(half_as_large - full).mean())
    assert small == [0, 0, 0, 0]  # decoded whole
    assert 0 < np.mean(large) < 0.15 < 0.4 < np.mean(too_small)


def test_large_jpeg_gives_nearly_the_same_pixels_when_decoded_smaller(tmp_path):
    path = write_photo(tmp_path / "a.jpg", size=(1600, 1200), quality=95)
    spec = Preprocess(64, MEAN, STD)
    full = preprocess(load_image(path), spec)
    assert np.abs(load_pixels(path, spec) - full).max() < 0.1
    assert np.abs(load_pixels(path, spec) - full).mean() < 0.02


def test_settings_survive_json_and_key_tells_them_apart():
    spec = Preprocess(224, MEAN, STD, "shortest", "bilinear")
    assert Preprocess.from_dict(__import__("json").loads(__import__("json").dumps(spec.to_dict()))) == spec
    others = [
        Preprocess(225, MEAN, STD, "shortest", "bilinear"),
        Preprocess(224, STD, MEAN, "shortest", "bilinear"),
        Preprocess(224, MEAN, STD, "squash", "bilinear"),
        Preprocess(224, MEAN, STD, "shortest", "bicubic"),
    ]
    assert len({one.key() for one in [spec, *others]}) == 5
    assert Preprocess(224, list(MEAN), list(STD), "shortest", "bilinear").key() == spec.key()


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"size": "x"}, {"mean": [0, 0]}, {"std": [1, 0, 1]}, {"resize_mode": "stretch"}, {"mean": None},
     {"interpolation": "nearest"}, {"std": [1, 1, float("nan")]}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong):
    values = Preprocess(224, MEAN, STD).to_dict() | wrong
    with pytest.raises(ValueError):
        Preprocess.from_dict(values)


# -- thumbnails -------------------------------------------------------------------------------------------------------


def test_thumbnail_is_small_upright_and_made_once(tmp_path, seedcap_home):
    exif = Image.Exif()
    exif[0x0112] = 6
    _two_colours((1000, 600)).save(tmp_path / "a.jpg", exif=exif)
    content = hash_of(tmp_path / "a.jpg")
    path = ensure_thumbnail(tmp_path / "a.jpg", content)
    assert path == thumbnail_path(content) and path.is_relative_to(seedcap_home)
    with Image.open(path) as image:
        assert image.format == "WEBP" and image.size == (154, 256)
    made = path.stat().st_mtime_ns
    (tmp_path / "a.jpg").unlink()  # not needed any more
    assert ensure_thumbnail(tmp_path / "a.jpg", content).stat().st_mtime_ns == made


def test_failed_thumbnail_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError):
        ensure_thumbnail(tmp_path / "a.jpg", "cd" * 32)
    write_photo(tmp_path / "b.png")

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", no_space)
    content = hash_of(tmp_path / "b.png")
    with pytest.raises(OSError):
        ensure_thumbnail(tmp_path / "b.png", content)
    folder = thumbnail_path(content).parent
    assert list(folder.iterdir()) == []


def test_thumbnails_from_many_threads_at_once(tmp_path):
    write_photo(tmp_path / "a.png", size=(600, 400))
    content = hash_of(tmp_path / "a.png")
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: ensure_thumbnail(tmp_path / "a.png", content), range(24)))
    (path,) = paths
    with Image.open(path) as image:
        image.load()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_file_that_holds_something_else_by_now_makes_no_thumbnail_of_what_it_held(tmp_path):
    write_photo(tmp_path / "a.png", seed=1)
    shutil.copy(tmp_path / "a.png", tmp_path / "copy.png")
    content = hash_of(tmp_path / "a.png")
    write_photo(tmp_path / "a.png", seed=2)
    with pytest.raises(ImageError, match="changed"):
        ensure_thumbnail(tmp_path / "a.png", content)
    assert not thumbnail_path(content).exists()
    assert ensure_thumbnail(tmp_path / "copy.png", content) == thumbnail_path(content)


@pytest.mark.parametrize("leave", [lambda whole: b"", lambda whole: whole[:-1], lambda whole: bytes(len(whole))])
def test_what_a_power_cut_left_of_a_thumbnail_is_made_again(tmp_path, leave):
    write_photo(tmp_path / "a.png")
    content = hash_of(tmp_path / "a.png")
    whole = ensure_thumbnail(tmp_path / "a.png", content).read_bytes()
    thumbnail_path(content).write_bytes(leave(whole))
    assert ensure_thumbnail(tmp_path / "a.png", content).read_bytes() == whole
