"""Which models of practice count, and when its guards end it early."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from core.captioner.checkpoint import load_captioner
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import QuietContext
from core.training.compute import Precision
from core.training.data import CaptionedVectors, TrainingData
from core.training.evaluate import Evaluation, Judge
from core.training.presets import PRESETS, Stage2Settings
from core.training.runfolder import RunFolder
from core.training.stage2 import Stage2
from core.training.state import Progress
from core.training.steps import Environment
from tests.tiny import random_pixels

CALM = {
    "rep2": 0.0, "immediate_repeat": 0.0, "bad_ending": 0.0, "no_end": 0.0, "fluency_nll": 3.0, "unique_ratio": 1.0,
    "length": 10.0,
}  # fmt: skip
PHOTOS = 300


def judged(fit: float = 1.0, **values: float) -> Evaluation:
    rows = np.full(PHOTOS, fit), np.full(PHOTOS, 0.5), np.ones(PHOTOS), np.zeros(0)
    return Evaluation(("a dog runs over the grass",) * PHOTOS, *rows, {**CALM, **values})


@pytest.fixture
def stage(tiny_starter, tmp_path) -> Stage2:
    """Practice whose model had calm figures before it was given anything."""
    encoder = load_encoder("starter")
    captioner = load_captioner(tiny_starter / "captioner").requires_grad_(True)
    images = encoder.encode_images(random_pixels(8, seed=3))
    none = CaptionedVectors(np.zeros(0, np.int64), images[:0], ())
    data = TrainingData(none, none, images, np.arange(8), images[:0], none.ids)
    context = QuietContext()
    judge = Judge(data, encoder, None, 24, context)
    env = Environment(captioner, judge, RunFolder(tmp_path), context, 0, Precision())
    settings = Stage2Settings(photos=4, samples=3, max_tokens=24, rewards=PRESETS["two-stage"].stage2.rewards)
    return Stage2(data, encoder, replace(settings, calibration_photos=0, gated=True), env, judged())


def checks(stage: Stage2, stutter: list[float], progress: Progress | None = None) -> tuple[list[float], Progress]:
    """The scores of one check after another, with so many captions that stutter."""
    progress, scores = progress or Progress(), []
    for share in stutter:
        scores.append(stage.consider(judged(immediate_repeat=share), progress))
        progress.step += 25
    return scores, progress


def test_a_guard_that_stays_red_ends_practice(stage):
    scores, progress = checks(stage, [0.0, 0.02, 0.02])
    assert not progress.stopped and scores[0] > float("-inf")
    scores, progress = checks(stage, [0.02], progress)
    assert progress.stopped == "a guard was red 3 times in a row (stutter)" and scores == [float("-inf")]


def test_a_green_check_begins_the_count_anew(stage):
    _, progress = checks(stage, [0.0, 0.02, 0.02, 0.0, 0.02, 0.02])
    assert not progress.stopped


def test_what_practice_was_given_may_turn_a_guard_red_and_is_mended(stage):
    scores, progress = checks(stage, [0.035, 0.022, 0.016, 0.016, 0.014, 0.006])
    assert not progress.stopped
    assert scores[:5] == [float("-inf")] * 5, "what is red counts for nothing, also at the start"
    assert scores[5] > float("-inf")


def test_only_what_was_red_from_the_start_is_forgiven(stage):
    _, progress = checks(stage, [0.009, 0.018, 0.018, 0.018])
    assert progress.stopped, "red beside the model before practice, and practice did it"


def test_what_gets_worse_than_it_began_ends_all_the_same(stage):
    _, progress = checks(stage, [0.035, 0.05, 0.06, 0.08])
    assert progress.stopped == "a guard was red 3 times in a row (stutter)"


def test_how_it_began_is_known_after_a_stop(stage):
    _, progress = checks(stage, [0.035, 0.022])
    again = Progress(**json.loads(json.dumps(asdict(progress))))
    _, again = checks(stage, [0.022, 0.022, 0.022], again)
    assert not again.stopped


def test_what_an_earlier_version_had_not_noted_of_the_start_was_as_before_practice(stage):
    _, progress = checks(stage, [0.035, 0.022])
    del progress.began["strung"]
    _, progress = checks(stage, [0.022, 0.022, 0.022], progress)
    assert not progress.stopped


def test_captions_that_turn_into_lists_of_words_turn_their_guard_red(stage):
    def strung(share: float) -> str:
        listed = int(share * PHOTOS)
        captions = ("river pond shore boat oar sail",) * listed + ("a dog runs over the grass",) * (PHOTOS - listed)
        evaluation = replace(judged(), captions=captions)
        return next(gate.state for gate in stage.gates_of(evaluation, 0.0) if gate.name == "strung")

    assert [strung(share) for share in (0.0, 0.01, 0.5)] == ["green", "green", "red"]
