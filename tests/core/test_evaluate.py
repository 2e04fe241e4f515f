"""``evaluate``: what is paired with what, what is refused, and that the figures are of the right things."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from PIL import Image

from core import cli, evaluation
from core.errors import UserError
from core.evaluation import EvaluateRequest, evaluate_job, save_frequencies_job
from core.exchange.evaluation_files import pair, read_predictions, read_references
from core.images.preprocess import Preprocess
from core.jobs import QuietContext
from core.starter.scenes_library import write_sample_library

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
    monkeypatch.setattr(evaluation, "load_encoder", lambda name: ColourEncoder())
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


# ------------------------------------------------------------------------------------ what can be given besides


FINE_HEAD = "image,caption,background,object,relation\n"


class PictureEncoder(ColourEncoder):
    """A photo is its pixels, a sentence a direction of its own: no two are near-duplicates."""

    dim = 192

    def encode_images(self, pixels):
        rows = pixels.reshape(len(pixels), -1)
        return self._unit(rows - rows.mean(axis=1, keepdims=True))

    def encode_texts(self, texts, prompt=True):
        return self._unit(np.array([np.random.default_rng(zlib.crc32(t.encode())).normal(size=192) for t in texts]))


@pytest.fixture
def scenes(tmp_path):
    """A rendered library, and predictions made of its own sentences, several a photo."""
    samples = write_sample_library(tmp_path / "scenes", 6, seed=4, size=32, captions=4)
    lines = [
        {**prediction(s.file, s.captions[0]), "candidates": [{"caption": c, "score": 1.0} for c in s.captions[:3]]}
        for s in samples
    ]
    return tmp_path / "scenes", write_lines(tmp_path / "scenes.jsonl", lines)


def test_everything_at_once_on_rendered_scenes(scenes, tmp_path):
    folder, predictions = scenes
    request = EvaluateRequest(
        predictions, folder / "captions.csv", None, folder, "colours", folder / "fine_cap_eval.csv", "flickr8k"
    )
    report = evaluate_job(QuietContext(), request, lambda name: PictureEncoder())
    for name in (
        "cider", "cider_fixed", "cider_original_fixed", "clip_s", "bag_accuracy", "cider_between", "contrastive",
        "contrastive_both", "div1", "mbleu4", "mcider", "self_cider", "gdiv1", "self_bleu", "noun_list", "length_ratio",
        "fine_background_token", "fine_object_published", "fine_relation_substring", "fine_overall_cider",
        "fine_precision", "fine_length", "unsupported", "median_rank_t2i", "mean_rank_i2t",
    ):  # fmt: skip
        assert np.isfinite(report.metrics[name]), name
    assert report.metrics["fine_overall_bleu4"] == pytest.approx(100), "the captions are among the annotators'"
    assert report.metrics["fine_precision"] == 100
    assert report.metrics["unsupported"] == 0, "no word that the references do not have"
    assert report.metrics["bag_chance"] == pytest.approx(100 / 6), "six photos: five others"
    assert report.labels["cider"] == "the references scored, 6 photos"
    assert report.labels["cider_fixed"] == report.labels["mcider"] == "Flickr8k train, 5,997 photos"
    assert set(report.left_out) == {"no-end", "too long"}


def test_what_was_not_given_is_told_and_not_measured(files):
    predictions, references, _ = files
    report = evaluate_job(QuietContext(), EvaluateRequest(predictions, references))
    assert set(report.left_out) == {"no-end", "fixed frequencies", "candidates", "FineCapEval", "photos"}
    assert not [name for name in report.metrics if name.startswith(("fine_", "clip", "div", "cider_fixed"))]


def test_fixed_frequencies_leave_the_usual_cider_alone(files, tmp_path):
    predictions, references, _ = files
    plain = evaluate_job(QuietContext(), EvaluateRequest(predictions, references)).metrics
    own = tmp_path / "own.df.gz"
    saved = save_frequencies_job(QuietContext(), references, "dev", own)
    assert saved.photos == 3
    request = EvaluateRequest(predictions, references, document_frequencies=str(own))
    fixed = evaluate_job(QuietContext(), request)
    assert fixed.metrics["cider"] == plain["cider"]
    assert fixed.metrics["cider_fixed"] == pytest.approx(plain["cider"]), "the same three photos were counted"
    assert fixed.labels["cider_fixed"] == "captions.csv, split dev, 3 photos"


def test_words_that_neither_seeds_nor_photo_support_are_listed(files, tmp_path):
    _, references, photos = files
    said = {"red": "a red thing", "green": "a blueish green thing", "blue": "a dragon near blue"}
    predictions = write_lines(tmp_path / "p.jsonl", [prediction(f"{n}.png", text) for n, text in said.items()])
    report = evaluate_job(
        QuietContext(), EvaluateRequest(predictions, references, images=photos), lambda name: ColourEncoder()
    )
    found = {name: [word.word for word in words] for name, words in report.review.items()}
    assert found == {"green.png": ["blueish"], "blue.png": ["dragon"]}, "grey words fit no photo better than another"
    assert report.metrics["unsupported"] == pytest.approx(2 / 3)


def test_a_fine_cap_eval_file_of_other_photos_is_told(files, tmp_path):
    predictions, references, _ = files
    fine = tmp_path / "fine.csv"
    fine.write_text(FINE_HEAD + "other.jpg,aa,bb,cc,dd\n")
    report = evaluate_job(QuietContext(), EvaluateRequest(predictions, references, fine_cap_eval=fine))
    assert "none of its photos" in report.left_out["FineCapEval"]
    fine.write_text("image,caption\n")
    with pytest.raises(UserError, match="lacks the columns background, object, relation"):
        evaluate_job(QuietContext(), EvaluateRequest(predictions, references, fine_cap_eval=fine))


@pytest.mark.parametrize("candidates", [[{"score": 1}], "text", [3], {"caption": "x"}])
def test_candidates_that_are_no_captions_are_refused(tmp_path, candidates):
    path = write_lines(tmp_path / "p.jsonl", [{"file": "a.png", "caption": "x", "candidates": candidates}])
    with pytest.raises(UserError, match='line 1: "candidates"'):
        read_predictions(path)


def test_a_later_line_replaces_the_candidates_too(tmp_path):
    lines = [{"file": "a", "caption": "x", "candidates": ["x", "y"]}, {"file": "a", "caption": "z"}]
    assert read_predictions(write_lines(tmp_path / "p.jsonl", lines)).candidates == {}


def test_a_long_caption_is_counted_where_the_encoder_can(files):
    predictions, references, photos = files

    class Counting(ColourEncoder):
        def count_too_long(self, texts):
            return sum("red" in text for text in texts)

    report = evaluate_job(
        QuietContext(), EvaluateRequest(predictions, references, images=photos), lambda name: Counting()
    )
    assert report.metrics["too_long"] == pytest.approx(1 / 3)


def test_the_command_prints_labels_and_what_is_missing_and_saves_frequencies(files, tmp_path, capsys):
    predictions, references, _ = files
    out, own = tmp_path / "scores.json", tmp_path / "own.df.gz"
    arguments = ["evaluate", "--references", str(references), "--save-document-frequencies", str(own)]
    assert cli.main(arguments) == 0
    assert "n-grams of captions.csv, 4 photos" in capsys.readouterr().out
    again = ["evaluate", "--references", str(references), "--predictions", str(predictions), "--json", str(out)]
    assert cli.main([*again, "--document-frequencies", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "cider, cider_original: the references scored, 3 photos" in printed
    assert "cider_fixed, cider_original_fixed: captions.csv, 4 photos" in printed
    assert "(--fine-cap-eval FILE)" in printed
    data = json.loads(out.read_text())
    assert data["document_frequencies"]["cider_fixed"] == "captions.csv, 4 photos"
    assert {"rows", "give"} == set(data["left_out"][0])
    assert cli.main(arguments[:3]) == 2, "neither predictions nor a file to save"
