"""``bench app``: what its measures are made of. The window itself is measured by hand; no time is asserted."""

from __future__ import annotations

import json

import pytest

from core import cli
from core.bench import app
from core.bench.library import make_library
from core.bench.parts import run_part
from core.errors import UserError
from core.jobs import QuietContext

SCROLLED = {
    "quiet_ms": [1.0] * 100, "busy_ms": [2.0] * 99 + [70.0], "work_ms": [1.0] * 99 + [9.0], "rss_mb": 180.0,
}  # fmt: skip


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Stands for the window: what each part was asked, and what it answers."""
    asked: list[tuple[str, ...]] = []
    answers = {
        "start": {"shown_at": 0.0, "processor_s": 0.7, "forbidden": []},
        "paint": {"rows_s": 0.2, "pictures_s": 0.4},
        "scroll": {**SCROLLED, "trained": True, "forbidden": ["torch"]},
    }

    def answer(module, name, *arguments, environment):
        assert module == "gui.bench_parts" and environment["QT_QPA_PLATFORM"] == "offscreen"
        asked.append((name, *arguments))
        return answers[name]

    monkeypatch.delenv(app.PLATFORM, raising=False)
    monkeypatch.setattr(app, "run_part", answer)
    monkeypatch.setattr(app, "make_library", lambda place, photos, ctx: place / "many.seedcap")
    monkeypatch.setattr(app, "make_sample", lambda place, ctx: place / "sample.seedcap")
    return asked, answers


def test_the_bench_writes_every_measure(parts, tmp_path):
    out = tmp_path / "app.json"
    assert cli.main(["bench", "app", "--photos", "100", "--json", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    measures = {measure["name"]: measure for measure in document["measures"]}
    aims = {name: measure["aim"] for name, measure in measures.items() if measure["aim"] is not None}
    assert aims == {
        "start_s": 1.0, "forbidden_modules": 0, "first_paint_s": 0.3, "stall_p99_ms": 33, "stall_max_ms": 100,
        "rss_mb": 250,
    }  # fmt: skip
    assert measures["stall_max_ms"]["value"] == 70 and measures["stall_p99_ms"]["value"] < 33
    assert measures["forbidden_modules"]["value"] == 1 and measures["forbidden_modules"]["met"] is False
    assert "torch" in document["notes"][0]
    assert [name for name, *_ in parts[0]] == ["start"] * app.STARTS + ["paint"] * (1 + app.OPENINGS) + ["scroll"]


def test_a_training_that_ends_too_early_is_told(parts):
    parts[1]["scroll"]["trained"] = False
    assert "The training was over" in app.run(QuietContext(), app.AppBenchRequest(100)).notes[-1]


def test_too_few_photos_are_refused():
    with pytest.raises(UserError, match="nothing to scroll"):
        app.run(QuietContext(), app.AppBenchRequest(99))


def test_a_part_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'nonsense'"):
        run_part("core.bench.library_parts", "nonsense", "lib")


def test_the_window_shows_one_library_after_another(tmp_path):
    libraries = [make_library(tmp_path / name, 20, QuietContext()) for name in ("many", "sample")]
    home = {"SEEDCAP_HOME": str(tmp_path / "home"), app.PLATFORM: "offscreen"}
    shown = run_part("gui.bench_parts", "paint", *map(str, libraries), environment=home)
    assert 0 < shown["rows_s"] <= shown["pictures_s"]
