"""From the name of a model on a hub to captions: got once, then trained, bundled and captioned without a network."""

from __future__ import annotations

import json

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from core import cli
from core.captioner.checkpoint import load_captioner
from core.captioner.decoding import decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.hub.cache import require
from core.images.decode import load_image
from core.images.preprocess import preprocess
from core.jobs import QuietContext
from core.library.edits import add_seed
from core.library.library import Library
from core.library.queries import images_of
from core.library.runs import encoder_name, runs
from core.library.scan import scan
from core.onnx.session import open_bundle
from core.training.job import TrainRequest, train_job
from core.training.runfolder import kept_checkpoint
from tests.core.test_models_by_name import TAGGED, architecture
from tests.tiny import SENTENCES, random_pixels

__all__ = ["architecture"]

ENCODER, LM = "open_clip:hf-hub:tiny/clip", "hf:tiny/lm"
FAST = {
    "stage1.steps": 8, "stage1.minimum_steps": 2, "stage1.evaluate_every": 4, "stage1.pairs": 4, "stage1.texts": 4,
    "stage1.fresh_steps": 2, "stage2.steps": 2, "stage2.evaluate_every": 2, "stage2.photos": 4, "stage2.samples": 2,
    "stage2.max_tokens": 12, "stage1.folds": 0,
}  # fmt: skip


def test_from_a_name_to_captions_offline(hub, architecture, tiny_starter, tmp_path, monkeypatch):
    """``models get``, then without any network ``train``, ``bundle`` and ``caption``."""
    for name in (TAGGED, LM):
        assert cli.main(["models", "get", name, "--yes"]) == 0
    hub.status = 503
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    library, photos = tmp_path / "trip.seedcap", tmp_path / "photos"
    write_library(library, photos)
    settings = [f"--set={key}={value}" for key, value in FAST.items()]
    assert cli.main(["train", str(library), "--encoder", TAGGED, "--lm", LM, *settings]) == 0
    with Library.open(library) as opened:
        run = runs(opened)[0]
        assert (encoder_name(run), run.config["request"]["lm"]) == (TAGGED, LM)
    bundle, out = tmp_path / "bundle", tmp_path / "captions.jsonl"
    assert cli.main(["bundle", str(run.folder), str(bundle)]) == 0
    assert json.loads((bundle / "manifest.json").read_text())["encoder"]["id"] == TAGGED
    assert cli.main(["caption", str(photos), "--bundle", str(bundle), "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 16 and not any(row["error"] for row in rows)
    assert all(row["caption"] for row in rows)
    assert {row["file"]: row["caption"] for row in rows} == said_by_the_model(run.folder, bundle, photos)
    assert len(hub.asked) == asked


def test_training_brings_the_models_that_it_names(hub, models_on_hub, tiny_starter, tmp_path):
    """Where the network fails in that, the run fails with the sentence about it, and no run is begun."""
    library = tmp_path / "trip.seedcap"
    write_library(library, tmp_path / "photos")
    hub.status = 503
    with pytest.raises(UserError, match="HTTP 503"):
        train_job(QuietContext(), TrainRequest(library, encoder=ENCODER, overrides=FAST))
    hub.status = 200
    hub.breaks_after["model.safetensors"], hub.breaks_always = 0, True
    with pytest.raises(UserError, match="tiny/lm"):
        train_job(QuietContext(), TrainRequest(library, encoder=ENCODER, lm=LM, overrides=FAST))
    assert require(ENCODER)
    with Library.open(library) as opened:
        assert runs(opened) == []


def said_by_the_model(run, bundle, photos):
    """What the trained model itself says of the photos, by torch and without the bundle's graphs."""
    encoder = load_encoder(TAGGED)
    captioner = load_captioner(kept_checkpoint(run), encoder.fingerprint)
    files = sorted(photos.iterdir())
    vectors = encoder.encode_images(np.stack([preprocess(load_image(file), encoder.preprocess) for file in files]))
    found = decode(TorchDecoder(captioner), vectors, open_bundle(bundle).decoding(), QuietContext())
    return {file.name: captioner.decode(ranked[0].tokens) for file, ranked in zip(files, found, strict=True)}


def write_library(folder, photos):
    """Sixteen photos, eight of them with a seed."""
    photos.mkdir()
    pixels = ((random_pixels(16, seed=5).transpose(0, 2, 3, 1) * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(photos / f"{i:02}.png")
    with Library.create(folder) as made:
        scan(made, photos, QuietContext())
        for i, row in enumerate(images_of(made)[:8]):
            add_seed(made, row.id, SENTENCES[i % 8])
