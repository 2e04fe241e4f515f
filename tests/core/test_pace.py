"""How long captioning takes is told from the last one, else from the processor."""

import pytest

from core import machine, paths
from core.batch.pace import expected, keep_pace
from core.machine import GemmRate


def test_without_a_captioning_the_processor_tells(seedcap_home, monkeypatch):
    monkeypatch.setattr(machine, "quick_rate", lambda: GemmRate(10.0, "numpy", "chip"))
    found = expected("starter 3", 1000)
    assert (found.low, found.high) == (pytest.approx(600 * 0.7), pytest.approx(600 * 1.4)) and not found.measured


def test_the_model_s_own_captioning_counts_most(seedcap_home):
    keep_pace("starter 3", 100, 50.0)
    keep_pace("run 1", 100, 200.0)
    for model, pace in (("starter 3", 0.5), ("run 1", 2.0), ("never seen", 2.0)):
        found = expected(model, 10)
        assert found.measured and found.low < pace * 10 < found.high
    keep_pace("starter 3", 3, 900.0)  # of three photos: most of it was loading
    assert expected("starter 3", 10).high < 10


@pytest.mark.parametrize("content", ["", "[1]", '{"": "fast"}', '{"": 0}', '{"": Infinity}', '{"a'])
def test_a_damaged_file_is_as_good_as_none(seedcap_home, monkeypatch, content):
    monkeypatch.setattr(machine, "quick_rate", lambda: GemmRate(10.0, "numpy", "chip"))
    paths.cache_dir().mkdir(parents=True)
    (paths.cache_dir() / "captioning-pace.json").write_text(content)
    assert not expected("starter 3", 10).measured
    keep_pace("starter 3", 100, 50.0)
    assert expected("starter 3", 10).measured
