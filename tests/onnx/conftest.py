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
