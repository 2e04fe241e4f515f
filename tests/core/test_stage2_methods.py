"""The methods of stage 2: what each learns from, and that its gradient is what it says."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core.captioner.captioner import IGNORE, pad
from core.captioner.checkpoint import load_captioner
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.encoder import sharpness
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.metrics.clip_score import clip_s, row_cosines
from core.training import methods
from core.training.bridge import Bridge
from core.training.candidates import FromCandidates, dico_weights, loser_shares, passes, winners
from core.training.compute import Precision
from core.training.data import CaptionedVectors, TrainingData, make_training_data
from core.training.loop import TrainingConfig, train_stages
from core.training.memory import MicroBatch
from core.training.methods import above_last, chosen_method, make_method, with_greedy
from core.training.policy import Batch, PolicyOptions, log_probabilities, logit_gradient
from core.training.practice import Moment, Practice
from core.training.presets import PRESETS, RewardWeights, Stage2Settings, find_preset, with_overrides
from core.training.runfolder import RunFolder, read_rows
from core.training.scoring import Scorer
from core.training.state import Progress
from core.training.steps import Environment
from core.training.straight_through import Drawing, StraightThrough, draw_soft
from tests.tiny import SENTENCES, random_pixels, write_tiny_encoder

METHODS = ("leave-one-out", "self-critical", "straight-through", "best-of-n", "dico")
ALONE = PRESETS["two-stage"].stage2.rewards


class Counter(QuietContext):
    """Cancels when asked for the ``stop_at``-th time whether to."""

    def __init__(self, stop_at=10**9):
        self.asked, self.stop_at = 0, stop_at

    def check_cancelled(self):
        self.asked += 1
        if self.asked >= self.stop_at:
            raise Cancelled


@pytest.fixture
def encoder(tiny_starter):
    return load_encoder("starter")


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner").requires_grad_(True)


@pytest.fixture
def images(encoder):
    return encoder.encode_images(random_pixels(16, seed=3))


@pytest.fixture
def practice(captioner, encoder, images, tmp_path):
    """Builds a :class:`Practice` on 16 photos; settings by name."""

    def build(ctx=None, on=None, **changes):
        wanted = {"photos": 4, "samples": 3, "temperature": 1.0, "max_tokens": 24, "beta": 0.0, "rewards": ALONE}
        settings = Stage2Settings(**{**wanted, **changes})
        judge = SimpleNamespace()
        env = Environment(captioner, judge, RunFolder(tmp_path), ctx or QuietContext(), 0, Precision())
        reference = copy.deepcopy(captioner).requires_grad_(False)
        none = CaptionedVectors(np.zeros(0, np.int64), images[:0], ())
        photos = images if on is None else on
        data = TrainingData(none, none, photos, np.arange(len(photos)), images[:0], none.ids)
        return Practice(Scorer(data, encoder, settings, env), encoder, settings, env, reference)

    return build


def moment(step, beta=0.0, at_once=40):
    return Moment(step, 100, beta, MicroBatch(at_once), Progress())


def gradients(module):
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


# -- straight through -------------------------------------------------------------------------------------------------


def draw(captioner, images, bridge, tau, seed=0):
    generators = [torch.Generator().manual_seed(100 * seed + i) for i in range(len(images))]
    tables = (bridge.first, bridge.later)
    return draw_soft(captioner, torch.from_numpy(images), generators, Drawing(1.0, tau, 24), tables, QuietContext())


def rows_of(ids):
    return [row[row != IGNORE].tolist() for row in ids]


@pytest.mark.parametrize("tau", [1.0, 0.5, 1e-4])
def test_what_is_scored_is_the_text_that_is_shown(captioner, encoder, images, tau):
    bridge = Bridge(encoder, captioner)
    soft = draw(captioner, images, bridge, tau)
    rows = rows_of(soft.ids)
    cosines = bridge.similarities(torch.from_numpy(images), rows, soft.words)
    shown = [captioner.decode(row) for row in rows]
    assert len(set(shown)) > 4
    expected = row_cosines(images, encoder.encode_texts(shown))
    assert np.allclose(cosines.detach().numpy(), expected, atol=1e-5)


def test_the_words_drawn_do_not_depend_on_tau_and_are_hard_where_it_is_small(captioner, encoder, images):
    bridge = Bridge(encoder, captioner)
    warm, cold = draw(captioner, images, bridge, 1.0), draw(captioner, images, bridge, 1e-5)
    assert torch.equal(warm.ids, cold.ids)
    for place, table in ((0, bridge.first), (1, bridge.later)):
        use = cold.ids[:, place] != IGNORE
        assert torch.allclose(cold.words[use, place], table[cold.ids[use, place]], atol=1e-4)
    assert not torch.allclose(warm.words[:, 0], cold.words[:, 0], atol=1e-2)


def test_words_are_drawn_with_the_models_probabilities(captioner, encoder, images):
    bridge, many = Bridge(encoder, captioner), np.repeat(images[:1], 1500, axis=0)
    generators = [torch.Generator().manual_seed(i) for i in range(len(many))]
    with torch.no_grad():
        one_word = Drawing(0.8, 1.0, 1)
        tables = (bridge.first, bridge.later)
        ids = draw_soft(captioner, torch.from_numpy(many), generators, one_word, tables, QuietContext()).ids
        logits = captioner.logits(torch.from_numpy(images[:1]), torch.zeros(1, 1, dtype=torch.long))[0, 0]
    shares = torch.bincount(ids[:, 0], minlength=len(logits)) / len(many)
    assert (shares - torch.softmax(logits / 0.8, -1)).abs().max() < 0.04


def test_the_gradient_by_a_word_is_what_the_score_would_change(captioner, encoder, images):
    bridge = Bridge(encoder, captioner)
    rows = captioner.encode(["A red ball lies."])
    words = bridge.later[torch.tensor(rows)].clone().requires_grad_()
    image = torch.from_numpy(images[:1])
    before = bridge.similarities(image, rows, words)
    (gradient,) = torch.autograd.grad(before.sum(), words)
    ids, table = encoder.caption_ids(["A red ball lies."])[0].tolist(), encoder.token_embedding()
    place = next(i for i, one in enumerate(rows[0]) if i and ids.count(one) == 1)  # same word on both sides, said once
    direction = torch.randn(table.weight.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        table.weight[rows[0][place]] += 1e-3 * direction
        after = bridge.similarities(image, rows, words)
    expected = float(gradient[0, place] @ direction)
    assert float(after - before.detach()) / 1e-3 == pytest.approx(expected, rel=0.05)
    assert abs(expected) > 1e-4


def test_a_step_reaches_every_part_of_the_mapper(practice, captioner):
    done = make_method(practice(method="straight-through")).practise(moment(0), np.arange(4))
    assert all(parameter.grad.abs().max() > 0 for parameter in captioner.mapper.parameters())
    assert done.reward == pytest.approx(done.parts["clip_s"])


def test_micro_batches_change_nothing(practice, captioner):
    found = []
    for micro_rows in (40, 5):
        captioner.zero_grad()
        done = make_method(practice(method="straight-through")).practise(moment(2, at_once=micro_rows), np.arange(4))
        found.append((done.reward, gradients(captioner)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4, rtol=1e-3)


def test_the_brake_works_here_too(practice, captioner):
    chosen = practice(method="straight-through", beta=1.0, rewards=replace(ALONE, clip_s=0.0))
    with torch.no_grad():
        captioner.mapper.layers[0].weight.add_(0.3)
    done = make_method(chosen).practise(moment(0, 1.0), np.arange(4))
    assert done.losses.kl_caption > 0.1
    assert gradients(captioner).abs().max() > 0


def test_rewards_without_a_gradient_are_refused(practice):
    with pytest.raises(UserError, match="contrastive, repetition") as refused:
        make_method(practice(method="straight-through", rewards=RewardWeights()))
    assert "leave-one-out" in refused.value.next_step


def test_an_encoder_without_words_is_refused(practice, monkeypatch):
    chosen = practice(method="straight-through")
    monkeypatch.setattr(chosen.encoder, "token_embedding", lambda: None)
    with pytest.raises(UserError, match="starter"):
        StraightThrough(chosen)


def test_cancel_is_asked_for_every_word(practice):
    ctx = Counter(stop_at=3)
    with pytest.raises(Cancelled):
        make_method(practice(ctx, method="straight-through")).practise(moment(0), np.arange(4))


@pytest.fixture
def other_encoder(tmp_path, monkeypatch):
    """An encoder that cuts text in another way than the captioner does."""
    from core.bench import tiny_models

    monkeypatch.setattr(tiny_models, "SENTENCES", [" ".join(reversed(one.lower().split())) for one in SENTENCES])
    return load_encoder(f"open_clip:local-dir:{write_tiny_encoder(tmp_path / 'other')}")


def test_two_vocabularies_are_bridged(captioner, other_encoder, images):
    bridge, text = Bridge(other_encoder, captioner), "A red ball."
    rows = captioner.encode([text])
    ids = other_encoder.caption_ids([text])
    assert other_encoder.tokenizer.tokenizer.get_vocab() != captioner.tokenizer.get_vocab()
    places = bridge._places(ids.numpy(), rows, len(rows[0]))[0]
    spelled = [other_encoder.tokenizer.tokenizer.decode([i]) for i in ids[0].tolist()]
    sums = places.sum(axis=1)
    seen = [place for place, total in enumerate(sums) if total]
    assert np.allclose(sums[seen], 1.0)
    drawn = "".join("".join(spelled[i] for i in seen).split())
    assert drawn == "".join(text.split())  # the prompt and the end are not drawn
    table = other_encoder.token_embedding().weight
    inner = other_encoder.tokenizer.tokenizer
    spelling = {i: captioner.tokenizer.decode([i]) for i in range(1, 299)}
    spaced = [i for i, word in spelling.items() if word.startswith(" ") and word.strip().isalpha()]
    assert len(spaced) > 5
    for one in spaced:
        cut = [i for i in inner.encode(spelling[one], add_special_tokens=False) if inner.decode([i]).strip()]
        assert torch.allclose(bridge.later[one], table[cut].mean(dim=0), atol=1e-5)
    cosines = bridge.similarities(torch.from_numpy(images[:1]), rows, bridge.later[torch.tensor(rows)])
    assert float(cosines) == pytest.approx(float(images[0] @ other_encoder.encode_texts([text])[0]), abs=1e-5)


# -- the other methods ------------------------------------------------------------------------------------------------


def test_the_baseline_of_self_critical_is_the_greedy_caption(practice, captioner, images):
    chosen, photos = practice(method="self-critical"), np.arange(4)
    drawn, greedy = chosen.draw(photos, 0), chosen.draw(photos, 0, greedy=True)
    options = DecodingOptions(method="greedy", max_tokens=24, no_repeat_ngram=0)
    plain = [captioner.decode(best.tokens) for best, *_ in decode(TorchDecoder(captioner), images[:4], options)]
    both = chosen.sampled(photos, with_greedy(drawn, greedy)).captions
    assert both[3::4] == plain
    assert [both[i] for i in range(16) if i % 4 != 3] == chosen.sampled(photos, drawn).captions


def test_advantages_above_the_last():
    rewards, advantages = above_last(np.array([1.0, 2.0, 0.5, 3.0, 0.0, 4.0]), 3)
    assert rewards.tolist() == [1.0, 2.0, 3.0, 0.0]
    assert advantages.tolist() == [0.5, 1.5, -1.0, -4.0]


def test_log_probabilities_are_those_of_the_tokens(captioner, images):
    ids = pad(captioner.encode(SENTENCES[:6]))
    batch = Batch(torch.from_numpy(images[:3]), ids, torch.zeros(6))
    found = log_probabilities(captioner, batch, PolicyOptions(1.0, 0.0, MicroBatch(4), Precision()), QuietContext())
    for i in range(6):
        row = ids[i : i + 1][:, : int((ids[i] != IGNORE).sum())]
        expected = -captioner.token_losses(batch.embeddings[i // 2][None], row).sum().item()
        assert float(found[i]) == pytest.approx(expected, abs=1e-3)


def test_only_sound_captions_win():
    captions = ["a dog on a mat", "a dog with a", "a a dog", "red ball red ball", "a cat"]
    passing = passes(captions, np.array([True, True, True, True, False]))
    assert passing.tolist() == [True, False, False, False, False]
    rewards = np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 3.0]])
    assert winners(rewards, np.array([[True, False, True], [False] * 3])).tolist() == [2, -1]


def test_dico_weights_are_the_gradient_of_the_loss():
    rng = np.random.default_rng(0)
    rewards, moved = rng.normal(size=(3, 4)) / 100, torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    best = rewards.argmax(axis=1)
    different = np.ones((3, 4), bool)
    gamma = loser_shares(rewards, best, different, 300.0)
    assert np.allclose(gamma.sum(axis=1), 1) and np.allclose(gamma[np.arange(3), best], 0)
    worst = rewards.argmin(axis=1)
    assert (gamma.argmax(axis=1) == worst).all()
    margin = moved[range(3), best] - (torch.from_numpy(gamma) * moved).sum(dim=1)
    (-nn.functional.logsigmoid(0.2 * margin)).sum().backward()
    assert np.allclose(dico_weights(moved.detach().numpy(), best, gamma, 0.2), -moved.grad.numpy())


def test_copies_of_the_winner_and_photos_without_one_lose_nothing():
    rewards = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.5, 0.0]])
    different = np.array([[False, False, True], [False] * 3, [True] * 3])
    best = np.array([0, 0, -1])
    gamma = loser_shares(rewards, best, different, 300.0)
    assert gamma.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    weights = dico_weights(np.zeros((3, 3)), best, gamma, 0.2)
    assert weights[0].tolist() == pytest.approx([0.1, 0, -0.1])
    assert not weights[1:].any()


def test_dico_learns_to_prefer_the_winners(practice, captioner):
    chosen = practice(method="dico")
    method, photos = make_method(chosen), np.arange(4)
    assert isinstance(method, FromCandidates)
    optimiser = torch.optim.Adam(captioner.parameters(), lr=1e-3)
    for _ in range(5):
        optimiser.zero_grad()
        method.practise(moment(0), photos)
        optimiser.step()
    drawn = method._store.of(photos)
    captions = chosen.sampled(photos, drawn.rollouts()).captions
    rewards = clip_s(row_cosines(np.repeat(chosen.images[photos], 3, axis=0), chosen.vectors(captions))).reshape(4, 3)
    best = winners(rewards, passes(captions, drawn.finished.reshape(-1)).reshape(4, 3))
    batch = Batch(chosen.embeddings(photos), drawn.rollouts().ids, torch.zeros(12))
    now = log_probabilities(captioner, batch, chosen.options(1.0, MicroBatch(40)), QuietContext()).numpy().reshape(4, 3)
    moved = now - drawn.reference
    others = [np.delete(row, place).mean() for row, place in zip(moved, best, strict=True) if place >= 0]
    won = [row[place] for row, place in zip(moved, best, strict=True) if place >= 0]
    assert others and np.mean(won) > np.mean(others) + 0.5


def test_candidates_are_drawn_once_a_round(practice, monkeypatch):
    chosen, drawn = practice(method="best-of-n", round_epochs=1), []
    draw = chosen.draw
    monkeypatch.setattr(
        chosen, "draw", lambda photos, step: drawn.append((step, photos.tolist())) or draw(photos, step)
    )
    method = make_method(chosen)
    for step, photos in enumerate(([0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 4, 5], [5, 6, 7, 8], [0, 1, 2, 3])):
        method.practise(moment(step), np.array(photos))
    assert drawn == [(0, [0, 1, 2, 3]), (1, [4, 5]), (3, [6, 7, 8]), (4, [0, 1, 2, 3])]  # 16 photos: rounds of 4 steps


def test_damaged_candidates_are_refused(practice):
    chosen = practice(method="best-of-n")
    make_method(chosen).practise(moment(0), np.arange(4))
    next(chosen.env.run.candidates.glob("*.npz")).write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="damaged"):
        make_method(chosen).practise(moment(1), np.arange(4))


def test_the_entropy_term_is_that_of_the_formula():
    logits = torch.randn(70, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    options = PolicyOptions(0.9, 0.0, MicroBatch(4), Precision(), entropy=0.7)
    gradient, _, _ = logit_gradient(logits, torch.zeros(70, dtype=torch.long), torch.zeros(70), None, options)
    log_pi = torch.log_softmax(logits, -1)
    (0.7 * (log_pi.exp() * log_pi).sum()).backward()
    assert torch.allclose(gradient, logits.grad, atol=1e-6)
    assert logits.grad.abs().max() > 0.01


# -- which one --------------------------------------------------------------------------------------------------------


def test_a_large_model_on_a_processor_learns_from_the_best(captioner, monkeypatch):
    assert chosen_method(Stage2Settings(), captioner) == "leave-one-out"
    monkeypatch.setattr(methods, "has_large_lm", lambda _: True)
    assert chosen_method(Stage2Settings(), captioner) == "best-of-n"
    assert chosen_method(Stage2Settings(method="leave-one-out"), captioner) == "leave-one-out"


def test_methods_that_are_not_there_are_refused():
    with pytest.raises(UserError, match="reinforce") as refused:
        with_overrides(find_preset("recommended"), {"stage2.method": "reinforce"})
    assert "self-critical" in refused.value.next_step
    assert with_overrides(find_preset("two-stage"), {"stage2.method": "dico"}).stage2.method == "dico"


def mean_reward(chosen):
    """Of captions drawn for all photos, with the same random numbers whatever was learned."""
    photos = np.arange(len(chosen.images))
    found = []
    for step in range(100, 103):
        drawn = chosen.sampled(photos, chosen.draw(photos, step))
        found.append(chosen.score(moment(step), drawn)[0].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_reward_of_sixteen_photos_rises(practice, captioner, encoder, method):
    """Similarity alone, no brake: it rises, or there is no gradient. The photos lie where texts do."""
    words = [sentence.split() for sentence in SENTENCES]
    texts = [" ".join(words[i % 8][:3] + words[(i + 1 + i // 8) % 8][3:]) for i in range(16)]
    vectors = encoder.encode_texts(texts)
    apart = vectors - vectors.mean(axis=0)
    images = apart / np.linalg.norm(apart, axis=1, keepdims=True) + 0.3 * vectors.mean(axis=0)
    images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
    chosen = practice(method=method, photos=16, round_epochs=2, on=images)
    before, learning = mean_reward(chosen), make_method(chosen)
    optimiser = torch.optim.Adam(captioner.parameters(), lr=1e-2 if method == "straight-through" else 3e-3)
    for step in range(10):
        optimiser.zero_grad()
        learning.practise(moment(step), np.arange(16))
        optimiser.step()
    assert mean_reward(chosen) > before + 0.04 * sharpness(encoder), "in cosines of the starter, as rewards are"


# -- in a training ----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(encoder, images):
    captions = tuple((SENTENCES[i % 8],) for i in range(6))
    seeds = CaptionedVectors(np.arange(6), encoder.encode_images(random_pixels(6, seed=4)), captions)
    held = CaptionedVectors(np.arange(6, 8), encoder.encode_images(random_pixels(2, seed=5)), captions[:2])
    return make_training_data(seeds, held, (np.arange(8, 24), images, ["x"] * 16))


def config(method, preset="two-stage", resume=False, **changes):
    fast = {"method": method, "photos": 8, "samples": 4, "evaluate_every": 100, "max_tokens": 24, **changes}
    changed = with_overrides(find_preset(preset), {f"stage2.{name}": value for name, value in fast.items()})
    return TrainingConfig(changed, stages="2", resume=resume)


@pytest.mark.parametrize(("method", "preset"), [("straight-through", "two-stage"), ("dico", "recommended")])
def test_stopped_and_taken_up_again_is_as_if_never_stopped(data, captioner, encoder, tmp_path, method, preset):
    changes = {"steps": 5, "photos": 4, "lr": 1e-3, "evaluate_every": 3}

    def run(name, ctx, resume=False):
        fresh = copy.deepcopy(captioner)
        train_stages(data, fresh, encoder, config(method, preset, resume, **changes), tmp_path / name, ctx)
        return torch.cat([one.detach().flatten() for one in load_captioner(tmp_path / name / "stage2").parameters()])

    whole = Counter()
    expected = run("whole", whole)
    with pytest.raises(Cancelled):
        run("parts", Counter(stop_at=int(0.7 * whole.asked)))
    assert torch.equal(run("parts", Counter(), resume=True), expected)
    assert read_rows(tmp_path / "whole" / "metrics.jsonl") == read_rows(tmp_path / "parts" / "metrics.jsonl")
