"""The whole journey, thin: the headless demo on a tiny starter, from rendered photos to captions by the bundle."""

import json

import pytest

import core.demo
from core.demo import DemoRequest, demo_job
from core.errors import UserError
from core.jobs import QuietContext
from core.starter.scenes_library import read_truth
from tests.tiny import write_tiny_starter

SHORT = {"stage1.steps": 4, "stage1.minimum_steps": 2, "stage1.fresh_steps": 2, "stage2.steps": 2, "stage2.photos": 4}
STAGE = {"clip_s", "r1", "mrr", "cider", "truth_precision", "truth_recall", "unique_ratio", "rep2"}


@pytest.fixture
def tiny_starter(tmp_path, monkeypatch):
    monkeypatch.setenv("SEEDCAP_STARTER", str(write_tiny_starter(tmp_path / "starter", steps=40)))


def test_the_demo_goes_from_photos_to_captions(tiny_starter, tmp_path, monkeypatch):
    monkeypatch.setattr(core.demo, "SCENES", 14)
    out = tmp_path / "out"
    report = demo_job(QuietContext(), DemoRequest(seeds=6, out=out, overrides=SHORT))
    document = json.loads(json.dumps(report.to_dict()))
    assert document["photos"] == 14
    assert document["seeds"] == 6
    assert STAGE == document["stage1"].keys() == document["stage2"].keys()
    assert document["kept"] in ("starter", "stage1", "stage2")
    assert document["parity"] == {"photos": 14, "identical": 14}
    assert {row["file"] for row in document["captions"]} == {s.file for s in read_truth(out / "photos")}
    assert all(row["caption"] for row in document["captions"])
    assert (out / "demo.seedcap" / "library.db").is_file()
    assert "Kept:" in report.table()


def test_the_demo_refuses_a_folder_in_use(tmp_path):
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        demo_job(QuietContext(), DemoRequest(out=tmp_path))
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


def test_real_photos_need_captions_for_the_seeds(tiny_starter, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=r"captions\.csv is missing"):
        demo_job(QuietContext(), DemoRequest(photos=tmp_path / "photos"))
