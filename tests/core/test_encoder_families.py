"""Each family of open_clip through the real loaders: preprocessing, context, cleaning and scale are its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from core.encoders.open_clip_encoder import load_encoder
from core.images.preprocess import load_pixels
from core.onnx.text import EncoderTokenizer, load_tokenizer
from core.onnx.tokenizer_files import encoder_tokenizer_file
from tests.families import FAMILIES, write_family
from tests.tiny import SENTENCES

ODD = ("A Dog_house, isn't: it?!", "two   “red”  balls…", "", "Ein Café am Meer; 3 Möwen.", "dog " * 90)


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.architecture)
def loaded(request, tmp_path_factory):
    family = request.param
    folder = write_family(tmp_path_factory.mktemp("families") / family.architecture, family)
    return family, folder, load_encoder(f"open_clip:local-dir:{folder}")


def test_vectors_are_those_that_open_clip_makes_of_the_same_photo_and_texts(loaded, tmp_path):
    import open_clip

    _, folder, encoder = loaded
    rng = np.random.default_rng(3)
    photo = tmp_path / "photo.png"
    small = Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8))
    small.resize((300, 200), Image.Resampling.BICUBIC).save(photo)
    made: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model, _, theirs = made
    prepared = theirs(Image.open(photo))
    pixels = load_pixels(photo, encoder.preprocess)
    assert pixels.shape == tuple(prepared.shape)
    assert np.abs(pixels - prepared.numpy()).max() < 0.05  # of numbers that span four: no other cut, no other scale
    with torch.inference_mode():
        image = F.normalize(model.eval().encode_image(torch.from_numpy(pixels[None])), dim=-1).numpy()
        text = F.normalize(model.encode_text(encoder.tokenizer([*SENTENCES, *ODD])), dim=-1).numpy()
    assert np.allclose(encoder.encode_images(pixels[None]), image, atol=1e-5)
    assert np.allclose(encoder.encode_texts([*SENTENCES, *ODD], prompt=False), text, atol=1e-5)


def test_context_and_trimming_follow_the_text_tower(loaded):
    family, _, encoder = loaded
    assert encoder.context_length == (64 if family.sigmoid else 77)
    # Where words see those behind them, padding is part of what the tower reads, and must not be cut off.
    assert encoder.trims_texts == (family.architecture in ("ViT-B-32", "EVA02-B-16"))
    assert encoder.token_ids(["A dog."]).shape[1] == (
        encoder.context_length if not encoder.trims_texts else encoder.token_ids(["A dog."]).argmax(1)[0] + 1
    )
    assert float(encoder.logit_scale) == pytest.approx(family.scale, rel=1e-4)


def test_captions_too_long_are_counted_as_the_tower_reads_them(loaded):
    """By what is left after cleaning: punctuation that SigLIP never sees makes no caption too long."""
    _, _, encoder = loaded
    texts = [*(f"{'a dog, ' * count}" for count in range(5, 60)), "a dog" + " !?" * 80]

    def tokens(text):
        wide = encoder.tokenizer([text], context_length=600)[0]
        ended = encoder.tokenizer([""], context_length=600)[0]
        return int((wide != ended[-1]).nonzero().max()) + 1 + (1 if ended[0] == ended[-1] else 0)

    lengths = [tokens(text) for text in texts]
    assert any(length > encoder.context_length for length in lengths)
    for text, length in zip(texts, lengths, strict=True):
        assert encoder.count_too_long([text], prompt=False) == (length > encoder.context_length), (text, length)


@pytest.mark.parametrize("loaded", [one for one in FAMILIES if one.sigmoid], indirect=True, ids=lambda one: one.name)
def test_a_bundle_reads_texts_as_the_model_does(loaded, tmp_path):
    """CLIP's own words are in tests/onnx/test_export.py; these two clean them away before they look."""
    _, _, encoder = loaded
    file = encoder_tokenizer_file(encoder.tokenizer)
    (tmp_path / "tokenizer.json").write_text(file.content, encoding="utf-8")
    ours = EncoderTokenizer(
        load_tokenizer(tmp_path / "tokenizer.json"), encoder.context_length, file.pad_token_id, True
    )
    texts = [*SENTENCES, *ODD]
    assert np.array_equal(ours(texts), encoder.tokenizer(texts).numpy())
