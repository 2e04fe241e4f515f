"""Bundles to look at and bundles to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def exported(exported_tiny_starter):
    """``(report, folder)`` of the tiny starter's bundle; never write into this folder."""
    return exported_tiny_starter


@pytest.fixture
def own_bundle(tiny_bundle, tmp_path) -> Path:
    """A copy of the tiny bundle to damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def quick_graphs(monkeypatch, tiny_bundle, tiny_starter):
    """Copies the tiny starter's graphs instead of exporting them again."""
    from core.onnx import graphs

    def copy(name, result=None):
        def export(_model, *rest):
            shutil.copy(tiny_bundle / name, rest[-1])
            return result

        return export

    monkeypatch.setattr(graphs, "export_image_graph", copy("image_encoder.onnx"))
    monkeypatch.setattr(graphs, "export_text_graph", copy("text_encoder.onnx", False))
    monkeypatch.setattr(graphs, "export_decoder_graph", copy("decoder.onnx"))
