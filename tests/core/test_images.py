"""Decoding and thumbnails."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core import machine
from core.images import decode
from core.images.content import hash_of
from core.images.decode import ImageError, load_image, probe
from core.images.thumbnails import ensure_thumbnail, thumbnail_path
from tests.core.photos import png_header, two_colours, write_photo

# Where the red half (left in the stored pixels) is to be seen, for each EXIF orientation.
_RED_SIDE = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [None, 20])
def test_photo_is_turned_the_way_it_was_held(tmp_path, orientation, max_side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    two_colours().save(tmp_path / "a.png", exif=exif)
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
    two_colours().save(tmp_path / "a.jpg", exif=exif)
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
    heif.from_pillow(two_colours((64, 48))).save(tmp_path / "a.heic")
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


def test_a_build_that_reads_no_heic_does_not_say_to_install_something_into_it(monkeypatch):
    monkeypatch.setattr(machine, "is_built", lambda: True)
    assert machine.heic_advice().startswith("An installed build cannot read them. Save them as JPEG")


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


# -- thumbnails -------------------------------------------------------------------------------------------------------


def test_thumbnail_is_small_upright_and_made_once(tmp_path, seedcap_home):
    exif = Image.Exif()
    exif[0x0112] = 6
    two_colours((1000, 600)).save(tmp_path / "a.jpg", exif=exif)
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
