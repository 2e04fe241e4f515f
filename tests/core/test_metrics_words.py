"""PAC-S, bags, the contrastive score, guards about words, and FineCapEval."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from core.errors import UserError
from core.exchange.fine_cap_eval_file import read_fine_cap_eval, write_fine_cap_eval
from core.metrics.clip_score import clip_s, pac_s
from core.metrics.contrastive import both_directions, log_p_own_photo
from core.metrics.fine_cap_eval import FineRow, fine_scores, phrase_recall, stems
from core.metrics.guards import length_ratio, no_end_rate
from core.metrics.retrieval import bag_ranks
from core.metrics.word_guards import is_noun_list, noun_list_rate, unseen_words, unsupported_words
from core.starter.scenes import sample_scene
from core.starter.scenes_fine_cap_eval import fine_rows
from core.starter.scenes_words import DEMO, STANDARD, sentences


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_pac_s_is_two_cosines_and_never_negative():
    cosines = np.array([0.3, -0.2])
    assert pac_s(cosines).tolist() == pytest.approx([0.6, 0])
    assert pac_s(cosines) == pytest.approx(0.8 * clip_s(cosines))


def test_bags_hold_only_look_alikes():
    images = unit([[1, 0], [1, 0.1], [0, 1]])
    captions = unit([[1, 0.2], [1, 0.2], [0, 1]])  # the first is nearer to photo 1, the second to its own
    found = bag_ranks(captions, images, np.array([[1], [0], [-1]]))
    assert found.mean_rank_of_ties.tolist() == [2, 1, 1]
    assert bag_ranks(captions, images, np.array([[2], [2], [0]])).recall(1) == 100


def test_constant_captions_are_right_in_a_bag_as_often_as_chance():
    # Photos on a circle look the same from its axis: all tied.
    angles = np.arange(12) * math.tau / 12
    images = unit(np.stack([np.cos(angles), np.sin(angles), np.ones(12)], axis=1))
    same = np.tile(unit([[0, 0, 1.0]]), (12, 1))
    bags = (np.arange(12)[:, None] + np.array([1, 2, -1 % 12])) % 12
    assert bag_ranks(same, images, bags).recall(1) == pytest.approx(100 / 4)


def test_log_p_by_hand():
    similarities = np.array([[0.4, 0.1], [0.2, 0.2]])
    expected = [4 - math.log(math.exp(4) + math.exp(1)), -math.log(2)]
    assert log_p_own_photo(similarities, 10) == pytest.approx(expected)
    assert log_p_own_photo(np.full((5, 5), 0.3)) == pytest.approx(np.full(5, -math.log(5))), "alike captions: 1/N"


def test_both_directions_leave_the_own_pair_out_and_are_clamped():
    similarities = np.array([[0.4, 0.1], [0.3, 0.2]])
    # s = 10: photo 0 from caption 0: 4 - 1, caption 0 from photo 0: 4 - 3
    assert both_directions(similarities, 10)[0] == pytest.approx((3 + 1) / 2 / 10)
    assert both_directions(np.array([[1.0, -1], [-1, 1]]), 100) == pytest.approx([0.16, 0.16])
    with pytest.raises(ValueError, match="two pairs"):
        both_directions(np.ones((1, 1)))


def test_shares_of_captions_without_end_and_of_length():
    assert no_end_rate([True, False, True, True]) == pytest.approx(0.25)
    assert no_end_rate([]) == 0
    assert length_ratio(["a b c"], ["a b", "a b c d"]) == pytest.approx(1)
    assert length_ratio(["a b c d e f"], ["a b c"]) == pytest.approx(2)
    assert length_ratio(["a"], []) == 0


@pytest.mark.parametrize(
    ("caption", "listed"),
    [
        ("a dog runs in the park", False),
        ("two children playing with a ball", False),
        ("a red ball is on the grass", False),
        ("a man dressed in black", False),
        ("dog dog dog park park", True),
        ("a dog on the grass", True),  # no verb; people write this too, so the references' rate stands beside it
        ("a man walks street sidewalk building traffic", True),
        ("a small shiny red ball is on the table", False),
        ("", True),
    ],
)
def test_lists_of_nouns(caption, listed):
    assert is_noun_list(caption) is listed


def test_noun_list_rate_of_scene_sentences_is_below_that_of_their_nouns():
    told = [text for seed in range(10) for text in sentences(sample_scene(seed), STANDARD, 3)]
    keywords = [" ".join(w for w in text.lower().strip(".").split() if len(w) > 3) for text in told]
    assert noun_list_rate(told) < noun_list_rate(keywords)
    assert noun_list_rate([]) == 0


def test_unseen_words_are_content_words_by_stem():
    assert unseen_words(["Two dogs playing with a frisbee frisbee", "a dog"], ["a dog plays"]) == [["frisbee"], []]


def test_a_word_is_unsupported_where_it_fits_its_photo_no_better_than_others():
    images = unit([[1, 0], [0, 1], [1, 1]])
    words = unit([[1, 0], [0, 1]])
    found = unsupported_words([["cat"], ["cat", "sea"], []], ["cat", "sea"], words, images)
    assert [[one.word for one in row] for row in found] == [[], ["cat"], []]
    assert found[1][0].own == pytest.approx(0)
    assert found[1][0].average == pytest.approx((1 + 0 + math.sqrt(0.5)) / 3)


# ---------------------------------------------------------------------------------------------------- FineCapEval


def row(image="1.jpg", caption="a happy dog", background=("grass",), object_=("happy dog",), relation=("on grass",)):
    return FineRow(image, caption, {"background": background, "object": object_, "relation": relation})


def test_phrase_recall_by_hand():
    # "brown dogs" -> brown dog; "running fast" -> run fast
    caption = "The brown dog runs"
    assert phrase_recall(["brown dogs", "running fast"], caption, "token") == pytest.approx((1 + 1 / 2) / 2)
    assert phrase_recall([], caption, "token") == 0
    assert phrase_recall(["..."], caption, "token") == 0


def test_the_three_readings_differ_where_they_are_said_to():
    assert phrase_recall(["cat"], "some cattle", "substring") == 1
    assert phrase_recall(["cat"], "some cattle", "published") == 1
    assert phrase_recall(["cat"], "some cattle", "token") == 0
    assert phrase_recall(["happy"], "a happy dog", "published") == 0, "happi is not in happy"
    assert phrase_recall(["happy"], "a happy dog", "substring") == phrase_recall(["happy"], "a happy dog", "token") == 1
    assert stems("The T-shirts, happy!") == ["the", "tshirt", "happi"]


def test_scores_pool_the_rows_of_a_photo_and_average_photos():
    rows = [row(object_=("dog",)), row(object_=("cat", "bird", "cow")), row("2.jpg", object_=("sun",)), row("3.jpg")]
    found = fine_scores({"1.jpg": "a dog", "2.jpg": "the sun beside this mountain"}, rows)
    assert found.recall["token"]["object"] == pytest.approx(100 * (1 / 4 + 1) / 2)
    assert (found.photos, found.rows) == (2, 3)
    assert found.precision == pytest.approx(100 * (1 + 1 / 2) / 2), "beside and this are no content"
    assert (found.length, found.annotated_length) == (3.5, 3)
    with pytest.raises(ValueError, match="no photo"):
        fine_scores({"9.jpg": "x"}, rows)


def test_everything_annotated_as_the_caption_scores_a_hundred_and_order_is_free():
    rows = [row(f"{i}.jpg", background=(f"b{i}",), object_=(f"o{i}", "x y"), relation=("r s",)) for i in range(4)]
    captions = {r.image: " ".join(p for group in r.phrases.values() for p in group) for r in rows}
    found = fine_scores(captions, rows)
    assert all(value == 100 for values in found.recall.values() for value in values.values())
    assert found.precision == 100
    assert fine_scores(captions, rows[::-1]) == found


def test_a_file_is_written_and_read_again_as_csv_and_json(tmp_path):
    rows = [row(object_=("a, b", 'quoted "dog"', "ünï")), row("2.jpg")]
    write_fine_cap_eval(tmp_path / "f.csv", rows)
    assert read_fine_cap_eval(tmp_path / "f.csv").rows == tuple(rows)
    flat = [{"image": r.image, "caption": r.caption, **{k: "\\;".join(v) for k, v in r.phrases.items()}} for r in rows]
    columns = {name: {str(i): one[name] for i, one in enumerate(flat)} for name in flat[0]}
    lists = {name: [one[name] for one in flat] for name in flat[0]}
    for document in (flat, columns, lists):
        (tmp_path / "f.json").write_text(json.dumps(document))
        assert read_fine_cap_eval(tmp_path / "f.json").rows == tuple(rows)


def test_an_incomplete_row_is_left_out_and_counted(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(
        "image,caption,background,object,relation\n1.jpg,x,green grass\\; sky \\;,c,d\n2.jpg,x,,c,d\n3.jpg,x\n"
    )
    found = read_fine_cap_eval(path)
    assert found.incomplete == 2
    assert found.rows[0].phrases["background"] == ("green grass", "sky")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.csv", "image,caption,background\n1,x,y\n", "lacks the columns object, relation. It has: image, caption"),
        ("f.csv", "", "lacks the columns image"),
        ("f.csv", "image,caption,background,object,relation\n1,,,,\n", "no row"),
        ("f.json", "{", "not JSON"),
        ("f.json", "[]", "no list of rows"),
        ("f.json", "3", "no list of rows"),
        ("f.json", '[{"image": "1"}]', "row 1, lacks the columns caption"),
        ("f.json", "[3]", "row 1, is no object"),
        ("f.json", '[{"image": 1, "caption": "", "background": "", "object": "", "relation": ""}]', "row 1: 'image'"),
        ("f.json", '{"image": ["1"], "caption": [], "background": [], "object": [], "relation": []}', "equally long"),
        ("f.json", '{"image": 1, "caption": 1, "background": 1, "object": 1, "relation": 1}', "equally long"),
    ],
)
def test_what_has_not_the_schema_is_refused_in_words(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError) as refused:
        read_fine_cap_eval(path)
    assert said in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize("dialect", [STANDARD, DEMO], ids=lambda d: d.name)
def test_scenes_make_a_set_that_tells_good_captions_from_shuffled_ones(dialect):
    scenes = {f"{i}.jpg": sample_scene(i) for i in range(30)}
    told = {name: sentences(scene, dialect, 3) for name, scene in scenes.items()}
    rows = [r for name, scene in scenes.items() for r in fine_rows(name, scene, told[name], dialect)]
    assert len(rows) == 90
    assert all(all(r.phrases.values()) for r in rows), "a row with an empty field would be left out"
    names = list(scenes)
    own = fine_scores({n: told[n][0] for n in names}, rows)
    other = fine_scores({n: told[m][0] for n, m in zip(names, names[1:] + names[:1], strict=True)}, rows)
    for criterion in ("background", "object", "relation"):
        assert own.recall["token"][criterion] > other.recall["token"][criterion] + 15
    assert own.recall["token"]["object"] > 85
    assert own.precision > other.precision
