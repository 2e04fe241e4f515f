"""``bench quality``: halves that know nothing of each other, cells that are made once, a judge that finds, all rows."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from core.bench.quality import clip_vectors, few_labels, published, tasks
from core.bench.quality import scenes as scene_tasks
from core.bench.quality.cells import Cells
from core.bench.quality.halves import HELD_BACK, Half, half_a, half_b, half_b_rows, material_of_half_a, photo_number
from core.bench.quality.judge import JudgeConfig, terms, train_judge
from core.bench.quality.material import Material, Photos
from core.bench.quality.rows import Rows, labelled_data
from core.bench.quality.scores import gain, score, share
from core.bench.result import Measure
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.metrics.retrieval import ranks
from core.starter.corpus import CaptionedPhoto, read_split
from core.training.presets import find_preset, with_overrides
from tests.core.test_training import FAST
from tests.tiny import SENTENCES, random_pixels


@pytest.fixture
def data_folder(tmp_path):
    """Captions of 400 photos of one split, and sentences about every one of them besides."""
    for name, count in (("flickr8k", 400), ("rsicd", 10)):
        (tmp_path / name).mkdir()
        lines = [f"train,{number:04d}_x.jpg,a caption of {number}" for number in range(count)]
        (tmp_path / name / "captions.csv").write_text("split,image,caption\n" + "\n".join(lines))
    (tmp_path / "text").mkdir()
    lines = [f"{number:04d}\tAbout {number}." for number in range(400)]
    (tmp_path / "text" / "multi30k_en.tsv").write_text("photo\tsentence\n" + "\n".join(lines))
    return tmp_path


def test_nothing_that_half_a_is_built_from_is_about_half_b(data_folder):
    material = material_of_half_a(data_folder)
    photos = read_split(data_folder, "flickr8k", "train")
    unknown = {int(photo_number(one)) for one in [*half_b(photos), *half_a(photos)[-HELD_BACK:]]}
    assert len(unknown) == 200 + HELD_BACK
    said = [caption for captions in material.parts[0].captions for caption in captions] + list(material.sentences)
    assert len(said) == 2 * (200 - HELD_BACK)
    assert not unknown & {int(one.rstrip(".").split()[-1]) for one in said}
    assert [photos[row] for row in half_b_rows(len(photos))] == half_b(photos)


def test_a_cell_is_made_once_for_its_settings(tmp_path):
    cells, made = Cells(tmp_path), []

    def make():
        made.append(1)
        return {"n": len(made)}

    assert cells.value("x", {"a": 1}, make) == cells.value("x", {"a": 1}, make) == {"n": 1}
    assert cells.value("x", {"a": 2}, make) == {"n": 2}
    assert cells.array("x", {"a": 1}, lambda: np.arange(3)).tolist() == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        cells.value("broken", {}, lambda: 1 // 0)
    assert cells.value("broken", {}, lambda: 5) == 5


def test_the_judge_learns_to_find_photos_by_words():
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(6, 20))
    kind = rng.integers(0, 6, 240)
    features = kinds[kind] + 0.3 * rng.normal(size=(240, 20))
    captions = [[SENTENCES[one]] for one in kind]
    judge = train_judge(features[:200], captions[:200], JudgeConfig(epochs=8, batch=40), QuietContext())
    similarities = judge.texts([c[0] for c in captions[200:]]) @ judge.images(kinds).T
    assert ranks(similarities, kind[200:]).recall(1) > 90
    assert np.allclose(np.linalg.norm(judge.images(features), axis=1), 1, atol=1e-5)
    assert len(terms("A dog, a dog.")) == len(terms("a dog a dog")) == 7 and len(terms("")) == 1


def test_a_bound_that_must_hold_surely_is_not_met_by_the_figure_alone():
    assert Measure("x", 0.2, "", 0.0, low=-0.1, high=0.5).met
    assert not Measure("x", 0.2, "", 0.0, low=-0.1, high=0.5, surely=True).met
    assert Measure("x", 0.2, "", 0.0, low=0.1, high=0.5, surely=True, beyond=True).met


@pytest.fixture
def material(tiny_starter, tmp_path):
    """Sixty photos to learn from and ten to judge, of the tiny encoder; the judge sees what the encoder sees."""
    encoder = load_encoder("starter")
    vectors = encoder.encode_images(random_pixels(70, seed=5))
    photos = tuple(
        CaptionedPhoto(tmp_path / f"{i:03d}.jpg", (SENTENCES[i % 8], SENTENCES[(i + 1) % 8])) for i in range(70)
    )

    class Fake(Material):
        def photos(self, dataset, split):
            everything = Photos(photos, vectors)
            return everything.pick(range(60) if split == "train" else range(60, 70))

        def judge_features(self, dataset, split):
            return self.photos(dataset, split).vectors

        @property
        def judge(self):
            train = self.photos("flickr8k", "train")
            return train_judge(train.vectors, train.references, JudgeConfig(epochs=1, batch=30), self.ctx)

    return Fake(tmp_path, encoder, Cells(tmp_path / "cells"), QuietContext())


@pytest.fixture
def fast(monkeypatch):
    faster = lambda name: with_overrides(find_preset(name), FAST)  # noqa: E731
    monkeypatch.setattr(few_labels, "find_preset", faster)


PUBLISHED_FAST = {"stage1.epochs": 3.0, "stage1.minimum_steps": 30, "stage1.pairs": 16, "stage1.lr_mapper": 3e-3}
TASK = few_labels.Task("toy", "flickr8k", labels=10)


def test_every_row_is_there_and_none_is_made_twice(material, fast, tiny_starter, monkeypatch):
    pool = material.photos("flickr8k", "train")
    table = few_labels.run_task(TASK, material, pool, tiny_starter / "captioner", [0])
    names = {few_labels.TEXT_ONLY, few_labels.STAGE1, few_labels.SIMILARITY, few_labels.RECOMMENDED, few_labels.FULL}
    names |= {one + few_labels.RERANKED for one in (few_labels.STAGE1, few_labels.RECOMMENDED, few_labels.FULL)}
    assert set(table.rows) == names and all(len(scores) == 1 for scores in table.rows.values())
    assert set(table.trained[few_labels.RECOMMENDED][0].gates) >= {"repetition", "fluency"}
    ours = table.rows[few_labels.RECOMMENDED]
    assert gain("cider", ours, ours).value == 0 and share(ours, ours).value == pytest.approx(1)
    monkeypatch.setattr("core.bench.quality.rows.train_stages", None)  # whatever wanted to train again would fail
    monkeypatch.setattr("core.bench.quality.rows.decode", None)
    again = few_labels.run_task(TASK, material, pool, tiny_starter / "captioner", [0])
    assert [one.captions for one in again.rows[few_labels.FULL]] == [
        one.captions for one in table.rows[few_labels.FULL]
    ]
    assert any("kept" in line for line in tasks._notes(again))


def test_a_row_that_was_stopped_goes_on(material, tiny_starter):
    data = labelled_data(material.photos("flickr8k", "train"), np.arange(10), 0)
    assert len(data.seeds) == 5 and len(data.held_seeds) == 5 and len(data.unlabelled) + len(data.gallery) == 50
    preset, start = with_overrides(find_preset("recommended"), FAST), tiny_starter / "captioner"

    class Stops(QuietContext):
        asked = 0

        def check_cancelled(self):
            self.asked += 1
            if self.asked > 40:
                raise Cancelled

    whole = Rows(material).train("a", data, preset, stages="12", start=start)
    stopping = Material(material.data, material.encoder, material.cells, Stops())
    with pytest.raises(Cancelled):
        Rows(stopping).train("b", data, preset, stages="12", start=start)
    resumed = Rows(material).train("b", data, preset, stages="12", start=start)
    assert resumed.values["stage2"] == whole.values["stage2"]


def test_scores_of_people_s_own_sentences_are_higher_than_of_one_sentence_for_all(material):
    photos = material.photos("flickr8k", "dev")
    own = score(material, "flickr8k", photos, [one.captions[0] for one in photos.photos])
    same = score(material, "flickr8k", photos, [SENTENCES[0]] * len(photos))
    assert own.cider.mean() > same.cider.mean() and own.summary()["bleu4"] > same.summary()["bleu4"]
    assert same.summary()["r1"] == pytest.approx(100 / len(photos))


@pytest.fixture
def few_scenes(monkeypatch, fast):
    faster = lambda name: with_overrides(find_preset(name), FAST)  # noqa: E731
    monkeypatch.setattr(scene_tasks, "find_preset", faster)
    for name, value in (("LABELLED", 6), ("UNLABELLED", 14), ("JUDGED", 8), ("SENTENCES_OF_STYLE", 12), ("_BATCH", 4)):
        monkeypatch.setattr(scene_tasks, name, value)


def test_truth_and_style_on_a_few_scenes(tiny_starter, few_scenes, tmp_path, monkeypatch):
    told = scene_tasks.truth_task(QuietContext(), 1, tmp_path).to_dict()["measures"]
    assert {one["name"] for one in told} >= {"precision_gain", "recall_gain"}
    monkeypatch.setattr(scene_tasks, "with_overrides", lambda preset, _: with_overrides(preset, {"stage1.pairs": 0}))
    spoken = {
        one["name"]: one["value"] for one in scene_tasks.style_task(QuietContext(), 1, tmp_path).to_dict()["measures"]
    }
    assert 0 <= spoken["style_rate"] <= 100 and "recall_change" in spoken


def test_the_style_is_recognised_in_people_s_own_sentences(tiny_starter, tmp_path):
    made = scene_tasks.scenes(scene_tasks._material(QuietContext(), tmp_path), 500_000, 6, scene_tasks.STYLE)
    told = scene_tasks._told([one.captions[0] for one in made.photos.photos], made)
    assert scene_tasks._share(told, 0, 1) == 100


@pytest.fixture
def vectors_folder(data_folder):
    """40 vectors of photos 0 to 77, near one of two directions by what is said of them; the last is of two photos."""
    said = lambda number: SENTENCES[number // 2 % 2]  # noqa: E731
    lines = [f'train,{number:04d}_x.jpg,"{said(number)}"' for number in range(400)]
    (data_folder / "flickr8k" / "captions.csv").write_text("split,image,caption\n" + "\n".join(lines))
    (data_folder / "clip_vitb32").mkdir()
    numbers = [4 * (row // 4) * 2 + row % 4 for row in range(39)]
    names = [*(f"{number:04d}_x.jpg" for number in numbers), "0100_x.jpg|0101_x.jpg"]
    rows = "".join(f"{row}\t{name}\n" for row, name in enumerate(names))
    (data_folder / "clip_vitb32" / "row_to_file.tsv").write_text(rows)
    kinds = np.eye(2, 16)[[number // 2 % 2 for number in [*numbers, 0]]]
    noise = np.random.default_rng(0).normal(size=(40, 16)) / 20
    np.save(data_folder / "clip_vitb32" / "clip_embeddings.npy", (kinds + noise).astype(np.float16))
    return data_folder


def test_vectors_of_clip_are_learned_from_without_their_encoder(vectors_folder, tiny_starter, fast, monkeypatch):
    monkeypatch.setattr(clip_vectors, "find_preset", lambda name: with_overrides(find_preset(name), PUBLISHED_FAST))
    monkeypatch.setattr(clip_vectors, "SCORED", 8)
    photos = clip_vectors.read_vectors(vectors_folder)
    assert len(photos) == 39 and np.allclose(np.linalg.norm(photos.vectors, axis=1), 1)
    learned, scored = clip_vectors._split(photos, vectors_folder)
    assert len(learned) == 31 and all(int(one.path.name[:4]) % 2 for one in scored.photos)  # half B: odd places
    half = Half(vectors_folder)
    shutil.copytree(tiny_starter / "captioner", half.captioner)
    material = Material(vectors_folder, load_encoder("starter"), Cells(vectors_folder / "cells"), QuietContext())
    found = {one.name: one.value for one in clip_vectors.clip_vector_measures(material, half, 1)}
    assert set(found) == {f"clip_vitb32_clipcap-{kind}_{name}" for kind in ("mlp", "transformer")
                          for name in ("cider", "bleu4")}  # fmt: skip
    assert found["clip_vitb32_clipcap-mlp_cider"] > 0


def test_all_photos_labelled_are_told_greedily_and_by_beam_search(material, monkeypatch):
    monkeypatch.setattr(published, "find_preset", lambda name: with_overrides(find_preset(name), PUBLISHED_FAST))
    monkeypatch.setattr(published, "Material", lambda *_: material)
    result = published.full_task(QuietContext(), material.data, 1, material.data)
    found = {one.name: one.value for one in result.measures}
    kinds = [f"clipcap-{kind}" for kind in ("mlp", "transformer")]
    assert {f"{kind}_{how}_bleu4" for kind in kinds for how in ("greedy", "beam")} < set(found)
    assert found["bleu4"] == max(found[f"{kind}_beam_bleu4"] for kind in kinds)
    made = sorted(path.name for path in (material.data / "cells").glob("captions-full-clipcap-mlp-*"))
    assert len(made) == 2, "greedy captions and those of beam search are cells of their own"


def test_an_order_holds_only_where_it_falls():
    assert published._ordered([3.0, 2.0, 1.0]) and not published._ordered([3.0, 1.0, 1.0])


def test_an_unknown_task_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="two-percent"):
        tasks.run(QuietContext(), tasks.QualityRequest("some", tmp_path))
