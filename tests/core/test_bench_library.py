"""``bench library`` on a few hundred photos: the figures are there, the parts do what they say. No time is asserted."""

from __future__ import annotations

import json

import pytest

from core import cli
from core.bench import library, library_parts
from core.errors import UserError
from core.images.decode import probe
from core.jobs import QuietContext
from core.library import paging, queries
from core.library.library import Library
from tests.core.photos import look


def test_the_bench_writes_every_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "OPENINGS", 1)
    monkeypatch.setattr(library, "SCANS_OF_FEW", 1)
    monkeypatch.setattr(library, "QUERIES", 14)
    out = tmp_path / "bench.json"
    assert cli.main(["bench", "library", "--photos", "100", "--json", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    measures = {measure["name"]: measure for measure in document["measures"]}
    aims = {name: measure["aim"] for name, measure in measures.items() if measure["aim"] is not None}
    assert aims == {"scan_slowdown": 1.1, "open_s": 0.3, "filter_p99_ms": 50, "fts_p99_ms": 50, "rss_mb": 300}
    assert {"scan_rate", "scan_rate_at_50", "open_s_at_50", "rss_mb_at_50"} <= set(measures)
    assert all(measure["value"] > 0 for measure in measures.values())
    ratio = measures["scan_rate_at_50"]["value"] / measures["scan_rate"]["value"]
    assert measures["scan_slowdown"]["value"] == pytest.approx(ratio)


def test_too_few_photos_are_refused():
    with pytest.raises(UserError, match="nothing to compare"):
        library.run(QuietContext(), library.LibraryBenchRequest(99))


def test_the_photos_are_whole_and_all_different(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "PHOTOS_A_FOLDER", 10)
    library.make_photos(tmp_path / "photos", 25, QuietContext())
    paths = sorted((tmp_path / "photos").rglob("*.jpg"))
    assert [len(list(folder.iterdir())) for folder in sorted((tmp_path / "photos").iterdir())] == [10, 10, 5]
    assert {probe(path).format for path in paths} == {"JPEG"}
    with Library.create(tmp_path / "lib") as opened:
        assert look(opened, tmp_path / "photos").added == 25
        hashes = {content_hash for _, content_hash in queries.contents(opened)}
    assert len(hashes) == 25


def test_what_is_asked_finds_something(tmp_path):
    """A benchmark of questions without answers would measure nothing."""
    library.make_photos(tmp_path / "photos", 200, QuietContext())
    with Library.create(tmp_path / "lib") as opened:
        look(opened, tmp_path / "photos")
    assert library_parts.fill(tmp_path / "lib.seedcap")["captions"] == 200
    with Library.open(tmp_path / "lib.seedcap") as opened:
        found = [
            [len(paging.page(opened, text, limit=400).ids) for text in texts]
            for texts in (library_parts.filters(14), library_parts.searches(14))
        ]
        assert queries.counts(opened).seeds == 2
    for numbers in found:
        assert sum(number > 0 for number in numbers) > len(numbers) / 3
        assert max(numbers) > 50
