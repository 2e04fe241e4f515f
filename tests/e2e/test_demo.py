"""The whole journey, thin: the headless demo on a tiny starter, from rendered photos to captions by the bundle."""

import json
from dataclasses import replace

import pytest

import core.demo
from core.bench.demo import measured
from core.cli import main
from core.demo import DemoRequest, demo_job
from core.demo_captions import SeedOrder, write_seeds
from core.errors import UserError
from core.jobs import QuietContext
from core.library import edits
from core.library.library import Library
from core.library.queries import seeds
from core.library.scan import scan
from core.starter.scenes_library import read_truth, write_sample_library
from core.starter.scenes_words import DEMO
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
    assert document["kept"] in ("before", "stage1", "stage2")
    assert document["parity"] == {"photos": 14, "identical": 14}
    assert {row["file"] for row in document["captions"]} == {s.file for s in read_truth(out / "photos")}
    assert all(row["caption"] for row in document["captions"])
    assert (out / "demo.seedcap" / "library.db").is_file()
    assert "Kept:" in report.table()
    assert "(finds this photo " in report.table()
    assert {row["rank"] > 0 for row in document["captions"]} == {True}
    bench = {measure.name: measure for measure in measured(report).measures}
    assert bench["recall_gain"].value == bench["stage2_truth_recall"].value - bench["stage1_truth_recall"].value
    assert (bench["parity_share"].value, bench["parity_share"].met) == (1.0, True)


def test_the_demo_refuses_a_folder_in_use(tmp_path):
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        demo_job(QuietContext(), DemoRequest(out=tmp_path))
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


def test_real_photos_need_captions_for_the_seeds(tiny_starter, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=r"captions\.csv is missing"):
        demo_job(QuietContext(), DemoRequest(photos=tmp_path / "photos"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("picture,words\na.png,a kite\n", "which column is the photo"),
        ("", "is empty"),
        ("image,caption\nother.png,a kite\n", "Only 0 photos have captions"),
    ],
)
def test_captions_that_make_no_sense_are_refused_in_words(tiny_starter, tmp_path, content, said):
    write_sample_library(tmp_path / "photos", 3, DEMO, seed=3, size=64)
    (tmp_path / "photos" / "captions.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        demo_job(QuietContext(), DemoRequest(photos=tmp_path / "photos"))


def test_real_photos_with_captions_of_an_old_spreadsheet_and_a_damaged_file(
    tiny_starter, tmp_path, monkeypatch, capsys
):
    """Latin-1, other columns, photos in folders; the damaged photo is listed and the exit status says so."""
    photos = tmp_path / "photos"
    told = [s.captions[0] for s in write_sample_library(photos / "sub", 12, DEMO, seed=3, size=64)]
    files = sorted((photos / "sub").glob("*.jpg"))
    rows = [f"{file.name};{text}, un caf\xe9;x" for file, text in zip(files, told, strict=True)]
    (photos / "captions.csv").write_bytes("\n".join(["file;caption;who", *rows]).encode("latin-1"))
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    real = core.demo.demo_job
    monkeypatch.setattr(core.demo, "demo_job", lambda ctx, request: real(ctx, replace(request, overrides=SHORT)))
    result = tmp_path / "result.json"
    code = main(["demo", "--headless", "--photos", str(photos), "--seeds", "6", "--json", str(result)])
    document = json.loads(result.read_text("utf-8"))
    assert code == 1
    assert (document["photos"], document["seeds"]) == (12, 6)
    assert [row["file"] for row in document["failed"]] == ["broken.jpg"]
    out = capsys.readouterr().out
    assert "1 could not be captioned:\n  broken.jpg: " in out and "None" not in out


def test_the_app_takes_captions_of_photos_in_once(tmp_path):
    photos = tmp_path / "photos"
    write_sample_library(photos, 6, DEMO, seed=3, size=64)
    with Library.create(tmp_path / "lib") as library:
        scan(library, photos, QuietContext())
        order = SeedOrder(library.path, photos, 3)
        assert write_seeds(QuietContext(), order) == 3
        assert len(seeds(library)) == 3 and edits.can_undo(library) == "Captions from captions.csv"
        assert write_seeds(QuietContext(), order) == 0
