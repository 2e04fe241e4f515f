"""Seeds left out in turn, and stage 1 at shares of the seeds."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from core.captioner.checkpoint import load_captioner
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import Cancelled, QuietContext
from core.metrics.bootstrap import Difference
from core.training import loop, seed_trials
from core.training.adaptation import folds_of
from core.training.data import CaptionedVectors, make_training_data
from core.training.evaluate import Evaluation, caption_nll
from core.training.loop import TrainingConfig, train_stages
from core.training.messages import FOLDING
from core.training.presets import LmSettings, Preset, Stage1Settings, find_preset, read_preset, with_overrides
from core.training.runfolder import RunFolder
from core.training.seed_trials import FoldJudgement, Trainer, judge_by_folds, photo_losses, seed_curve
from core.training.verdict import judge_folds
from tests.tiny import SENTENCES, random_pixels

SETTINGS = Stage1Settings(
    steps=8, minimum_steps=4, pairs=8, texts=8, evaluate_every=4, lr_mapper=1e-3, lr_lm=1e-3, image_noise=0.0
)
PRESET = Preset("try", "", "", stage1=SETTINGS, lm=LmSettings("all"))
SAME = Evaluation(("a",) * 4, np.ones(4), np.ones(4), np.ones(4), np.zeros(0), {})
"""Neither fits better nor worse: the folds alone decide."""


@pytest.fixture
def encoder(tiny_starter):
    return load_encoder("starter")


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner")


def made_data(encoder, seeds, held):
    vectors = encoder.encode_images(random_pixels(seeds + held + 4, seed=3))
    captions = tuple((f"Look: {SENTENCES[i % 8].lower()}", "Look.")[: 1 + i % 2] for i in range(seeds + held))
    ids = np.arange(len(vectors))
    return make_training_data(
        CaptionedVectors(ids[:seeds], vectors[:seeds], captions[:seeds]),
        CaptionedVectors(ids[seeds : seeds + held], vectors[seeds : seeds + held], captions[seeds:]),
        (ids[seeds + held :], vectors[seeds + held :], [str(i) for i in range(4)]),
    )


def test_every_photo_is_judged_by_a_model_that_did_not_learn_it(encoder, captioner, monkeypatch):
    data, learned = made_data(encoder, 9, 3), []
    real = seed_trials.Stage1

    def watched(part, *rest, **named):
        learned.append(set(part.seeds.ids.tolist()))
        return real(part, *rest, **named)

    monkeypatch.setattr(seed_trials, "Stage1", watched)
    before = [weight.clone() for weight in captioner.parameters()]
    found = judge_by_folds(Trainer(captioner, encoder, PRESET, QuietContext()), data)
    assert all(torch.equal(a, b) for a, b in zip(before, captioner.parameters(), strict=True))
    left_out = [set(range(12)) - one for one in learned]
    assert sorted(one for part in left_out for one in part) == list(range(12)), "each photo in exactly one fold"
    assert (found.folds, found.photos) == (5, 12) and found.evaluation in (1, 2)
    everything = seed_trials.joined(data.seeds, data.held_seeds)
    assert found.before == pytest.approx(float(photo_losses(captioner, everything).mean()), rel=1e-4)
    assert found.change.value == pytest.approx(found.after - found.before, abs=1e-6)
    assert found.after < found.before, "the seeds begin with a word that the starter never says"
    assert FoldJudgement.from_dict(json.loads(json.dumps(asdict(found)))) == found
    assert judge_folds(found, SAME, SAME).better and "12 captioned photos" in found.sentence


def test_losses_of_photos_are_means_over_their_tokens(encoder, captioner):
    data = made_data(encoder, 4, 2)
    one = seed_trials.chosen(data.seeds, np.array([1]))  # it has two captions
    assert len(one.captions[0]) == 2
    assert photo_losses(captioner, one)[0] == pytest.approx(caption_nll(captioner, one)[0], rel=1e-5)
    assert photo_losses(captioner, data.seeds)[1] == pytest.approx(photo_losses(captioner, one)[0], rel=1e-4)


@pytest.mark.parametrize(("change", "better", "word"), [
    (Difference(-0.5, -0.7, -0.3, 0.0), True, "out more in your words"),
    (Difference(-0.1, -0.3, 0.1, 0.2), True, "perhaps more"),
    (Difference(0.1, -0.1, 0.3, 0.2), False, "no more"),
])  # fmt: skip
def test_what_folds_decide(change, better, word):
    verdict = judge_folds(FoldJudgement(5, 12, 3.0, 3.0 + change.value, 1, change), SAME, SAME)
    assert verdict.better is better and word in verdict.reason


def test_shares_of_the_seeds(encoder, captioner):
    trainer = Trainer(captioner, encoder, replace(PRESET, stage1=replace(SETTINGS, steps=4)), QuietContext())
    few = seed_curve(trainer, made_data(encoder, 9, 3))
    assert few.points == () and few.gain is None and "cannot be told" in few.sentence
    curve = seed_curve(trainer, made_data(encoder, 16, 4))
    assert [size for size, _ in curve.points] == [4, 8, 12, 16]
    assert curve.gain is not None and curve.gain.low <= curve.gain.value <= curve.gain.high
    assert curve.sentence == seed_trials._curve_sentence(16, curve.gain)


@pytest.mark.parametrize(("gain", "word"), [
    (Difference(-0.3, -0.4, -0.2, 0.0), "would tell held-out photos more"),
    (Difference(0.0, -0.01, 0.01, 1.0), "would change little"),
    (Difference(-0.1, -0.5, 0.3, 0.5), "cannot be told"),
])  # fmt: skip
def test_what_more_seeds_would_do_in_words(gain, word):
    assert word in seed_trials._curve_sentence(20, gain)


def test_a_fold_that_only_gets_worse_ends_early(encoder, captioner, monkeypatch):
    """Of two folds the first gets worse from the start, the second better to the end."""
    told = iter([1.0, 2.0, 3.0, 4.0, *(9.0 - n for n in range(7))])
    monkeypatch.setattr(seed_trials, "photo_losses", lambda _captioner, photos: np.full(len(photos), next(told)))
    settings = replace(SETTINGS, steps=12, evaluate_every=2)
    trainer = Trainer(captioner, encoder, replace(PRESET, stage1=settings), QuietContext())
    kept = []
    found = judge_by_folds(trainer, made_data(encoder, 4, 2), folds=2, keep=lambda made: kept.append(len(made[-1])))
    assert kept == [4, 7], "three evaluations in a row were worse"
    assert (found.before, found.after, found.evaluation) == ((1 + 9) / 2, (4 + 3) / 2, 6)
    assert next(told, None) is None


def test_folds_are_for_few_photos_unless_they_would_take_long():
    plain, other, none = (replace(Stage1Settings(), folds=n) for n in (None, 5, 0))
    assert folds_of(plain, 24, fresh=False, limited=False) == 5
    assert folds_of(plain, 25, fresh=False, limited=False) == 0
    assert [folds_of(plain, 10, fresh=fresh, limited=not fresh) for fresh in (True, False)] == [0, 0]
    assert folds_of(other, 10, fresh=True, limited=True) == 5, "a person asked for them"
    assert folds_of(none, 10, fresh=False, limited=False) == folds_of(other, 25, fresh=False, limited=False) == 0
    asked = with_overrides(find_preset("recommended"), {"stage1.folds": "7"})
    assert asked.stage1.folds == 7 and read_preset(asdict(asked)) == asked


FEW_STEPS = {"stage1.steps": 8, "stage1.minimum_steps": 4, "stage1.evaluate_every": 4,
             "stage1.pairs": 8, "stage1.texts": 8, "stage1.lr_mapper": 1e-3, "stage1.lr_lm": 1e-3}  # fmt: skip


class StopsAt(QuietContext):
    """Is cancelled once ``done`` steps of what ``message`` begins with are told."""

    def __init__(self, message, done):
        self.message, self.done, self.stop, self.said = message, done, False, []

    def progress(self, done, total, message=""):
        self.said.append((done, total, message))
        self.stop = self.stop or (message.startswith(self.message) and done >= self.done)

    def check_cancelled(self):
        if self.stop:
            raise Cancelled


def told(change, evaluation=1):
    return FoldJudgement(5, 12, 3.0, 3.0 + change, evaluation, Difference(change, change - 0.1, change + 0.1, 0.0))


def test_folds_decide_about_stage_1_and_are_not_asked_twice(encoder, captioner, tmp_path, monkeypatch):
    data, asked, said = made_data(encoder, 9, 3), [], told(0.5)
    monkeypatch.setattr(loop, "judge_by_folds", lambda _trainer, _data, folds, *_: asked.append(folds) or said)
    config = TrainingConfig(with_overrides(find_preset("recommended"), FEW_STEPS), stages="1")
    with pytest.raises(Cancelled):
        train_stages(data, copy.deepcopy(captioner), encoder, config, tmp_path, StopsAt("Stage 1", 2))
    going_on = replace(config, resume=True, limit_minutes=5.0)
    report = train_stages(data, captioner, encoder, going_on, tmp_path, QuietContext())
    assert report.kept == "before" and report.reason == f"{said.sentence} So it is not kept.", (
        "they overrule three photos"
    )
    assert asked == [5], "also with a limit that would have had none"
    assert report.results["stage1"].values["nll"] < report.results["before"].values["nll"]


def test_how_stage_1_is_judged_does_not_change_once_it_has_begun(encoder, captioner, tmp_path, monkeypatch):
    data = made_data(encoder, 9, 3)
    monkeypatch.setattr(loop, "judge_by_folds", lambda *_: pytest.fail("it began with a limit, and without folds"))
    limited = TrainingConfig(with_overrides(find_preset("recommended"), FEW_STEPS), stages="1", limit_minutes=60.0)
    with pytest.raises(Cancelled):
        train_stages(data, copy.deepcopy(captioner), encoder, limited, tmp_path, StopsAt("Stage 1", 2))
    going_on = replace(limited, resume=True, limit_minutes=None)
    assert "held-out photos" in train_stages(data, captioner, encoder, going_on, tmp_path, QuietContext()).reason


@pytest.mark.parametrize("evaluation", [1, 2])
def test_stage_1_ends_where_the_folds_were_told_best(evaluation, encoder, captioner, tmp_path, monkeypatch):
    data = made_data(encoder, 9, 3)
    monkeypatch.setattr(loop, "judge_by_folds", lambda *_: told(-0.5, evaluation))
    config = TrainingConfig(with_overrides(find_preset("recommended"), {**FEW_STEPS, "stage1.steps": 12}), stages="1")
    report = train_stages(data, captioner, encoder, config, tmp_path, QuietContext())
    ended = RunFolder(tmp_path).outcome(1)
    assert ended is not None and (ended.steps, ended.best_step) == (4 * evaluation, 4 * evaluation)
    assert report.kept == "stage1" and any("left out in turn" in note for note in report.notes)


def test_folds_that_were_stopped_go_on_with_the_next(encoder, captioner, tmp_path):
    data = made_data(encoder, 9, 3)
    config = TrainingConfig(with_overrides(find_preset("recommended"), FEW_STEPS), stages="1")
    whole, stops, rest = (StopsAt(FOLDING, done) for done in (1000, 20, 1000))
    train_stages(data, copy.deepcopy(captioner), encoder, config, tmp_path / "whole", whole)
    with pytest.raises(Cancelled):
        train_stages(data, copy.deepcopy(captioner), encoder, config, tmp_path / "stopped", stops)
    assert [len(one) for one in RunFolder(tmp_path / "stopped").folds()["losses"]] == [3, 3], (
        "e evaluations of two folds"
    )
    train_stages(data, captioner, encoder, replace(config, resume=True), tmp_path / "stopped", rest)
    asked = [done for done, total, message in rest.said if message == FOLDING]
    assert min(asked) == 16 and max(asked) == 39
    one, other = (RunFolder(tmp_path / name).folds()["judgement"] for name in ("whole", "stopped"))
    assert one == other
