"""Encoders of each family learn with the captioner and leave as a bundle that gives the same vectors.

One of them in every run: timm's towers with another tokenizer and a sigmoid; CLIP's own are in other tests. The others
take as long again, each: ``SEEDCAP_TEST_FAMILIES=1 pytest tests/onnx/test_family_export.py``.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from core.captioner.captioner import new_captioner
from core.captioner.language_model import load_language_model
from core.captioner.mapper_settings import MapperSettings
from core.encoders.encoder import sharpness
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import QuietContext
from core.onnx.export import ExportRequest, export_job
from core.onnx.session import open_bundle
from core.training.data import CaptionedVectors, make_training_data
from core.training.loop import TrainingConfig, train_stages
from core.training.presets import find_preset, with_overrides
from tests.families import FAMILIES, write_family
from tests.tiny import SENTENCES

ALL = os.environ.get("SEEDCAP_TEST_FAMILIES") == "1"
ALWAYS = ("ViT-B-16-SigLIP",)
ONE_STEP = {
    "stage1.steps": 1, "stage1.minimum_steps": 1, "stage1.fresh_steps": 1, "stage1.pairs": 4, "stage1.texts": 4,
    "stage2.steps": 1, "stage2.photos": 2, "stage2.samples": 2, "stage2.max_tokens": 8, "stage2.seed_rows": 2,
    "stage2.sentences": 8, "stage1.folds": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "family", [one for one in FAMILIES if ALL or one.architecture in ALWAYS], ids=lambda one: one.architecture
)
def test_a_family_learns_in_both_stages_and_leaves_as_a_bundle(family, tiny_starter, tmp_path):
    encoder = load_encoder(f"open_clip:local-dir:{write_family(tmp_path / 'encoder', family)}")
    rng, size = np.random.default_rng(0), encoder.preprocess.size
    pixels = rng.normal(rng.normal(size=(10, 3, 1, 1)), 1.0, (10, 3, size, size)).astype(np.float32)
    vectors, captions, ids = encoder.encode_images(pixels), tuple((one,) for one in SENTENCES), np.arange(10)
    data = make_training_data(
        CaptionedVectors(ids[:3], vectors[:3], captions[:3]),
        CaptionedVectors(ids[3:5], vectors[3:5], captions[3:5]),
        (ids[5:], vectors[5:], [str(one) for one in range(5)]),
    )
    mapper = MapperSettings("linear", prefix_length=2)
    captioner = new_captioner(encoder, load_language_model("starter"), mapper, seed=0)
    preset = with_overrides(find_preset("recommended"), ONE_STEP)
    report = train_stages(data, captioner, encoder, TrainingConfig(preset, fresh=True), tmp_path, QuietContext())
    assert {"before", "stage1", "stage2"} == set(report.results)

    export_job(QuietContext(), ExportRequest(str(tmp_path / "stage2"), tmp_path / "bundle"))
    theirs = open_bundle(tmp_path / "bundle").encoder
    assert np.allclose(theirs.encode_images(pixels), vectors, atol=1e-4)
    texts = [*SENTENCES, "A Dog_house, isn't: it?!", "dog " * 90]
    assert np.allclose(theirs.encode_texts(texts), encoder.encode_texts(texts), atol=1e-4)
    assert sharpness(theirs) == sharpness(encoder) > 4
