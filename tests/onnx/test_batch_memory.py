"""The measure of whether a captioning job grows: it sees a growth, and it runs the whole pipeline."""

from __future__ import annotations

import sys

import pytest

from core.bench.batch_memory import growth_mb, memory_growth_mb
from core.errors import UserError
from tests.core.test_batch import write_photos


def test_a_growth_is_seen_and_a_spike_is_not():
    steady = [(done, 200.0) for done in range(4, 404, 4)]
    assert growth_mb(steady, 100, 300) == 0
    assert growth_mb([(done, mb + done * 0.1) for done, mb in steady], 100, 300) == pytest.approx(20)
    spike = [(done, mb + 50 * (done in (100, 304))) for done, mb in steady]
    assert growth_mb(spike, 100, 300) == 0
    draining = [(done, mb - 60 * (done > 340)) for done, mb in steady]  # fewer photos wait decoded near the end
    assert growth_mb(draining, 100, 300) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_photos_are_captioned_under_many_names(tiny_bundle, tmp_path):
    folder = tmp_path / "photos"
    write_photos(folder, 3)
    assert abs(memory_growth_mb(tiny_bundle, folder, first=8, last=40, batch=4)) < 100
    assert not list(tmp_path.glob("*.jsonl"))


def test_no_photos_is_said(tiny_bundle, tmp_path):
    with pytest.raises(UserError):
        memory_growth_mb(tiny_bundle, tmp_path)
