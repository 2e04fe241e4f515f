"""What every test of the window needs: no display, a home of its own, no questions asked of the desktop."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture
def seedcap_home(tmp_path, monkeypatch):
    """A data, cache, config and log folder for this test alone; worker processes inherit it."""
    home = tmp_path / "home"
    monkeypatch.setenv("SEEDCAP_HOME", str(home))
    return home
