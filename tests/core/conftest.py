"""What several tests of one part begin with; a file that needs another one defines its own."""

from __future__ import annotations

import pytest

from core.batch.requests import CaptionOptions, CaptionRequest
from core.library.library import Library


@pytest.fixture
def library(tmp_path):
    """An empty library."""
    with Library.create(tmp_path / "test") as library:
        yield library


@pytest.fixture
def request_for(tiny_bundle, photos, tmp_path):
    """Builds a request for the folder of photos; small batches, so that there are several."""

    def build(out: str = "out.jsonl", **changes) -> CaptionRequest:
        options = CaptionOptions(batch=4, threads=1, **changes.pop("options", {}))
        return CaptionRequest(photos, tmp_path / out, tiny_bundle, options=options, **changes)

    return build
