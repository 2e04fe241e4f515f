"""``evaluate``: what is paired with what, what is refused, and that the figures are of the right things."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from core import cli, evaluation
from core.errors import UserError
from core.evaluation import EvaluateRequest, evaluate_job
from core.exchange.evaluation_files import pair, read_predictions, read_references
from core.images.preprocess import Preprocess
from core.jobs import QuietContext

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class ColourEncoder:
    """A photo is its mean colour, a sentence the colours it names; the prompt adds a little grey."""

    id = "colours"
    fingerprint = "c0104"
    dim = 3
    prompt = "A photo depicts "
    preprocess = Preprocess(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "squash", "bicubic")

    def encode_images(self, pixels):
        return self._unit(pixels.mean(axis=(2, 3)) * 255)

    def encode_texts(self, texts, prompt=True):
        named = [np.mean([COLOURS[w] for w in t.split() if w in COLOURS] or [(1, 1, 1)], axis=0) for t in texts]
        return self._unit(np.array(named) + (100 if prompt else 0))

    @staticmethod
    def _unit(rows):
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prediction(file, caption, error=None):
    return {"file": file, "caption": caption, "score": None, "candidates": [], "error": error}


@pytest.fixture
def files(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (12, 12), colour).save(photos / f"{name}.png")
    references = tmp_path / "captions.csv"
    rows = [f"{split},{name}.png,a {name} thing,x" for name in COLOURS for split in ("dev",)]
    references.write_text("split,image,caption,other\n" + "\n".join(rows) + "\ntrain,extra.png,something else,x\n")
    predictions = write_lines(tmp_path / "out.jsonl", [prediction(f"{n}.png", f"a {n} thing") for n in COLOURS])
    return predictions, references, photos


def test_perfect_captions_get_perfect_figures(files):
    predictions, references, photos = files
    request = EvaluateRequest(predictions, references, images=photos)
    report = evaluate_job(QuietContext(), request, lambda name: ColourEncoder())
    assert report.scored == 3
    assert report.without_prediction == 1
    assert report.metrics["bleu1"] == pytest.approx(100)
    assert report.metrics["unique_ratio"] == 1
    assert report.metrics["r1_t2i"] == 100
    assert report.metrics["r1_i2t"] == 100
    assert report.metrics["clip_s"] < 2.5, "CLIP-S is with the prompt, retrieval without"
    expected = (
        2 * report.metrics["clip_s"] / (report.metrics["clip_s"] + 1)
    )  # the reference term is 1 for the same text
    assert report.metrics["ref_clip_s"] == pytest.approx(expected, rel=1e-4)


def test_the_same_caption_for_all_does_not_look_good(files, tmp_path):
    _, references, photos = files
    same = write_lines(tmp_path / "same.jsonl", [prediction(f"{n}.png", "a red thing") for n in COLOURS])
    request = EvaluateRequest(same, references, images=photos)
    metrics = evaluate_job(QuietContext(), request, lambda name: ColourEncoder()).metrics
    assert metrics["r1_t2i"] <= 100 / 3 + 1e-6
    assert metrics["r1_i2t"] == pytest.approx(100 / 3)
    assert metrics["unique_ratio"] == pytest.approx(1 / 3)


def test_without_photos_no_encoder_is_loaded(files):
    predictions, references, _ = files

    def never(name):
        raise AssertionError("an encoder was loaded")

    report = evaluate_job(QuietContext(), EvaluateRequest(predictions, references), never)
    assert "clip_s" not in report.metrics
    assert report.encoder is None


def test_split_picks_rows(files):
    predictions, references, _ = files
    assert set(read_references(references, "train")) == {"extra.png"}
    with pytest.raises(UserError, match="No photo"):
        evaluate_job(QuietContext(), EvaluateRequest(predictions, references, split="train"))
    with pytest.raises(UserError, match=r"dev, train"):
        read_references(references, "test")


def test_a_split_needs_its_column(tmp_path):
    plain = tmp_path / "plain.csv"
    plain.write_text("image,caption\na.png,a thing\n")
    with pytest.raises(UserError, match="no column 'split'"):
        read_references(plain, "dev")


def test_coco_references(files, tmp_path):
    predictions, _, _ = files
    coco = tmp_path / "coco.json"
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(COLOURS)]
    notes = [{"image_id": i, "caption": f"a {name} thing"} for i, name in enumerate(COLOURS)] * 2
    coco.write_text(json.dumps({"images": images, "annotations": notes}))
    report = evaluate_job(QuietContext(), EvaluateRequest(predictions, coco))
    assert report.references_per_photo == 2
    assert report.metrics["rouge_l"] == pytest.approx(100)


def test_document_frequencies_are_of_the_scored_references_only(files, tmp_path):
    predictions, references, _ = files
    before = evaluate_job(QuietContext(), EvaluateRequest(predictions, references)).metrics["cider"]
    with references.open("a") as file:
        file.write("".join(f"train,more{i}.png,a red thing,x\n" for i in range(50)))
    assert evaluate_job(QuietContext(), EvaluateRequest(predictions, references)).metrics["cider"] == before


def test_an_error_line_is_listed_and_replaced_by_a_later_caption(tmp_path):
    lines = [prediction("a.png", None, "truncated"), prediction("b.png", None, "empty"), prediction("a.png", "a dog")]
    found = read_predictions(write_lines(tmp_path / "p.jsonl", lines))
    assert found.captions == {"a.png": "a dog"}
    assert found.errors == {"b.png": "empty"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"file": "a.png", "caption": "x"}\n{oops\n', "line 2"),
        ('{"caption": "x"}\n', 'no "file"'),
        ("[1, 2]\n", 'no "file"'),
        ('{"file": "a.png", "caption": 3}\n', "not a text"),
        ("\n \n", "no predictions"),
    ],
)
def test_what_is_no_predictions_file_is_refused_by_line(tmp_path, content, said):
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_predictions(path)


def test_names_pair_by_path_then_by_file_name():
    references = {"x/1.jpg": 0, "y/1.jpg": 0, "2.jpg": 0, "3.jpg": 0}
    names = ["x/1.jpg", "z/1.jpg", "images/2.jpg", "a\\3.jpg", "b/3.jpg", "4.jpg"]
    assert pair(names, references) == {"x/1.jpg": "x/1.jpg", "images/2.jpg": "2.jpg"}


def test_a_photo_that_cannot_be_read_is_listed(files):
    predictions, references, photos = files
    (photos / "blue.png").write_bytes(b"")
    (photos / "green.png").unlink()
    report = evaluate_job(
        QuietContext(), EvaluateRequest(predictions, references, images=photos), lambda name: ColourEncoder()
    )
    assert set(report.failed) == {"blue.png", "green.png"}
    assert report.metrics["gallery"] == 1
    assert report.scored == 3


def test_a_folder_without_any_of_the_photos_is_refused(files, tmp_path):
    predictions, references, _ = files
    (tmp_path / "empty").mkdir()
    request = EvaluateRequest(predictions, references, images=tmp_path / "empty")
    with pytest.raises(UserError, match="None of the photos"):
        evaluate_job(QuietContext(), request, lambda name: ColourEncoder())


def test_the_command(files, tmp_path, capsys, monkeypatch):
    predictions, references, photos = files
    monkeypatch.setattr(evaluation, "_open_clip", lambda name: ColourEncoder())
    with predictions.open("a") as file:
        file.write(json.dumps(prediction("bad.png", None, "not a picture")) + "\n")
    out = tmp_path / "scores.json"
    arguments = ["--predictions", str(predictions), "--references", str(references), "--images", str(photos)]
    assert cli.main(["evaluate", *arguments, "--json", str(out)]) == 1, "one photo failed"
    data = json.loads(out.read_text())
    assert data["failed"] == [{"file": "bad.png", "error": "not a picture"}]
    low, high = data["intervals"]["cider"]
    assert low <= data["metrics"]["cider"] <= high
    printed = capsys.readouterr().out
    assert "CIDEr-D" in printed
    assert "bad.png: not a picture" in printed


def test_the_command_names_a_missing_file(files, capsys):
    predictions, _, _ = files
    assert cli.main(["evaluate", "--predictions", str(predictions), "--references", "nowhere.csv"]) == 2
    assert "nowhere.csv" in capsys.readouterr().err
