"""Sample scenes: the same seed gives the same picture, and the picture shows what the scene says."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.starter.scenes import (
    COLOURS,
    GROUNDS,
    LIGHTS,
    MATERIALS,
    RELATIONS,
    SHAPES,
    SIZES,
    Relation,
    Scene,
    Thing,
    sample_scene,
    true_relations,
)
from core.starter.scenes_library import SEEDS_APART, read_truth, write_sample_library
from core.starter.scenes_render import COLOUR_SRGB, render
from core.starter.scenes_words import DEMO, DIALECTS, STANDARD, sentences

SCENES = [sample_scene(seed) for seed in range(500)]


TOLD = [
    "Three small plain white pyramids sit on a tiled floor at sunset.",
    "A small shiny black ball stands on top of a large plain yellow cube in the snow, with a red cylinder nearby.",
    "A large plain red cone stands right of a large plain green mug on a tiled floor at night.",
]
SEEN = [
    172, 139, 143, 184, 149, 149, 181, 144, 146,
    210, 177, 169, 189, 159, 128, 214, 176, 123,
    204, 158, 152, 219, 191, 179, 222, 192, 177,
]  # fmt: skip


def alone(shape="ball", colour="red", material="matte", ground="tiles", light="day", size="large") -> Scene:
    thing = Thing(shape, colour, material, size, (0.0, 0.0, 0.0), 0.3)
    return Scene((thing,), None, ground, light, 3)


def pixels(scene: Scene, size: int = 96) -> np.ndarray:
    return np.asarray(render(scene, size)).astype(int)


def covered(scene: Scene, size: int = 96) -> np.ndarray:
    """Where the picture changes when the thing turns from black to white: the pixels that the thing covers."""
    black, white = (
        pixels(replace(scene, things=(replace(scene.things[0], colour=colour, material="matte"),)), size)
        for colour in ("black", "white")
    )
    return np.abs(black - white).sum(2) > 150


# ---------------------------------------------------------------------------------------------------------- the scenes


def test_same_seed_same_scene_and_pixels():
    assert sample_scene(11) == sample_scene(11)
    assert render(sample_scene(11), 96).tobytes() == render(sample_scene(11), 96).tobytes()
    assert sample_scene(11) != sample_scene(12)


def test_pixels_do_not_depend_on_what_was_rendered_before():
    first = render(SCENES[4], 64).tobytes()
    for scene in SCENES[5:10]:
        render(scene, 64)
    assert render(SCENES[4], 64).tobytes() == first


@pytest.mark.parametrize("size", [32, 97, 224])
def test_picture_has_the_size_asked_for(size):
    picture = render(SCENES[0], size)
    assert picture.size == (size, size)
    assert picture.mode == "RGB"


def test_every_attribute_occurs_and_none_dominates():
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS), ("size", SIZES)):
        counts = [sum(getattr(k, name) == value for s in SCENES for k in s.kinds) for value in values]
        assert min(counts) > 0.25 * sum(counts) / len(values), (name, counts)
    for values, told in ((GROUNDS, [s.ground for s in SCENES]), (LIGHTS, [s.light for s in SCENES])):
        assert min(told.count(value) for value in values) > 0.6 * len(told) / len(values)
    names = [s.relation.name for s in SCENES if s.relation]
    assert min(names.count(name) for name in RELATIONS) > 0.12 * len(names)


def test_kinds_are_counted_and_never_share_a_shape_or_colour():
    for scene in SCENES:
        assert 1 <= len(scene.kinds) <= 4
        assert sum(kind.count for kind in scene.kinds) == len(scene.things) <= 6
        assert len({kind.shape for kind in scene.kinds}) == len(scene.kinds)
        assert len({kind.colour for kind in scene.kinds}) == len(scene.kinds)


def test_things_neither_touch_nor_leave_the_picture():
    for scene in SCENES:
        for thing in scene.things:
            x, y, _ = scene.camera.project(thing.position[0], thing.height / 2 + thing.position[1], thing.position[2])
            assert abs(x) < 1, scene
            assert abs(y) < 1, scene
        for a, b in combinations(scene.things, 2):
            if a.position[1] == b.position[1] == 0:
                assert math.dist(a.position[::2], b.position[::2]) > a.half_width + b.half_width


def test_relation_is_what_the_positions_say():
    for scene in SCENES:
        if scene.relation is None:
            assert len(scene.kinds) == 1
            continue
        first, second = scene.kinds[0].shape, scene.kinds[1].shape
        assert (scene.relation.subject, scene.relation.object) == (first, second)
        a = [t.position for t in scene.things if t.shape == first]
        b = [t.position for t in scene.things if t.shape == second]
        holds = {
            "left": max(p[0] for p in a) < min(p[0] for p in b),
            "right": min(p[0] for p in a) > max(p[0] for p in b),
            "front": max(p[2] for p in a) < min(p[2] for p in b),
            "behind": min(p[2] for p in a) > max(p[2] for p in b),
            "top": a[0][1] > 0 and a[0][::2] == b[0][::2],
        }
        assert holds[scene.relation.name], scene
        assert scene.relation in true_relations(scene)


def test_true_relations_come_in_both_readings_and_never_contradict():
    opposite = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
    for scene in SCENES:
        found = true_relations(scene)
        for relation in found:
            if relation.name != "top":
                turned = Relation(opposite[relation.name], relation.object, relation.subject)
                assert turned in found or relation == scene.relation
                assert replace(relation, name=opposite[relation.name]) not in found


# --------------------------------------------------------------------------------------------------------- the pictures


@pytest.mark.parametrize("material", ["matte", "shiny"])
@pytest.mark.parametrize("colour", COLOURS)
def test_rendered_colour_is_the_named_one(colour, material):
    scene = alone(colour=colour, material=material)
    seen = np.median(pixels(scene)[covered(scene)], axis=0)
    nearest = min(COLOUR_SRGB, key=lambda name: _colour_gap(seen, COLOUR_SRGB[name]))
    assert nearest == colour, seen


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("material", MATERIALS)
def test_colours_stay_apart_in_every_light_and_material(material, light):
    named = [c for c in COLOURS if material not in ("glass", "striped") or c not in ("white", "black")]
    where = covered(alone(light=light))
    means = {c: pixels(alone(colour=c, material=material, light=light))[where].mean(0) for c in named}
    for a, b in combinations(named, 2):
        assert np.abs(means[a] - means[b]).sum() > 30, (a, b)


def _colour_gap(a, b) -> float:
    """Distance that weighs hue over brightness: lit and shaded red are both red."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    bright_a, bright_b = a.mean(), b.mean()
    hue_a, hue_b = a - bright_a, b - bright_b
    return float(np.linalg.norm(hue_a - hue_b) + 0.45 * abs(bright_a - bright_b))


def test_shapes_have_silhouettes_of_their_own():
    masks = {shape: covered(alone(shape=shape)) for shape in SHAPES}
    for a, b in combinations(SHAPES, 2):
        overlap = (masks[a] & masks[b]).sum() / (masks[a] | masks[b]).sum()
        assert 0 < overlap < 0.92, (a, b, overlap)


def test_a_ring_and_a_handle_have_holes():
    ring = covered(alone(shape="ring"), 128)
    rows, columns = np.nonzero(ring)
    assert not ring[int(rows.mean()), int(columns.mean())]


def test_materials_look_different_on_the_same_thing():
    where = covered(alone())
    pictures = {material: pixels(alone(material=material))[where] for material in MATERIALS}
    for a, b in combinations(MATERIALS, 2):
        assert np.abs(pictures[a] - pictures[b]).mean() > 6, (a, b)


def test_sizes_cover_different_areas():
    # The camera zooms in on small things, so the sizes are compared beside the same companion.
    def area(size: str) -> int:
        companion = Thing("cube", "blue", "matte", "medium", (1.3, 0.0, 0.0), 0.3)
        ball = Thing("ball", "red", "matte", size, (-0.8, 0.0, 0.0))
        scene = Scene((ball, companion), Relation("left", "ball", "cube"), "snow", "day", 3)
        picture = pixels(scene)
        return int((picture[..., 0] - picture[..., 1] > 60).sum())

    small, medium, large = (area(size) for size in SIZES)
    assert small * 1.5 < medium
    assert medium * 1.5 < large


def test_grounds_and_lights_look_different():
    for a, b in combinations(GROUNDS, 2):
        below = [pixels(alone(ground=g))[60:].reshape(-1, 3) for g in (a, b)]
        statistics = [np.concatenate([p.mean(0), p.std(0)]) for p in below]
        assert np.abs(statistics[0] - statistics[1]).sum() > 25, (a, b)
    for ground in GROUNDS:
        day, sunset, night = (pixels(alone(ground=ground, light=light)).mean((0, 1)) for light in LIGHTS)
        assert night.sum() < 0.75 * day.sum()
        assert sunset[0] - sunset[2] > day[0] - day[2] + 8
        assert sunset[0] - sunset[2] > night[0] - night[2] + 20


def test_a_thing_throws_a_shadow_and_hides_what_is_behind_it():
    lone = alone(ground="snow", colour="white")
    picture = pixels(lone)
    assert picture[50:].sum(2).min() < 0.6 * np.median(picture[50:].sum(2))
    cube = Thing("cube", "red", "matte", "large", (0.0, 0.0, -1.0), 0.0)

    def green(*things: Thing) -> int:
        picture = pixels(Scene(things, Relation("front", things[0].shape, things[1].shape), "snow", "day", 3))
        return int((picture[..., 1] - picture[..., ::2].max(2) > 25).sum())

    hidden, seen = (Thing("ball", "green", "matte", "small", (0.0, 0.0, z), 0.0) for z in (-0.1, -2.0))
    assert green(cube, hidden) == green(hidden, cube) < 25
    assert green(cube, seen) == green(seen, cube) > 150


def test_scenes_stay_what_the_starter_models_have_learned():
    """A change of the sampler or the look is a reason to build the starter models again: then write these anew."""
    told = [sentences(sample_scene(seed), STANDARD, 1)[0] for seed in (0, 5, 9)]
    assert told == TOLD
    thumbnail = np.asarray(render(sample_scene(5), 64).resize((3, 3), Image.Resampling.BOX)).astype(int)
    assert np.abs(thumbnail.reshape(-1) - SEEN).max() <= 3, thumbnail.reshape(-1).tolist()


# -------------------------------------------------------------------------------------------------------- the sentences


def test_sentences_are_as_many_as_asked_reproducible_and_vary():
    for scene in SCENES[:50]:
        told = sentences(scene, STANDARD, 5, seed=1)
        assert told == sentences(scene, STANDARD, 5, seed=1)
        assert len(told) == 5
    assert sum(len(set(sentences(s))) for s in SCENES[:100]) > 480
    assert sentences(SCENES[0], STANDARD, 5, seed=1) != sentences(SCENES[0], STANDARD, 5, seed=2)
    assert sentences(SCENES[0], n=0) == []


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_sentences_are_well_formed(dialect):
    plurals = {forms[1] for forms in dialect.shapes.values()}
    singulars = {forms[0] for forms in dialect.shapes.values()}
    for scene in SCENES:
        for text in sentences(scene, dialect, 3):
            assert text[0].isupper()
            assert text.endswith(".")
            assert "  " not in text
            assert " ," not in text
            assert not {"{", "}"} & set(text)
            words = text[:-1].lower().replace(",", " ,").replace(":", " :").split()
            for word, after in pairwise(words):
                assert word != after
                if word in ("a", "an"):
                    assert (word == "an") == (after[0] in "aeiou"), text
            _check_number(text, words, dialect, singulars, plurals)


def _check_number(text, words, dialect, singulars, plurals):
    """The count word before each noun agrees with it."""
    count = None
    for i, word in enumerate(words):
        count = word if word in dialect.counts else count
        noun = " ".join(words[i - 1 : i + 1]) if word in ("hat", "hats") else word
        if noun in singulars:
            assert count == dialect.counts[0], text
        if noun in plurals:
            assert count in dialect.counts[1:], text


def test_verbs_agree_with_their_subject():
    for scene in SCENES[:200]:
        for text in sentences(scene, STANDARD, 5):
            for verb in ("There is", "there is"):
                if verb in text:
                    assert text.split(verb)[1].split()[0] in ("a", "an")
            if "here are" in text:
                assert text.split("here are")[1].split()[0] in STANDARD.counts[1:]


def test_sentences_are_as_long_as_captions():
    lengths = [len(text.split()) for scene in SCENES for text in sentences(scene)]
    assert 9 <= np.mean(lengths) <= 17
    assert min(lengths) >= 4
    demo = [len(text.split()) for scene in SCENES for text in sentences(scene, DEMO, 2)]
    assert np.mean(demo) <= 16


# ----------------------------------------------------------------------------------------------------------- the folder


def test_sample_library_is_written_and_read_again(tmp_path):
    samples = write_sample_library(tmp_path / "photos", 3, DEMO, seed=2, size=64)
    names = sorted(p.name for p in (tmp_path / "photos").iterdir())
    pictures = ["scene-0001.jpg", "scene-0002.jpg", "scene-0003.jpg"]
    assert names == ["captions.csv", "fine_cap_eval.csv", *pictures, "truth.json"]
    with Image.open(tmp_path / "photos" / "scene-0002.jpg") as picture:
        assert picture.size == (64, 64)
        drawn = np.asarray(render(samples[1].scene, 64)).astype(int)
        assert np.abs(np.asarray(picture).astype(int) - drawn).mean() < 4
    with (tmp_path / "photos" / "captions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["image"], r["caption"]) for r in rows] == [(s.file, c) for s in samples for c in s.captions]
    assert read_truth(tmp_path / "photos") == samples
    assert samples[0].scene == sample_scene(2 * SEEDS_APART)
    assert list(samples[0].captions) == sentences(samples[0].scene, DEMO, 5)


def test_sample_library_is_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        write_sample_library(tmp_path / name, 2, STANDARD, seed=5, size=48)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: "{",
        lambda told: "[]",
        lambda told: json.dumps(told | {"schema": 99}),
        lambda told: json.dumps({"schema": told["schema"]}),
        lambda told: json.dumps(told).replace('"ball"', '"teapot"').replace('"cube"', '"teapot"'),
        lambda told: json.dumps(told | {"samples": [told["samples"][0] | {"scene": {"things": []}}]}),
    ],
)
def test_damaged_truth_is_refused_in_words(tmp_path, damage):
    write_sample_library(tmp_path, 6, STANDARD, size=32)
    path = tmp_path / "truth.json"
    path.write_text(damage(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(UserError, match=r"truth\.json"):
        read_truth(tmp_path)


def test_missing_truth_names_the_folder(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        read_truth(tmp_path)
