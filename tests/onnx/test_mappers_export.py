"""Bundles of captioners with other mappers than the starter's say what the models say."""

from __future__ import annotations

import shutil

import pytest
import torch

from core.captioner.captioner import new_captioner, pad
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.captioner.mapper_settings import MapperSettings
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import QuietContext
from core.onnx import graphs
from core.onnx.bundle import DECODER
from core.onnx.export import ExportRequest, export_job
from core.onnx.quantize import _cosines
from core.onnx.session import open_bundle
from tests.tiny import SENTENCES, random_pixels


@pytest.fixture
def encoder_graphs(monkeypatch, tiny_bundle):
    """Copies the encoder's graphs, which are the same for every captioner, instead of exporting them again."""

    def copy(name):
        def export(_encoder, path):
            shutil.copy(tiny_bundle / name, path)
            return False

        return export

    monkeypatch.setattr(graphs, "export_image_graph", copy("image_encoder.onnx"))
    monkeypatch.setattr(graphs, "export_text_graph", copy("text_encoder.onnx"))


@pytest.mark.parametrize(
    "settings",
    [
        MapperSettings("linear", prefix_length=2),
        MapperSettings("transformer", prefix_length=3, layers=2, heads=4, clip_length=5),
    ],
    ids=lambda one: one.kind,
)
def test_parity_with_another_mapper(tiny_starter, encoder_graphs, tmp_path, settings):
    encoder = load_encoder("starter")
    captioner = new_captioner(encoder, load_language_model("starter"), settings, seed=1)
    captioner.mapper.sentences = torch.from_numpy(encoder.encode_texts(SENTENCES)).half().float()
    vectors = torch.from_numpy(encoder.encode_images(random_pixels(4 * len(SENTENCES))))
    ids = pad(captioner.encode(SENTENCES)).repeat(4, 1)
    optimiser = torch.optim.Adam(captioner.mapper.parameters(), lr=1e-2)
    for _ in range(30):  # so that captions differ from photo to photo
        optimiser.zero_grad()
        captioner.loss(vectors, ids).backward()
        optimiser.step()
    save_captioner(captioner, tmp_path / "stage1", with_lm=False)
    report = export_job(QuietContext(), ExportRequest(str(tmp_path / "stage1"), tmp_path / "bundle"))
    assert report.parity.identical == report.parity.photos == 24
    assert open_bundle(tmp_path / "bundle").manifest.decoder.prefix_length == settings.prefix_length
    assert len(_cosines(tmp_path / "bundle" / DECODER)) == 2, "int8 leaves the two products with the sentences exact"
