"""Loading open_clip models by name, and their vectors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from tests.tiny import DIM, SENTENCES, random_pixels, write_tiny_encoder


@pytest.fixture
def encoder(tiny_starter):
    return load_encoder("starter")


@pytest.fixture
def folder(tiny_starter, tmp_path):
    return shutil.copytree(tiny_starter / "encoder", tmp_path / "encoder")


def edit(folder, part, **changes):
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    config[part] |= changes
    file.write_text(json.dumps(config))


def test_vectors_are_unit_rows_that_tell_pictures_apart(encoder):
    images, texts = encoder.encode_images(random_pixels(6)), encoder.encode_texts(SENTENCES)
    for vectors in (images, texts):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == encoder.dim == DIM
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (images @ images.T)[np.triu_indices(6, 1)].max() < 0.97


def test_text_vectors_are_open_clips_own(encoder):
    texts = ["A dog.", *SENTENCES, "", "dog " * 60]
    for prompt in (True, False):
        ids = encoder.tokenizer([encoder.prompt + text if prompt else text for text in texts])
        full = F.normalize(encoder.model.encode_text(ids), dim=-1).numpy()
        assert np.allclose(encoder.encode_texts(texts, prompt=prompt), full, atol=1e-5)
    assert not np.allclose(encoder.encode_texts(texts), encoder.encode_texts(texts, prompt=False), atol=1e-2)


def test_image_vectors_are_open_clips_own(encoder):
    pixels = random_pixels(3)
    full = F.normalize(encoder.model.encode_image(torch.from_numpy(pixels)), dim=-1).numpy()
    assert np.allclose(encoder.encode_images(pixels), full, atol=1e-6)


def test_nothing_in_gives_nothing_out(encoder):
    assert encoder.encode_texts([]).shape == (0, DIM)
    assert encoder.encode_images(np.zeros((0, 3, 32, 32), np.float32)).shape == (0, DIM)


def test_captions_that_are_cut_are_counted(encoder):
    assert encoder.count_too_long(["A dog.", "dog " * 60]) == 1
    assert encoder.count_too_long([]) == 0


def test_the_model_is_frozen(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    assert not encoder.model.training


@pytest.mark.parametrize("tower", ["timm", "vit"])
def test_any_open_clip_folder_loads(tmp_path, tower):
    folder = write_tiny_encoder(tmp_path / "model", image_tower=tower)
    encoder = load_encoder(f"open_clip:local-dir:{folder}")
    assert encoder.id == f"open_clip:local-dir:{folder}"
    assert encoder.encode_images(random_pixels(2)).shape == (2, DIM)


def test_the_fingerprint_is_of_weights_and_preprocessing_not_of_the_place(encoder, folder, tmp_path):
    def fingerprint(place):
        return load_encoder(f"open_clip:local-dir:{place}").fingerprint

    assert fingerprint(folder) == encoder.fingerprint
    assert fingerprint(write_tiny_encoder(tmp_path / "other", seed=1)) != encoder.fingerprint
    edit(folder, "preprocess_cfg", resize_mode="shortest")
    assert fingerprint(folder) != encoder.fingerprint


def test_preprocessing_is_read_from_the_model(folder):
    edit(folder, "preprocess_cfg", resize_mode="shortest", interpolation="bilinear", mean=[0.1, 0.2, 0.3])
    spec = load_encoder(f"open_clip:local-dir:{folder}").preprocess
    assert (spec.size, spec.resize_mode, spec.interpolation, spec.mean) == (32, "shortest", "bilinear", (0.1, 0.2, 0.3))


def test_preprocessing_that_seedcap_cannot_do_is_refused(folder):
    edit(folder, "preprocess_cfg", resize_mode="longest")
    with pytest.raises(UserError, match="longest"):
        load_encoder(f"open_clip:local-dir:{folder}")


def test_pickled_weights_are_not_opened(folder):
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load_encoder(f"open_clip:local-dir:{folder}")


def test_damaged_folders_are_refused_in_words(folder):
    name = f"open_clip:local-dir:{folder}"
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="could not be loaded"):
        load_encoder(name)
    (folder / "open_clip_config.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_encoder(name)
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(UserError, match=r"open_clip_config\.json"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["", "ViT-B-32", "open_clip:", "open_clip:ViT-B-32", "open_clip:No/thing", "hf:x"])
def test_names_that_mean_nothing_are_refused_in_words(name):
    with pytest.raises(UserError) as refused:
        load_encoder(name)
    assert refused.value.next_step


def test_without_the_starter_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SEEDCAP_STARTER", str(tmp_path))
    with pytest.raises(UserError, match="starter encoder"):
        load_encoder("starter")
