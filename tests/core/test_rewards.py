"""Rewards that compare with references or read the sentence alone, spoiled captions, the grammar heads, composition."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.captioner.checkpoint import load_captioner
from core.encoders.encoder import STARTER_SCALE, sharpness
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.metrics.cider import CiderD
from core.metrics.clip_score import clip_s
from core.training import tower
from core.training.compute import Precision
from core.training.corruptions import corrupt, vocabulary_of, word_list
from core.training.data import CaptionedVectors, TrainingData, make_training_data
from core.training.grammar import examples, fit_head, looks_wrong
from core.training.loop import TrainingConfig, train_stages
from core.training.presets import PRESETS, RewardWeights, Stage2Settings, with_overrides
from core.training.references import References
from core.training.rewards import REWARDS, KnownReward, RewardContext, leave_one_out, total_reward
from core.training.scoring import Sampled, Scorer
from core.training.state import Progress
from core.training.steps import Environment
from core.training.wording import Wording
from tests.core.test_training import FAST, Recorder, weights
from tests.tiny import DIM, SENTENCES, random_pixels

NONE = PRESETS["two-stage"].stage2.rewards  # similarity alone
COMPOSED = {
    "stage2.calibration_photos": 12, "stage2.clip_ramp": 4, "stage2.contrastive_ramp": 0.5,
    "stage2.rewards.contrastive": 0.5, "stage2.rewards.fluency": 0.5, "stage2.rewards.grammar": 0.5,
    "stage2.grammar_refresh": 3, "stage2.normalise_advantage": False, "stage1.steps": 4, "stage2.evaluate_every": 8,
}  # fmt: skip


class WordsAsVectors:
    """A text encoder whose vectors are the letters of a sentence, counted."""

    def encode_texts(self, texts, prompt=True):
        counted = np.array([[text.count(letter) for letter in "abcdefghijklmnop"] for text in texts], np.float32)
        return counted / np.linalg.norm(counted, axis=1, keepdims=True)


@pytest.fixture
def encoder(tiny_starter):
    return load_encoder("starter")


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner")


@pytest.fixture
def data(encoder):
    """Twelve labelled photos (two captions of the first), 20 without captions."""
    vectors = encoder.encode_images(random_pixels(32, seed=3))
    captions = tuple((SENTENCES[i % 8],) for i in range(12))
    captions = ((SENTENCES[0], "Look at the ball."), *captions[1:])
    ids = np.arange(32)
    return make_training_data(
        CaptionedVectors(ids[:9], vectors[:9], captions[:9]),
        CaptionedVectors(ids[9:12], vectors[9:12], captions[9:]),
        (ids[12:], vectors[12:], [str(i) for i in range(20)]),
    )


@pytest.fixture
def environment(captioner, tmp_path):
    """What a stage works with; the judge and the run's folder are of no use to rewards."""
    return Environment(captioner, None, None, QuietContext(), seed=0, precision=Precision())  # pyright: ignore[reportArgumentType]


# -- spoiled captions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caption", ["A small dog runs through the grass.", "dog", "two men and a dog", "Über Äcker!"])
def test_a_spoiled_caption_is_another_one_that_looks_no_different_at_its_ends(caption):
    vocabulary = vocabulary_of([caption, "a red ball"])
    for seed in range(60):
        spoiled = corrupt(caption, vocabulary, np.random.default_rng(seed))
        assert spoiled != caption
        assert spoiled[:1].isupper() == caption[:1].isupper()
        assert spoiled[-1:] == caption[-1:] or caption[-1:].isalpha()


def test_captions_are_spoiled_in_all_five_ways():
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    seen = set()
    for seed in range(200):
        spoiled = corrupt(" ".join(words), ["new"], np.random.default_rng(seed)).split()
        if "new" in spoiled:
            seen.add("inserted")
        elif len(spoiled) > len(words):
            seen.add("repeated")
        elif len(spoiled) < len(words):
            seen.add("deleted")
        else:
            assert sorted(spoiled) == sorted(words)
            seen.add("swapped" if sum(a != b for a, b in zip(spoiled, words, strict=True)) <= 3 else "shuffled")
    assert seen == {"inserted", "repeated", "deleted", "swapped", "shuffled"}


def test_spoiling_repeats_with_its_random_seed():
    one, again = (corrupt(SENTENCES[2], ["x"], np.random.default_rng(5)) for _ in range(2))
    assert one == again


def test_a_word_list_keeps_what_carries_meaning():
    assert word_list("A man with a white shirt rides a bicycle.") == "Man white shirt rides bicycle."
    assert corrupt("", ["x"], np.random.default_rng(0)) == ""


def test_what_went_wrong_is_learned_from_unless_a_person_wrote_it():
    real, spoiled = examples(SENTENCES, ["dog dog dog", SENTENCES[0]], np.random.default_rng(0))
    assert "dog dog dog" in spoiled
    assert not set(real) & set(spoiled)


@pytest.mark.parametrize(
    ("caption", "finished", "wrong"),
    [("a dog runs", True, False), ("a dog runs", False, True), ("a dog with a", True, True), ("a dog dog", True, True)],
)
def test_captions_that_a_guard_takes_for_wrong(caption, finished, wrong):
    assert looks_wrong(caption, finished) is wrong


# -- the head ---------------------------------------------------------------------------------------------------------


def test_a_head_finds_the_feature_that_tells_and_counts_both_kinds_alike():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 40))
    real = features[:, -1] > 1.0  # far fewer than spoiled ones
    head = fit_head(features[real], features[~real])
    new = rng.normal(size=(2000, 40))
    right = (head(new) > 0.5) == (new[:, -1] > 1.0)
    assert min(right[new[:, -1] > 1.0].mean(), right[new[:, -1] <= 1.0].mean()) > 0.8
    assert ((head(new) >= 0) & (head(new) <= 1)).all()


def test_a_head_of_things_that_cannot_be_told_apart_says_so():
    rows = np.ones((5, 3))
    assert fit_head(rows, rows)(rows) == pytest.approx(0.5)


# -- rewards ----------------------------------------------------------------------------------------------------------


def context(captions, samples=1, **known):
    texts = WordsAsVectors().encode_texts(captions)
    images = WordsAsVectors().encode_texts(["a dog in a park"] * (len(captions) // samples))
    return RewardContext(images, texts, np.ones(len(captions), bool), samples, 7, 2, **known)


def reward(name, captions, known, **others):
    total, means = total_reward(captions, known, replace(NONE, clip_s=0.0, **{name: 1.0}, **others))
    assert means[name] == pytest.approx(total.mean())
    return total


def test_cider_compares_with_the_photos_own_references():
    written = [["a dog runs in a park", "a dog in the park"], ["two men on a bench"]]
    references = References(written, WordsAsVectors())
    captions = ["a dog runs in a park", "two men on a bench", "a dog runs in a park", "two men on a bench"]
    known = context(captions, samples=2, references=references, labelled=np.array([0, 1]))
    found = reward("cider", captions, known)
    assert found == pytest.approx(CiderD(written).score(captions, [0, 0, 1, 1]))
    assert found[0] > found[1]
    assert found[3] > found[2]


def test_ref_clip_s_is_the_harmonic_mean_with_the_best_reference():
    written = [["a dog in a cold bed", "a dog in a park"], ["no help"]]
    captions = ["a dog in a park", "a bold dog"]
    known = context(captions, references=References(written, WordsAsVectors()), labelled=np.array([0, 0]))
    score = clip_s((known.images * known.texts).sum(axis=1))
    best = (WordsAsVectors().encode_texts(captions) @ WordsAsVectors().encode_texts(written[0]).T).max(axis=1)
    assert reward("ref_clip_s", captions, known) == pytest.approx(2 * score * best / (score + best))


@pytest.mark.parametrize("name", ["cider", "ref_clip_s"])
def test_photos_without_references_reward_no_caption_above_another(name):
    captions = ["a dog runs in a park", "bench", "a dog runs in a park", "bench"]
    references = References([["two men on a bench"], ["a dog runs in a park"]], WordsAsVectors())
    found = reward(name, captions, context(captions, samples=2, references=references, labelled=np.array([-1, 1])))
    assert found[:2].tolist() == [0, 0]
    assert found[2] > found[3]


def test_fluency_only_punishes_what_is_less_usual_than_nearly_all_seeds():
    captions = ["a", "b", "c"]
    known = context(captions, log_p=np.array([-1.0, -2.0, -3.5]), usual=-2.0)
    assert reward("fluency", captions, known) == pytest.approx([0, 0, -1.5])


def test_a_reward_without_what_it_needs_is_a_mistake_in_words():
    with pytest.raises(ValueError, match="log_p"):
        reward("fluency", ["a"], context(["a"]))


# -- a language model of sentences alone ------------------------------------------------------------------------------


def test_wording_prefers_sentences_to_spoiled_ones_and_to_word_lists(environment, data, captioner):
    before = copy.deepcopy(captioner.state_dict())
    wording = Wording(SENTENCES, SENTENCES[:4], data.nothing, environment)
    spoiled = ["dog dog dog park park", "A ball red on lies table a blue.", "grass the through runs dog small"]
    log_p = wording.read([*SENTENCES, *spoiled]).log_p
    assert log_p[: len(SENTENCES)].min() > log_p[len(SENTENCES) :].max()
    seeds = wording.read(SENTENCES[:4]).log_p
    assert seeds.min() <= wording.usual <= seeds.max()
    head = wording.grammar_head([], 0)
    real = head(wording.read(SENTENCES).features)
    assert real.min() > head(wording.read(spoiled).features).max()
    assert all(torch.equal(captioner.state_dict()[name], tensor) for name, tensor in before.items())


def test_wording_reads_the_same_whatever_is_read_with_it(environment, data):
    wording = Wording(SENTENCES, SENTENCES, data.nothing, environment)
    together, alone = wording.read([SENTENCES[0], *SENTENCES]), wording.read([SENTENCES[0]])
    assert together.log_p[0] == together.log_p[1] == pytest.approx(alone.log_p[0], abs=1e-5)
    assert together.features.shape == (len(SENTENCES) + 1, 33)


def test_a_frozen_language_model_stays_frozen_in_wording(environment, data, captioner):
    captioner.lm.requires_grad_(False)
    wording = Wording(SENTENCES, SENTENCES, data.nothing, environment)
    copied = wording._model.lm.state_dict()
    assert all(torch.equal(copied[name], tensor) for name, tensor in captioner.lm.state_dict().items())


# -- the tuned text tower ---------------------------------------------------------------------------------------------


@pytest.fixture
def tuned(environment, data, encoder, monkeypatch):
    """At a rate at which so small a tower learns in a few steps."""
    monkeypatch.setattr(tower, "_RATE", 3e-3)
    return tower.tune_tower(encoder, data, 25, environment)


def test_a_tuned_tower_learns_grammar_and_whose_caption_is_whose(tuned, data, encoder, tiny_starter):
    fresh = load_encoder("starter")
    spoiled = [corrupt(one, ["dog", "red"], np.random.default_rng(i)) for i, one in enumerate(SENTENCES)]
    assert tuned.grammatical(SENTENCES).mean() > tuned.grammatical(spoiled).mean() + 0.15

    def fit(model):
        captions = [group[0] for group in data.seeds.captions[:8]]
        return float((model.encode_texts(captions, prompt=False) * data.seeds.images[:8]).sum(axis=1).mean())

    assert fit(tuned) > fit(encoder) + 0.05
    assert np.array_equal(encoder.encode_texts(SENTENCES), fresh.encode_texts(SENTENCES))
    assert all(not parameter.requires_grad for parameter in encoder.model.parameters())


def test_a_tower_that_cannot_be_tuned_is_refused(environment, data, encoder, monkeypatch):
    monkeypatch.setattr(encoder, "trims_texts", False)
    with pytest.raises(UserError, match="cannot be tuned"):
        tower.tune_tower(encoder, data, 1, environment)


# -- composition ------------------------------------------------------------------------------------------------------


def scorer_of(data, encoder, environment, **settings):
    return Scorer(data, encoder, Stage2Settings(**settings), environment)


def test_rewards_are_divided_by_their_spread_among_the_captions_of_a_photo(environment, data, encoder):
    scorer = scorer_of(data, encoder, environment, rewards=replace(NONE, repetition=0.5))
    captions = [*SENTENCES, *SENTENCES[::-1]]
    sampled = Sampled(captions, np.arange(4), np.ones(16, bool))
    before, _ = scorer.score(sampled, 0, 10, Progress())
    scorer.calibrate([sampled])
    before /= sharpness(encoder)  # which counts as long as nothing is measured
    spread = np.sqrt(before.reshape(4, 4).var(axis=1, ddof=1).mean())
    assert scorer.frozen() == {"spread_clip_s": pytest.approx(max(spread, 0.02 / sharpness(encoder)), rel=1e-3)}
    after, _ = scorer.score(sampled, 0, 10, Progress())
    assert after == pytest.approx(before / scorer.frozen()["spread_clip_s"], rel=1e-3)
    assert scorer.weights(0, 10).repetition == 0.5  # a penalty stays in units of its own


class Scaled:
    """``encoder`` as if it had learned with so many ``times`` the starter's scale."""

    def __init__(self, encoder: Any, times: float) -> None:
        self._encoder, self.logit_scale = encoder, times * STARTER_SCALE

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


class Narrow(Scaled):
    """So that differences of cosines are as many times smaller, and mean as much."""

    def narrowed(self, vectors: np.ndarray) -> np.ndarray:
        """Unit rows with one coordinate more, the same in all."""
        narrow = STARTER_SCALE / self.logit_scale
        rest = np.full((len(vectors), 1), np.sqrt(1 - narrow))
        return np.hstack([np.sqrt(narrow) * vectors, rest]).astype(np.float32)

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        return self.narrowed(self._encoder.encode_texts(texts, prompt))


def test_a_reward_is_the_same_whatever_scale_the_encoder_learned_with(environment):
    """Among captions of a photo, which is all that practice learns from; the penalties do not drown it."""
    rng = np.random.default_rng(0)
    photos = rng.random((4, 16)).astype(np.float32)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    sampled = Sampled([*SENTENCES, *SENTENCES[::-1]], np.arange(4), np.ones(16, bool))

    def advantages(times: float) -> np.ndarray:
        encoder: Any = Narrow(WordsAsVectors(), times)
        images = encoder.narrowed(photos)
        none = CaptionedVectors(np.zeros(0, np.int64), images[:0], ())
        data = TrainingData(none, none, images, np.arange(4), images[:0], none.ids)
        total, _ = scorer_of(data, encoder, environment).score(sampled, 0, 10, Progress())
        return leave_one_out(total, 4)

    assert np.ptp(advantages(1)) > 0.2
    assert advantages(4.52) == pytest.approx(advantages(1), abs=1e-4)


def test_weights_are_as_the_encoder_of_the_starter_has_them_to_the_bit_and_as_published(environment, data, encoder):
    given = replace(RewardWeights(), ref_clip_s=0.7)
    starter, clip = (
        scorer_of(data, Scaled(encoder, times), environment, rewards=given, clip_ramp=7) for times in (1, 4.52)
    )
    assert starter.weights(2, 100) == replace(given, clip_s=given.clip_s * (3 / 7))
    assert starter.weights(9, 100) == given
    assert clip.weights(9, 100) == replace(given, clip_s=4.52 * given.clip_s, ref_clip_s=4.52 * given.ref_clip_s)
    paper: Any = PRESETS["clip-reward-grammar"].stage2
    published = Scorer(data, encoder=Scaled(encoder, 4.52), settings=replace(paper, tower_steps=0), env=environment)  # pyright: ignore[reportArgumentType]
    assert published.weights(9, 100) == paper.rewards


def test_a_spread_is_measured_in_the_encoders_own_numbers(environment, data, encoder):
    """What is divided by its spread needs no other scale, and how small a spread may be follows the encoder."""
    alike = Sampled([SENTENCES[0]] * 16, np.arange(4), np.ones(16, bool))
    for times in (1, 4):
        scorer = scorer_of(data, Scaled(encoder, times), environment, rewards=RewardWeights(cider=0.5))
        scorer.calibrate([replace(alike, photos=alike.photos % len(scorer.images))])
        assert scorer.frozen() == {"spread_clip_s": 0.02 / times, "spread_contrastive": 0.02, "spread_cider": 0.02}
        assert scorer.weights(0, 10).clip_s == 1.0 / (0.02 / times)


def test_a_reward_that_was_added_counts_and_only_a_penalty_keeps_its_units(environment, data, encoder, monkeypatch):
    def words(captions, context):
        return np.array([float(len(caption.split())) for caption in captions])

    monkeypatch.setitem(REWARDS, "talk", KnownReward(words, penalty=False))
    monkeypatch.setitem(
        REWARDS, "shout", KnownReward(lambda captions, context: -words(captions, context), penalty=True)
    )
    rewards = replace(NONE, clip_s=0.0, added={"talk": 0.5, "shout": 0.25})
    scorer = scorer_of(data, encoder, environment, rewards=rewards)
    captions = [*SENTENCES, *SENTENCES[::-1]]
    sampled = Sampled(captions, np.arange(4), np.ones(16, bool))
    scorer.calibrate([sampled])
    spread = scorer.frozen()["spread_talk"]
    assert scorer.frozen() == {"spread_talk": pytest.approx(spread)} and spread != 1
    found, means = scorer.score(sampled, 0, 10, Progress())
    assert found == pytest.approx(words(captions, None) * (0.5 / spread - 0.25))
    assert means == {"talk": pytest.approx(words(captions, None).mean()), "shout": pytest.approx(-means["talk"])}


def test_weights_rise_as_they_should(environment, data, encoder):
    scorer = scorer_of(data, encoder, environment, clip_ramp=40, contrastive_ramp=1 / 3)
    full = scorer_of(data, encoder, environment).weights(0, 120)
    assert full == replace(RewardWeights(), clip_s=sharpness(encoder))
    assert scorer.weights(0, 120).clip_s == pytest.approx(full.clip_s / 40)
    assert scorer.weights(19, 120).contrastive == pytest.approx(full.contrastive / 2)
    assert scorer.weights(39, 120) == full
    assert scorer.weights(4, 10).clip_s == full.clip_s  # a stage that was cut short


def scorer_like(scorer):
    """The same scorer before it has learned any head."""
    other = copy.copy(scorer)
    other._head, other._head_of = None, -1
    return other


def test_the_grammar_head_learns_anew_from_what_went_wrong(environment, data, encoder):
    scorer = scorer_of(data, encoder, environment, rewards=RewardWeights(grammar=1.0), grammar_refresh=2)
    wrong = [f"{one.rstrip('.')} {one}" for one in SENTENCES[2:6]]
    sampled = Sampled([*wrong, SENTENCES[1]], np.array([0]), np.ones(5, bool))
    progress = Progress()
    first, _ = scorer.score(sampled, 0, 10, progress)
    scorer.remember(sampled, 0, progress)
    scorer.remember(sampled, 1, progress)
    assert progress.gone_wrong == [(0, one) for one in wrong]
    same, _ = scorer.score(sampled, 1, 10, progress)
    assert np.array_equal(first, same)
    later, _ = scorer.score(sampled, 2, 10, progress)
    without, _ = scorer_like(scorer).score(sampled, 2, 10, Progress())
    assert later[:4].mean() < without[:4].mean()


def config(preset, **changes):
    overrides = {**FAST, **changes.pop("overrides", {})}
    return TrainingConfig(with_overrides(PRESETS[preset], overrides), **changes)


def test_every_part_together_is_taken_up_again_as_if_never_stopped(data, captioner, encoder, tmp_path):
    asked = {**COMPOSED, "stage2.rewards.cider": 0.2, "stage2.rewards.ref_clip_s": 0.2, "stage2.max_tokens": 12}
    whole = Recorder()
    train_stages(
        data, copy.deepcopy(captioner), encoder, config("recommended", overrides=asked), tmp_path / "whole", whole
    )
    outcome = (tmp_path / "whole" / "stage2" / "outcome.json").read_text()
    for name in ("clip_s", "contrastive", "fluency", "grammar", "cider", "ref_clip_s"):
        assert f"spread_{name}" in outcome
    assert "usual_log_p" in outcome
    stopped = Recorder(stop_at=int(0.9 * whole.asked))
    with pytest.raises(Cancelled):
        train_stages(
            data, copy.deepcopy(captioner), encoder, config("recommended", overrides=asked), tmp_path / "parts", stopped
        )
    again = config("recommended", overrides=asked, resume=True)
    train_stages(data, captioner, encoder, again, tmp_path / "parts", QuietContext())
    assert torch.equal(weights(tmp_path / "whole" / "stage2"), weights(tmp_path / "parts" / "stage2"))


def test_cider_clip_practises_on_the_labelled_photos(data, captioner, encoder, tmp_path):
    ctx = Recorder()
    asked = {
        "stage2.steps": 14,
        "stage2.lr": 5e-4,
        "stage2.evaluate_every": 14,
        "stage2.samples": 6,
        "stage2.photos": 9,
    }
    train_stages(data, captioner, encoder, config("cider-clip", stages="2", overrides=asked), tmp_path, ctx)
    rewards = [row.reward for row in ctx.sent if getattr(row, "reward", None) is not None]
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4]) + 0.5


def test_cider_clip_without_captions_is_refused(data, captioner, encoder, tmp_path):
    none = CaptionedVectors(np.zeros(0, np.int64), np.zeros((0, DIM), np.float32), ())
    with pytest.raises(UserError, match="too few"):
        train_stages(
            replace(data, seeds=none), captioner, encoder, config("cider-clip", stages="2"), tmp_path, QuietContext()
        )


def test_the_grammar_preset_rewards_with_the_tuned_tower_and_judges_with_the_original(
    data, captioner, encoder, tmp_path
):
    scores = encoder.encode_texts(SENTENCES)
    report = train_stages(
        data, captioner, encoder, config("clip-reward-grammar", overrides={"stage2.tower_steps": 4}), tmp_path,
        QuietContext(),
    )  # fmt: skip
    assert '"reward_grammar"' in (tmp_path / "stage2" / "outcome.json").read_text()
    assert {"stage1", "stage2"} <= set(report.results)
    assert np.array_equal(encoder.encode_texts(SENTENCES), scores)


def test_both_published_weightings_of_grammar_can_be_had():
    code = PRESETS["clip-reward-grammar"]
    paper = with_overrides(code, {"stage2.rewards.clip_s": 1, "stage2.rewards.grammar": 2})
    assert (code.stage2.rewards.clip_s, code.stage2.rewards.grammar) == (2, 1)
    assert (paper.stage2.rewards.clip_s, paper.stage2.rewards.grammar) == (1, 2)
