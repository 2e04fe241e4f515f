"""Photos as the encoder is given them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.images.decode import load_image
from core.images.preprocess import Preprocess, load_pixels, preprocess
from core.starter.scenes import sample_scene
from core.starter.scenes_render import render
from tests.core.photos import write_photo

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


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
