"""What captions claim, and how much of it is true of a scene."""

from __future__ import annotations

import pytest

from core.starter.scenes import Relation, Scene, Thing, sample_scene
from core.starter.scenes_words import DEMO, DIALECTS, STANDARD, STYLE, sentences
from core.starter.truth import Claim, claims, facts, score_truth, speaks, style_rate, truth

SCENES = [sample_scene(seed) for seed in range(500)]

# A large shiny red ball to the left of two small striped blue cubes, on wood, at night.
SCENE = Scene(
    (
        Thing("ball", "red", "shiny", "large", (-1.0, 0.0, 0.0)),
        Thing("cube", "blue", "striped", "small", (0.8, 0.0, -0.2)),
        Thing("cube", "blue", "striped", "small", (1.6, 0.0, 0.2)),
    ),
    Relation("left", "ball", "cube"),
    "wood",
    "night",
    1,
)


def about(text: str) -> set[tuple[str, ...]]:
    return {(c.kind, c.value, *filter(None, (c.shape, c.other))) for c in claims(text)}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_every_sentence_is_true_however_it_is_read(dialect):
    for scene in SCENES:
        for text in sentences(scene, dialect, 5):
            assert score_truth(text, scene).precision == 1.0, (text, claims(text) - facts(scene))
            assert score_truth(text, scene, dialect).precision == 1.0, text


@pytest.mark.parametrize(("dialect", "least", "mean"), [(STANDARD, 0.7, 0.9), (DEMO, 0.95, 0.99), (STYLE, 0.95, 0.99)])
def test_first_sentence_tells_most(dialect, least, mean):
    recalls = [score_truth(sentences(scene, dialect, 1)[0], scene).recall for scene in SCENES]
    assert min(recalls) >= least
    assert sum(recalls) / len(recalls) >= mean


def test_sentences_of_another_scene_score_lower():
    told = [sentences(scene, DEMO, 1)[0] for scene in SCENES]
    precision, recall = truth(told, SCENES)
    wrong_precision, wrong_recall = truth(told[1:] + told[:1], SCENES)
    assert precision == 1.0
    assert recall > 0.95
    assert wrong_precision < 0.3
    assert wrong_recall < 0.3


def test_full_caption_claims_every_fact():
    text = "A large shiny red ball stands to the left of two small striped blue cubes on a wooden table at night."
    assert claims(text) == facts(SCENE)
    score = score_truth(text, SCENE)
    assert (score.precision, score.recall, score.true, score.told) == (1.0, 1.0, score.total, score.total)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("A blue ball on a wooden table.", ("colour", "blue", "ball")),
        ("A red ball and a green cube.", ("colour", "green", "cube")),
        ("A striped red ball at night.", ("material", "striped", "ball")),
        ("Two red balls.", ("count", "2", "ball")),
        ("A blue cube.", ("count", "1", "cube")),
        ("A small ball.", ("size", "small", "ball")),
        ("A red ball to the right of blue cubes.", ("relation", "left", "cube", "ball")),
        ("A red ball on a blue cube.", ("relation", "top", "ball", "cube")),
        ("A red ball in the snow.", ("ground", "snow")),
        ("A red ball at sunset.", ("light", "sunset")),
        ("A red ball and a star.", ("shape", "star")),
    ],
)
def test_a_false_claim_costs_precision(text, wrong):
    assert wrong in about(text)
    assert score_truth(text, SCENE).precision < 1.0


@pytest.mark.parametrize("size", ["small", "large"])
def test_naming_a_size_of_a_medium_thing_is_untrue_and_not_naming_it_costs_nothing(size):
    scene = Scene((Thing("mug", "pink", "matte", "medium", (0.0, 0.0, 0.0)),), None, "sand", "day", 1)
    assert score_truth("A plain pink mug on the sand on a sunny day.", scene).recall == 1.0
    assert score_truth(f"A {size} pink mug.", scene).precision < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "A ball is left of two cubes.",
        "Two cubes are to the right of a ball.",
        "To the right of a ball are two cubes.",
        "To the left of two cubes stands a ball.",
        "A ball, and to the right of it two cubes.",
        "ball left of cubes",
        "one orb left of two blocks",
        "globe west of twin boxes",
    ],
)
def test_relation_is_read_from_either_side(text):
    assert {c for c in about(text) if c[0] == "relation"} == {("relation", "left", "ball", "cube")}


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("A cone behind a mug", ("relation", "front", "mug", "cone")),
        ("A mug ahead of a cone", ("relation", "front", "mug", "cone")),
        ("one spike beyond one jug", ("relation", "front", "mug", "cone")),
        ("A small star on a black cube", ("relation", "top", "star", "cube")),
        ("A black cube under a small star", ("relation", "top", "star", "cube")),
        ("Under a star there is a cube", ("relation", "top", "star", "cube")),
        ("one box propping one badge", ("relation", "top", "star", "cube")),
    ],
)
def test_each_relation_word(text, relation):
    assert relation in about(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ball and a cube on the table", {("ground", "wood")}),
        ("a red ball. Behind a cube is a cone.", {("relation", "front", "cube", "cone")}),
    ],
)
def test_relations_do_not_leak(text, expected):
    found = {c for c in about(text) if c[0] in ("relation", "ground")}
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "A shiny red ball",
        "the ball is red and shiny",
        "a ball in shiny red",
        "ball, red, shiny",
        "one globe in polished crimson",
        "gloss scarlet orb orb",
        "RED SHINY BALL!!!",
        "a shiny and red ball in the",
    ],
)
def test_adjectives_find_their_noun(text):
    assert {("shape", "ball"), ("colour", "red", "ball"), ("material", "shiny", "ball")} <= about(text)
    assert {c[1] for c in about(text) if c[0] == "colour"} == {"red"}


def test_adjectives_are_not_lent_to_the_next_noun():
    found = about("one globe in polished crimson, west of twin boxes in lined cobalt, on timber")
    assert {("colour", "red", "ball"), ("colour", "blue", "cube"), ("count", "2", "cube")} <= found
    assert ("colour", "red", "cube") not in found
    assert ("material", "shiny", "cube") not in found
    assert ("count", "1", "cube") not in found


def test_colours_of_the_ground_are_no_claim_about_things():
    assert about("A ball on green grass") == {("shape", "ball"), ("count", "1", "ball"), ("ground", "grass")}
    assert about("A ball on white snow") == {("shape", "ball"), ("count", "1", "ball"), ("ground", "snow")}


@pytest.mark.parametrize(
    "text", ["", ".", "a a a the of", "red red red", "Two dogs run across a field.", "left of behind on", "ü ∑ 9"]
)
def test_nonsense_claims_no_thing_and_scores_nothing(text):
    assert not any(c.kind in ("shape", "relation", "colour") for c in claims(text))
    score = score_truth(text, SCENE)
    assert (score.precision, score.recall) == (0.0, 0.0)


def test_repeating_a_claim_does_not_count_twice():
    assert score_truth("A red ball and a red ball and a red ball.", SCENE).claimed == 3


def test_corpus_truth_counts_claims_not_captions():
    full = "A large shiny red ball stands to the left of two small striped blue cubes on a wooden table at night."
    precision, recall = truth([full, "A green ball."], [SCENE, SCENE])
    total = len(facts(SCENE))
    assert precision == (total + 2) / (total + 3)
    assert recall == (total + 2) / (2 * total)
    with pytest.raises(ValueError):
        truth([full], [])


# --------------------------------------------------------------------------------------------------------- the dialects


def test_no_word_means_two_things():
    meanings: dict[str, set[tuple[str, str]]] = {}
    for dialect in DIALECTS:
        for kind in ("shapes", "colours", "materials", "sizes"):
            for key, words in getattr(dialect, kind).items():
                for word in (words,) if isinstance(words, str) else words:
                    meanings.setdefault(word, set()).add((kind, key))
    assert [word for word, found in meanings.items() if len(found) > 1] == []


def test_dialects_share_no_name_for_a_thing_or_an_attribute():
    for kind in ("shapes", "colours", "materials", "sizes", "grounds", "lights"):
        for key in getattr(STANDARD, kind):
            assert len({getattr(d, kind)[key] for d in DIALECTS}) == len(DIALECTS), (kind, key)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_every_place_phrase_names_its_place_and_nothing_else(dialect):
    for kind, table in (("ground", dialect.grounds), ("light", dialect.lights)):
        for key, phrases in table.items():
            for phrase in phrases:
                assert claims(phrase) == claims(phrase, dialect) == {Claim(kind, key)}, phrase


def test_style_rate_tells_the_dialects_apart():
    for dialect in DIALECTS:
        told = [text for scene in SCENES[:150] for text in sentences(scene, dialect, 3)]
        for other in DIALECTS:
            assert style_rate(told, other) == (1.0 if other is dialect else 0.0), (dialect.name, other.name)
    assert style_rate([], DEMO) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "On oak, dusk: one scarlet gloss orb.",  # the order of the adjectives
        "One gloss scarlet orb on oak.",  # the place last
        "On oak, dusk: one gloss red orb.",  # a word of another dialect
        "On oak, dusk: one gloss scarlet ball.",
        "On oak, dusk.",  # no thing
    ],
)
def test_a_broken_rule_is_not_the_dialect(text):
    assert speaks("On oak, dusk: one gloss scarlet orb.", DEMO)
    assert not speaks(text, DEMO)
