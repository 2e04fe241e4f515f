"""Ranks, near-duplicates and distinctiveness by hand; then a library whose photos and words are colours."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core import cli, ranking
from core.commands import rank
from core.encoders.encoder import TooLong
from core.images.preprocess import Preprocess
from core.jobs import Cancelled, QuietContext
from core.library.candidates import add_candidates
from core.library.edits import accept, add_seed, edit_caption, reject
from core.library.library import Library
from core.library.queries import all_captions, captions_of, images_of
from core.library.records import ScoreRow
from core.library.runs import create_run
from core.library.scan import scan
from core.ranking import (
    RankRequest,
    distinctiveness,
    group_columns,
    neighbours_outside,
    ordinal,
    rank_library,
    rank_of,
    score_texts,
    sentence,
)

COLOURS = {
    "red": (255, 0, 0),
    "crimson": (250, 12, 10),  # a near-duplicate of red
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}


class ColourEncoder:
    """A photo's vector is its mean colour; a word's is the colour it names; other words say nothing."""

    id = "colours"
    fingerprint = "c0104" * 8
    dim = 3
    prompt = "A photo depicts "
    preprocess = Preprocess(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "squash", "bicubic")

    def encode_images(self, pixels):
        return self._unit(pixels.mean(axis=(2, 3)) + 1e-3)

    def encode_texts(self, texts, prompt=True):
        assert prompt, "scores are defined with the prompt"
        known = [[COLOURS[w] for w in text.split() if w in COLOURS] or [(1, 1, 1)] for text in texts]
        return self._unit(np.array([np.mean(colours, axis=0) for colours in known]) + 1e-3)

    @staticmethod
    def _unit(rows):
        rows = np.asarray(rows, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def library(tmp_path):
    for name, colour in COLOURS.items():
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{name}.png")
    with Library.create(tmp_path / "colours.seedcap") as made:
        scan(made, tmp_path, QuietContext())
        yield made


def ids(library):
    return {image.path.stem: image.id for image in images_of(library)}


def scores(library, name):
    return {caption.text: caption.score for caption in captions_of(library, [ids(library)[name]])[ids(library)[name]]}


def test_columns_of_a_group_become_their_highest():
    joined, column = group_columns(np.array([[0.1, 0.9, 0.5, 0.2]]), np.array([0, 1, 0, 3]))
    assert joined.tolist() == [[0.5, 0.9, 0.2]]
    assert column.tolist() == [0, 1, 0, 2]


def test_without_groups_every_photo_counts():
    similarities = np.array([[0.3, 0.9, 0.8], [0.3, 0.3, 0.1]])
    assert rank_of(similarities, np.array([0, 0])).tolist() == [3, 1.5]


def test_near_duplicates_are_one_place_and_finding_either_is_finding_the_photo():
    similarities = np.array([[0.7, 0.9, 0.8, 0.1]])
    assert rank_of(similarities, np.array([0]), np.array([0, 1, 1, 3])).tolist() == [2]
    assert rank_of(similarities, np.array([0]), np.array([0, 0, 2, 3])).tolist() == [1]


def test_neighbours_leave_out_the_whole_group():
    vectors = np.array([[1, 0], [0.999, 0.0447], [0.8, 0.6], [0, 1]])
    found = neighbours_outside(vectors, np.array([0, 3]), np.array([0, 0, 2, 3]), k=2)
    assert set(found[0]) == {2, 3}
    assert set(found[1]) == {1, 2}


def test_neighbours_of_a_library_of_one_are_none():
    found = neighbours_outside(np.array([[1.0, 0.0]]), np.array([0]), np.array([0]), k=3)
    assert found.tolist() == [[-1, -1, -1]]
    assert np.isnan(distinctiveness(np.array([[0.5]]), np.array([0]), found))[0]


def test_distinctiveness_is_the_margin_over_the_mean_of_the_neighbours():
    margin = distinctiveness(np.array([[0.5, 0.3, 0.1, 0.9]]), np.array([0]), np.array([[1, 2, -1]]))
    assert margin[0] == pytest.approx(0.5 - 0.2)


def test_a_sentence_that_fits_all_has_no_margin_and_the_middle_rank():
    rng = np.random.default_rng(0)
    photos = rng.normal(size=(30, 16))
    photos[:, 0] = 0
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    vague = np.zeros((1, 16))
    vague[0, 0] = 1  # the same cosine, 0, to every photo
    row = score_texts(vague, np.array([4]), photos, np.arange(30))[0]
    assert row.rank == pytest.approx(15.5)
    assert row.distinctiveness == pytest.approx(0)
    assert row.gallery_size == 30


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (1, "first"),
        (3, "third"),
        (4, "4th"),
        (11, "11th"),
        (21, "21st"),
        (37, "37th"),
        (113, "113th"),
        (1002, "1,002nd"),
    ],
)
def test_ordinals(number, word):
    assert ordinal(number) == word


def test_sentences_say_what_can_be_checked():
    assert (
        sentence(ScoreRow(0.7, 1, 4812, 37, None)) == "finds this photo first of 4,812; the plain caption finds it 37th"
    )
    assert sentence(ScoreRow(0.7, 2, 9, None, None)) == "finds this photo second of 9"
    assert sentence(ScoreRow(0.7, 2, 9, 2, None)).endswith("so does the plain caption")
    assert "no other photo" in sentence(ScoreRow(0.7, 1, 1, None, None))


def test_a_library_is_scored(library):
    red, green, blue = (ids(library)[name] for name in ("red", "green", "blue"))
    add_candidates(library, None, {red: ["something red"], green: ["something blue"], blue: ["nothing"]}, "add")
    report = rank_library(library, ColourEncoder(), QuietContext())

    assert (report.captions, report.photos) == (3, 3)
    assert report.gallery_size == 4, "red and crimson are one"
    right = scores(library, "red")["something red"]
    assert right.rank == 1
    assert right.clip_s == pytest.approx(2.5, abs=0.01)
    assert right.distinctiveness > 0.5
    wrong = scores(library, "green")["something blue"]
    assert wrong.rank > 1
    assert wrong.clip_s < 0.1
    assert wrong.distinctiveness < 0
    assert report.mrr < 1


def test_the_plain_caption_is_what_the_starter_said_even_after_it_was_replaced(library):
    red = ids(library)["red"]
    add_candidates(library, None, {red: ["green"]})
    run = create_run(library, "recommended", {})
    add_candidates(library, run.id, {red: ["red"]}, "replace-model")
    rank_library(library, ColourEncoder(), QuietContext())
    row = scores(library, "red")["red"]
    assert row.rank == 1
    assert row.plain_rank > 1


def test_the_plain_caption_is_not_compared_with_itself(library):
    red = ids(library)["red"]
    add_candidates(library, None, {red: ["green"]})
    add_seed(library, red, "red")
    rank_library(library, ColourEncoder(), QuietContext())
    assert scores(library, "red")["green"].plain_rank is None
    assert scores(library, "red")["red"].plain_rank > 1


def test_a_plain_caption_can_be_given(library):
    red = ids(library)["red"]
    add_seed(library, red, "red")
    rank_library(library, ColourEncoder(), QuietContext(), plain={red: "blue"})
    assert scores(library, "red")["red"].plain_rank > 1


def test_all_states_are_scored(library):
    red = ids(library)["red"]
    written = add_candidates(library, None, {red: ["red", "green", "blue"]}, "add")[red]
    accept(library, written[:1])
    reject(library, written[1:2])
    rank_library(library, ColourEncoder(), QuietContext())
    assert all(score is not None for score in scores(library, "red").values())


def test_one_edited_caption_is_scored_alone(library):
    red = ids(library)["red"]
    written = add_candidates(library, None, {red: ["green"]})[red]
    rank_library(library, ColourEncoder(), QuietContext())
    new = edit_caption(library, written[0], "red")
    rank_library(library, ColourEncoder(), QuietContext(), caption_ids=[new])
    assert scores(library, "red")["red"].rank == 1


def test_a_library_without_captions_is_no_error(library):
    report = rank_library(library, ColourEncoder(), QuietContext())
    assert (report.captions, report.gallery_size) == (0, 5)


def test_a_photo_that_cannot_be_read_is_listed_and_the_others_are_ranked(library, tmp_path):
    add_seed(library, ids(library)["red"], "red")
    (tmp_path / "blue.png").write_bytes(b"no longer a picture")
    report = rank_library(library, ColourEncoder(), QuietContext())
    assert [path.name for path, _ in report.failed] == ["blue.png"]
    assert report.captions == 1
    assert report.gallery_size == 3


def test_a_cancelled_ranking_leaves_the_scores_that_were_shown(library):
    red = ids(library)["red"]
    add_seed(library, red, "red")
    rank_library(library, ColourEncoder(), QuietContext())
    before = scores(library, "red")

    class Stopping(QuietContext):
        def progress(self, done, total, message=""):
            self.message = message

        def check_cancelled(self):
            if self.message == "Ranking the captions":
                raise Cancelled

    add_candidates(library, None, {ids(library)["blue"]: ["blue"]})
    with pytest.raises(Cancelled):
        rank_library(library, ColourEncoder(), Stopping())
    assert scores(library, "red") == before
    assert scores(library, "blue")["blue"] is None


def test_the_command_lists_best_first_and_writes_json(library, monkeypatch, tmp_path, capsys):
    add_candidates(library, None, {ids(library)["red"]: ["red"], ids(library)["green"]: ["blue"]})
    folder = library.path
    library.close()
    monkeypatch.setattr(ranking, "_encoder", lambda library, request: ColourEncoder())
    out = tmp_path / "rank.json"
    assert cli.main(["rank", str(folder), "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    assert [row["caption"] for row in data["captions"]] == ["red", "blue"]
    assert data["captions"][0]["sentence"] == "finds this photo first of 4"
    assert data["report"]["gallery_size"] == 4
    printed = capsys.readouterr().out
    assert printed.index("red.png") < printed.index("green.png")
    assert cli.main(["rank", str(folder), "--weakest", "--top", "1"]) == 0
    printed = capsys.readouterr().out
    assert "green.png" in printed
    assert "red.png" not in printed


def test_captions_longer_than_the_encoder_reads_are_said(library, monkeypatch, capsys):
    monkeypatch.setattr(ColourEncoder, "context_length", 7, raising=False)
    add_seed(library, ids(library)["red"], "red things")
    add_seed(library, ids(library)["blue"], "blue things")
    longest = []

    def count(_encoder, texts):
        longest.extend(texts)
        return 2

    monkeypatch.setattr(ColourEncoder, "count_too_long", count, raising=False)
    report = rank_library(library, ColourEncoder(), QuietContext())
    assert report.too_long == TooLong(2, 7) and len(longest) == report.captions
    assert "2 captions are longer than the encoder reads (7 word pieces)" in rank._text(report, [])
    assert "longer" not in rank._text(replace(report, too_long=TooLong()), [])


def test_the_command_refuses_what_is_no_library(tmp_path, capsys):
    assert cli.main(["rank", str(tmp_path / "nothing.seedcap")]) == 2
    assert "nothing.seedcap" in capsys.readouterr().err


def test_the_request_names_the_encoder_of_the_current_run(library):
    assert ranking.library_encoder(library) == "starter"
    assert RankRequest(library.path).caption_ids is None
    assert all_captions(library) == {}
