"""The pieces of training, each against what it must be: noise, rewards, advantages, gradients, guards, data."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.captioner.captioner import IGNORE, pad
from core.captioner.checkpoint import load_captioner
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.training.compute import numpy_rng
from core.training.data import CaptionedVectors, hard_neighbours, make_training_data
from core.training.gates import check_gates
from core.training.lengths import token_limits
from core.training.noise import add_noise, noise_variance
from core.training.policy import Batch, PolicyOptions, logit_gradient, policy_backward
from core.training.presets import PRESETS, RewardWeights, Stage2Settings, find_preset, read_preset, with_overrides
from core.training.rewards import RewardContext, contrastive, leave_one_out, total_reward
from core.training.rollout import Sampler
from core.training.runfolder import RunFolder, read_rows, to_toml
from core.training.stage1 import cycle, warm_up_cosine
from core.training.state import Progress, copy_of, load_state, save_state, trained_weights
from core.training.texts import text_vectors
from tests.tiny import DIM, SENTENCES


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner")


# -- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "variance"), [(512, 0.016), (640, 0.016), (512, 0.001)])
def test_noise_turns_a_vector_by_the_expected_cosine(dim, variance):
    vectors = torch.from_numpy(unit(2000, dim))
    noisy = add_noise(vectors, variance, torch.Generator().manual_seed(0))
    assert torch.allclose(noisy.norm(dim=1), torch.ones(2000), atol=1e-5)
    cosine = (vectors * noisy).sum(1).mean().item()
    assert cosine == pytest.approx(1 / np.sqrt(1 + variance * dim), rel=0.02)


def test_no_noise_still_normalises():
    vectors = 3 * torch.from_numpy(unit(4, 8))
    assert torch.allclose(add_noise(vectors, 0.0, torch.Generator()), F.normalize(vectors, dim=-1))


def test_the_variance_for_a_cosine_brings_that_cosine():
    vectors = torch.from_numpy(unit(4000, 256))
    for wanted in (0.25, 0.36, 0.8):
        noisy = add_noise(vectors, noise_variance(wanted, 256), torch.Generator().manual_seed(1))
        assert (vectors * noisy).sum(1).mean().item() == pytest.approx(wanted, rel=0.02)
    assert noise_variance(1.0, 256) == 0
    assert np.isfinite(noise_variance(-0.2, 256))


# -- rewards ----------------------------------------------------------------------------------------------------------


def context(captions, *, cosines=0.3, finished=True, samples=1):
    """A context where every caption has these cosines to its photo and none to the others."""
    photos = len(captions) // samples
    images = np.eye(photos, 2 * photos + 1, dtype=np.float32)
    own = np.repeat(images, samples, axis=0)
    spare = np.zeros_like(own)
    spare[:, -1] = 1
    cosines = np.broadcast_to(np.asarray(cosines, np.float32), len(captions))[:, None]
    texts = cosines * own + np.sqrt(1 - cosines**2) * spare
    ended = np.broadcast_to(finished, len(captions))
    return RewardContext(images, texts, ended, samples, length_mean=7, length_spread=2)


def test_a_word_list_earns_less_than_a_sentence_even_if_the_scorer_prefers_it():
    captions = ["dog dog dog park park", "a dog runs in a park"]
    total, _ = total_reward(captions, context(captions, cosines=[0.40, 0.36]), RewardWeights())
    assert total[0] < total[1]
    alone, _ = total_reward(captions, context(captions, cosines=[0.40, 0.36]), PRESETS["two-stage"].stage2.rewards)
    assert alone[0] > alone[1]  # which is what similarity alone would teach


@pytest.mark.parametrize(
    ("worse", "better", "finished"),
    [
        ("a dog runs with a", "a dog runs with it", True),
        ("a dog runs in a park", "a dog runs in a park", [False, True]),
        ("a dog a dog a dog runs", "a dog and two cats run", True),
        ("a dog", "a dog runs in the park", True),
        ("a dog runs " + "and jumps and sits and eats and plays " * 3, "a dog runs in the park", True),
        ("", "a dog runs in the park", True),
    ],
)
def test_each_penalty_bites(worse, better, finished):
    captions = [worse, better]
    total, _ = total_reward(captions, context(captions, finished=finished), RewardWeights())
    assert total[0] < total[1]


def test_rewards_of_weight_zero_are_not_computed():
    captions = ["a dog", "a cat"]
    weights = RewardWeights(contrastive=0, repetition=0, stutter=0, bad_ending=0, no_end=0, length=0)
    total, parts = total_reward(captions, context(captions, cosines=0.4), weights)
    assert set(parts) == {"clip_s"}
    assert total == pytest.approx([1.0, 1.0])


def test_the_contrastive_reward_prefers_captions_that_tell_photos_apart():
    images = unit(4, 16)
    own = np.concatenate([images, np.repeat(images[:1], 4, axis=0)])
    apart = RewardContext(images, own[:4], np.ones(4, bool), 1, 7, 2)
    same = RewardContext(images, own[4:], np.ones(4, bool), 1, 7, 2)
    captions = [""] * 4
    assert (contrastive(captions, apart) > contrastive(captions, same))[1:].all()
    assert contrastive(captions, same).min() >= -4


def test_the_contrastive_reward_is_the_mean_of_both_directions():
    images, texts = unit(3, 8), unit(6, 8, seed=1)
    found = contrastive([""] * 6, RewardContext(images, texts, np.ones(6, bool), 2, 7, 2, contrastive_scale=5.0))
    for row in range(6):
        photo, sample = divmod(row, 2)
        to_image = 5 * texts[row] @ images.T
        to_text = 5 * texts[sample::2] @ images[photo]
        expected = (
            to_image[photo] - np.log(np.exp(to_image).sum()) + to_text[photo] - np.log(np.exp(to_text).sum())
        ) / 2
        assert found[row] == pytest.approx(max(expected, -4), abs=1e-5)


def test_leave_one_out_advantages():
    rewards = np.array([1.0, 2.0, 6.0, 4.0, 4.0, 4.0])
    advantages = leave_one_out(rewards, 3)
    assert advantages.reshape(2, 3).sum(axis=1) == pytest.approx([0, 0])
    assert advantages[0] == pytest.approx(1.0 - (2.0 + 6.0) / 2)
    assert (advantages[3:] == 0).all()
    assert (leave_one_out(rewards, 1) == 0).all()


def test_leave_one_out_gradient_is_that_of_the_expected_reward():
    """All pairs of samples of a three-token policy, weighted by their probability, against finite differences."""
    logits = torch.tensor([0.2, -0.4, 0.7], dtype=torch.float64, requires_grad=True)
    reward = np.array([1.0, 0.0, 3.0])
    probabilities = torch.softmax(logits, 0).detach().numpy()
    total = torch.zeros(3, dtype=torch.float64)
    for pair in itertools.product(range(3), repeat=2):
        advantages = torch.from_numpy(leave_one_out(reward[list(pair)], 2))
        surrogate = (advantages * torch.log_softmax(logits, 0)[list(pair)]).mean()
        [gradient] = torch.autograd.grad(surrogate, logits)
        total += probabilities[pair[0]] * probabilities[pair[1]] * gradient

    def expected(values):
        return float(torch.softmax(values, 0).detach() @ torch.from_numpy(reward))

    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 1e-5
        slope = (expected(logits + step) - expected(logits - step)) / 2e-5
        assert total[i].item() == pytest.approx(slope, rel=1e-4)


def test_leave_one_out_finds_the_better_arm():
    logits = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.SGD([logits], lr=0.5)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        arms = torch.multinomial(torch.softmax(logits, 0), 5, replacement=True, generator=generator)
        payoff = np.where(arms.numpy() == 1, 1.0, 0.2)
        loss = -(torch.from_numpy(leave_one_out(payoff, 5)).float() * torch.log_softmax(logits, 0)[arms]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.softmax(logits, 0)[1] > 0.95


# -- the policy gradient ----------------------------------------------------------------------------------------------


def batch_of(captioner, captions=SENTENCES[:6], advantages=(1.0, -0.5, 2.0, -1.0, 0.3, -1.8)):
    """Two samples of each of three photos."""
    return Batch(torch.from_numpy(unit(3, DIM)), pad(captioner.encode(captions)), torch.tensor(advantages))


def gradients(module):
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def options(**changes):
    return PolicyOptions(**{"temperature": 0.9, "beta": 0.0, "micro_rows": 100, "bf16": False, **changes})


def test_the_policy_gradient_is_that_of_the_plain_formula(captioner):
    batch = batch_of(captioner)
    policy_backward(captioner, None, batch, options(), QuietContext())
    found = gradients(captioner)
    captioner.zero_grad()
    embeddings = batch.embeddings.repeat_interleave(2, dim=0)
    use = batch.ids != IGNORE
    ids = batch.ids.clamp(min=0)
    log_pi = torch.log_softmax(captioner.logits(embeddings, ids) / 0.9, -1).gather(-1, ids[..., None])[..., 0]
    (-(batch.advantages[:, None] * log_pi * use).sum() / use.sum()).backward()
    assert torch.allclose(found, gradients(captioner), atol=1e-5)


def test_micro_batches_change_nothing(captioner):
    reference = copy.deepcopy(captioner)
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    found = []
    for rows in (100, 4, 1):
        captioner.zero_grad()
        settings = options(beta=0.3, micro_rows=rows)
        losses = policy_backward(captioner, reference, batch_of(captioner), settings, QuietContext())
        found.append((gradients(captioner), losses))
    for other, losses in found[1:]:
        assert torch.allclose(found[0][0], other, atol=1e-5)
        assert losses.kl_caption == pytest.approx(found[0][1].kl_caption, rel=1e-3)


@pytest.mark.parametrize("bf16", [False, True])
def test_kl_to_itself_is_zero_and_pulls_nowhere(captioner, bf16):
    batch = batch_of(captioner, advantages=(0.0,) * 6)
    losses = policy_backward(captioner, copy.deepcopy(captioner), batch, options(beta=1.0, bf16=bf16), QuietContext())
    assert losses.kl_token == pytest.approx(0, abs=1e-6)
    assert gradients(captioner).abs().max() < 1e-6


def test_kl_grows_with_the_distance_and_pulls_back(captioner):
    reference = copy.deepcopy(captioner)
    with torch.no_grad():
        captioner.mapper.layers[0].weight.add_(0.3)
    batch = batch_of(captioner, advantages=(0.0,) * 6)
    optimiser = torch.optim.SGD(captioner.parameters(), lr=0.05)
    found = []
    for _ in range(15):
        optimiser.zero_grad()
        found.append(policy_backward(captioner, reference, batch, options(beta=1.0), QuietContext()).kl_caption)
        optimiser.step()
    assert found[0] > 0.1
    assert found[-1] < 0.7 * found[0]


def test_the_gradient_by_the_logits_is_that_of_the_formula():
    torch.manual_seed(0)
    logits = torch.randn(50, 9, dtype=torch.float64).float().requires_grad_()
    reference, chosen, weights = torch.randn(50, 9), torch.randint(9, (50,)), torch.randn(50)
    gradient, surrogate, kl = logit_gradient(logits, chosen, weights, reference, options(beta=0.3))
    log_pi, log_reference = torch.log_softmax(logits, -1), torch.log_softmax(reference, -1)
    plain_kl = (log_pi.exp() * (log_pi - log_reference)).sum()
    picked = torch.log_softmax(logits / 0.9, -1)[torch.arange(50), chosen]
    plain = -(weights * picked).sum()
    (plain + 0.3 * plain_kl).backward()
    assert torch.allclose(gradient, logits.grad, atol=1e-5)
    assert (surrogate, kl) == pytest.approx((plain.item(), plain_kl.item()), rel=1e-4)
    assert kl > 0


def test_samples_end_repeat_with_their_seed_and_come_photo_by_photo(captioner):
    images = torch.from_numpy(unit(3, DIM))

    def draw(seed, bf16=False):
        sampler = Sampler(captioner, bf16)
        return sampler.sample(images, 4, 0.9, 24, torch.Generator().manual_seed(seed), QuietContext())

    one, again, other = draw(1), draw(1), draw(2)
    assert one.ids.shape == (12, 24)
    assert torch.equal(one.ids, again.ids)
    assert not torch.equal(one.ids, other.ids)
    for row, tokens, finished in zip(one.ids, one.token_lists(), one.finished, strict=True):
        assert finished == (tokens[-1] == captioner.end_token_id)
        assert captioner.end_token_id not in tokens[:-1]
        assert finished or len(tokens) == 24
        assert (row[len(tokens) :] == IGNORE).all()
    assert draw(1, bf16=True).ids.shape == (12, 24)


def test_samples_follow_the_policys_probabilities(captioner):
    image = torch.from_numpy(unit(1, DIM))
    drawn = Sampler(captioner, False).sample(image, 3000, 0.9, 1, torch.Generator().manual_seed(0), QuietContext())
    counts = torch.bincount(drawn.ids[:, 0], minlength=300) / 3000
    expected = torch.softmax(captioner.logits(image, torch.zeros(1, 1, dtype=torch.long))[0, 0] / 0.9, -1)
    assert (counts - expected).abs().max() < 0.03


def test_a_refreshed_sampler_follows_the_policy(captioner):
    image = torch.from_numpy(unit(1, DIM))
    sampler = Sampler(captioner, True)
    with torch.no_grad():
        captioner.lm.get_input_embeddings().weight[5] *= 30
        captioner.mapper.layers[2].weight.mul_(3)
    fresh = Sampler(captioner, True)
    sampler.refresh()
    draw = lambda s: s.sample(image, 20, 0.9, 5, torch.Generator().manual_seed(0), QuietContext()).ids  # noqa: E731
    assert torch.equal(draw(sampler), draw(fresh))


def test_cancel_is_asked_at_every_sampling_step_and_micro_batch(captioner):
    class Count(QuietContext):
        asked, stop_at = 0, 10**9

        def check_cancelled(self):
            self.asked += 1
            if self.asked >= self.stop_at:
                raise Cancelled

    ctx = Count()
    rollouts = Sampler(captioner, False).sample(
        torch.from_numpy(unit(2, DIM)), 3, 0.9, 10, torch.Generator().manual_seed(0), ctx
    )
    assert ctx.asked >= max(len(tokens) for tokens in rollouts.token_lists())
    ctx = Count()
    policy_backward(captioner, None, batch_of(captioner), options(micro_rows=2), ctx)
    assert ctx.asked == 3


# -- guards -----------------------------------------------------------------------------------------------------------

GOOD = {
    "rep2": 0.0, "immediate_repeat": 0.0, "bad_ending": 0.0, "no_end": 0.0,
    "length": 9.0, "fluency_nll": 2.0, "unique_ratio": 0.9,
}  # fmt: skip


def states(kl=1.0, photos=200, before=GOOD, **changes):
    return {gate.name: gate.state for gate in check_gates({**GOOD, **changes}, before, 9.0, kl, photos)}


def test_a_good_model_is_green_everywhere():
    assert set(states().values()) == {"green"}


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("repetition", {"rep2": 0.03}),
        ("stutter", {"immediate_repeat": 0.03}),
        ("ending", {"bad_ending": 0.08}),
        ("unfinished", {"no_end": 0.05}),
        ("length", {"length": 14.0}),
        ("length", {"length": 5.0}),
        ("fluency", {"fluency_nll": 2.6}),
        ("variety", {"unique_ratio": 0.4}),
        ("drift", {"kl": 9.0}),
    ],
)
def test_each_guard_turns_red_alone(gate, changes):
    found = states(**changes)
    assert found.pop(gate) == "red"
    assert set(found.values()) == {"green"}


def test_guards_warn_before_they_are_red():
    assert states(fluency_nll=2.3)["fluency"] == "amber"
    assert states(kl=7.0)["drift"] == "amber"
    assert states(length=11.5)["length"] == "amber"


def test_long_captions_may_move_further():
    def drift(kl, words):
        rows = check_gates({**GOOD, "length": words}, {**GOOD, "length": words}, words, kl, 200)
        return {gate.name: gate.state for gate in rows}["drift"]

    assert [drift(kl, 5.0) for kl in (5.0, 7.0, 9.0)] == ["green", "amber", "red"]
    assert [drift(kl, 20.0) for kl in (10.0, 14.0, 18.0)] == ["green", "amber", "red"]


def test_a_model_that_began_shorter_than_the_seeds_may_stay_so_but_not_shrink():
    began = {**GOOD, "length": 5.0}  # of nine words
    assert states(before=began, length=5.0)["length"] == "green"
    assert states(before=began, length=7.0)["length"] == "green"
    assert states(before=began, length=4.5)["length"] == "amber"
    assert states(before=began, length=3.5)["length"] == "red"


def test_what_stage_1_did_already_is_not_held_against_stage_2():
    poor = {**GOOD, "bad_ending": 0.2, "unique_ratio": 0.3}
    assert states(before=poor, bad_ending=0.2, unique_ratio=0.3)["ending"] != "red"
    assert states(before=poor, bad_ending=0.2, unique_ratio=0.3)["variety"] != "red"


def test_one_odd_caption_among_few_is_no_alarm():
    assert states(photos=8, bad_ending=1 / 8)["ending"] != "red"
    assert states(photos=200, bad_ending=1 / 8)["ending"] == "red"


# -- data -------------------------------------------------------------------------------------------------------------


def captioned(first, count, seed):
    captions = tuple((f"caption {i}",) for i in range(count))
    return CaptionedVectors(np.arange(first, first + count), unit(count, 8, seed=seed), captions)


def data_of(number, hashes=None):
    ids = np.arange(100, 100 + number)
    return make_training_data(
        captioned(0, 6, 0),
        captioned(6, 2, 1),
        (ids, unit(number, 8, seed=2), hashes or [str(i) for i in range(number)]),
    )


def test_photos_are_in_one_part_only():
    data = data_of(50)
    parts = [data.seeds.ids, data.held_seeds.ids, data.unlabelled_ids, data.gallery_ids]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) == 58
    assert 5 <= len(data.gallery) <= 15
    assert set(data.sample_photos()[0]) <= set(data.gallery_ids)


def test_held_out_photos_stay_held_out_when_more_come():
    few, many = data_of(50), data_of(80)
    assert set(few.gallery_ids) < set(many.gallery_ids)
    assert not set(few.unlabelled_ids) & set(many.gallery_ids)


def test_a_small_library_has_a_gallery_too():
    for number in (10, 15, 20):
        assert len(data_of(number).gallery) >= number // 10
    assert len(data_of(0).gallery) == 0


def test_the_data_hash_knows_captions_and_photos():
    one = data_of(20)
    assert one.sha256() == data_of(20).sha256()
    assert one.sha256() != data_of(21).sha256()
    other = make_training_data(
        CaptionedVectors(one.seeds.ids, one.seeds.images, (("another",), *one.seeds.captions[1:])),
        one.held_seeds,
        (one.unlabelled_ids, one.unlabelled, [str(i) for i in range(len(one.unlabelled))]),
    )
    assert one.sha256() != other.sha256()


def test_hard_neighbours_leave_out_the_very_nearest():
    images = unit(30, 6)
    near = hard_neighbours(images, (3, 6))
    order = np.argsort(-(images @ images.T), axis=1)[:, 1:]
    cosine = np.take_along_axis(images @ images.T, order, axis=1)
    for i in range(30):
        allowed = order[i][cosine[i] <= 0.97]
        assert near[i].tolist() == allowed[2:6].tolist()


def test_cycle_gives_everything_once_an_epoch():
    drawn = [cycle(10, 4, step, seed=1, purpose="x") for step in range(10)]
    assert all(len(one) == 4 for one in drawn)
    flat = [i for one in drawn for i in one]
    for epoch in range(4):
        assert sorted(flat[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert flat[:10] != flat[10:20]
    assert sorted(np.bincount(cycle(3, 7, 0, seed=1, purpose="x"))) == [2, 2, 3]
    assert cycle(0, 4, 0, seed=1, purpose="x") == []


def test_random_numbers_depend_on_seed_purpose_and_step():
    one = numpy_rng(1, "a", 5).random()
    assert one == numpy_rng(1, "a", 5).random()
    assert len({one, numpy_rng(2, "a", 5).random(), numpy_rng(1, "b", 5).random(), numpy_rng(1, "a", 6).random()}) == 4


def test_the_learning_rate_warms_up_and_falls():
    scales = [warm_up_cosine(step, 200) for step in range(200)]
    peak = int(np.argmax(scales))
    assert scales[0] < 0.2
    assert 5 <= peak <= 20
    assert scales == sorted(scales[:peak]) + sorted(scales[peak:], reverse=True)
    assert 0 < scales[-1] < 0.1


def test_a_caption_is_encoded_once():
    class Counting:
        seen = 0

        def encode_texts(self, texts, prompt=True):
            self.seen += len(texts)
            return np.array([[len(text), prompt, 0, 1] for text in texts], np.float32).reshape(-1, 4)

    encoder = Counting()
    assert text_vectors(encoder, ["a", "bb", "a"], prompt=True)[:, 0].tolist() == [1, 2, 1]
    assert encoder.seen == 2
    assert text_vectors(encoder, [], prompt=True).shape == (0, 4)


# -- presets, files ---------------------------------------------------------------------------------------------------


def test_settings_are_changed_by_name():
    preset = with_overrides(
        find_preset("recommended"),
        {
            "stage2.steps": "7",
            "stage2.rewards.clip_s": 2,
            "stage1.noise": 0.01,
            "lm.train": "lora",
            "stage2.gated": "0",
        },
    )
    assert (preset.stage2.steps, preset.stage2.rewards.clip_s, preset.stage1.noise) == (7, 2.0, 0.01)
    assert preset.lm.train == "lora"
    assert preset.stage2.gated is False
    assert PRESETS["recommended"].stage2.steps != 7


@pytest.mark.parametrize(
    "changes",
    [{"stage3.steps": 1}, {"stage2.step": 1}, {"stage2.steps": "many"}, {"stage2": 1}, {"stage2.steps.x": 1}, {"": 1}],
)
def test_settings_that_are_not_there_are_refused(changes):
    with pytest.raises(UserError) as refused:
        with_overrides(find_preset("recommended"), changes)
    assert refused.value.next_step


def test_an_unknown_preset_is_refused_with_the_names_there_are():
    with pytest.raises(UserError) as refused:
        find_preset("best")
    assert "recommended" in refused.value.next_step


def test_toml_is_read_back_as_it_was():
    import tomllib

    values = {"a": 1, "b": [1.5, 2e-5], "c": True, "none": None, "sub": {"text": 'with "quotes"\n', "deep": {"x": "é"}}}
    assert tomllib.loads(to_toml(values)) == {k: v for k, v in values.items() if v is not None}
    preset = PRESETS["recommended"]
    assert preset.stage2 is not None
    assert tomllib.loads(to_toml({"preset": preset}))["preset"]["stage2"]["lr"] == preset.stage2.lr


def test_rows_after_a_state_are_forgotten(tmp_path):
    run = RunFolder(tmp_path)
    for stage, step in [(1, 10), (1, 20), (2, 5), (2, 10)]:
        run.add_row("metrics.jsonl", {"stage": stage, "step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": 2, "st')  # cut off by a crash
    run.forget_rows_after(2, 5)
    assert [(row["stage"], row["step"]) for row in read_rows(tmp_path / "metrics.jsonl")] == [(1, 10), (1, 20), (2, 5)]


def test_a_row_that_was_cut_off_within_a_letter_harms_no_other(tmp_path):
    """Captions are anything: letters of several bytes, and signs that some call the end of a line."""
    run = RunFolder(tmp_path)
    first, second = ({"stage": 1, "step": n, "captions": {"7": f"café{chr(0x2028)}au lait {n}"}} for n in (1, 2))
    run.add_row("samples.jsonl", first)
    with (tmp_path / "samples.jsonl").open("ab") as file:
        file.write('{"stage": 1, "step": 2, "captions": {"7": "café'.encode()[:-1])
    assert read_rows(tmp_path / "samples.jsonl") == [first]
    run.forget_rows_after(1, 1)
    run.add_row("samples.jsonl", second)
    assert read_rows(tmp_path / "samples.jsonl") == [first, second]


def test_a_state_brings_back_weights_moments_and_counters(tmp_path):
    def model():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        net[0].bias.requires_grad_(False)
        return net, torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1)

    def train(net, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (net(torch.ones(2, 3)) - 3).square().sum().backward()
            optimiser.step()

    whole, optimiser = model()
    train(whole, optimiser, 8)
    first, optimiser = model()
    train(first, optimiser, 5)
    progress = Progress(step=5, best_score=-1.5, values={"beta": 0.1})
    save_state(tmp_path / "s" / "state.safetensors", first, optimiser, copy_of(trained_weights(first)), progress)
    second, optimiser = model()
    best, found = load_state(tmp_path / "s" / "state.safetensors", second, optimiser)
    assert found == progress
    assert all(torch.equal(best[name], value) for name, value in trained_weights(first).items())
    train(second, optimiser, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_damaged_state_is_refused(tmp_path):
    net = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(net.parameters())
    file = tmp_path / "state.safetensors"
    save_state(file, net, optimiser, copy_of(trained_weights(net)), Progress())
    other = nn.Linear(3, 3)
    with pytest.raises(UserError, match="state"):
        load_state(file, other, torch.optim.AdamW(other.parameters()))
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match="state"):
        load_state(file, net, optimiser)


# -- how long captions may be -----------------------------------------------------------------------------------------


def test_short_captions_leave_the_limits_as_they_are(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits(["A dog.", "A cat."] * 10, captioner, PRESETS["recommended"])
    assert (limits.learned, limits.sampled, limits.judged, limits.delivered, limits.cut) == (48, 22, 30, 32, 0)
    assert limits.fitted(PRESETS["recommended"]) == PRESETS["recommended"]
    assert token_limits([], captioner, PRESETS["clipcap-mlp"]).fitted(PRESETS["clipcap-mlp"]).stage2 is None


def test_long_captions_get_room_everywhere(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    long = " ".join(SENTENCES[:2])
    [ids] = captioner.encode([long])
    assert 32 < len(ids) < captioner.max_tokens - 6
    limits = token_limits([long, "A dog."], captioner, PRESETS["recommended"])
    assert {limits.sampled, limits.judged, limits.delivered} == {len(ids) + 6}
    assert limits.learned >= len(ids)
    assert limits.cut == 0


def test_the_models_room_is_the_most_and_what_is_cut_is_counted(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits([" ".join(SENTENCES)] * 3 + ["A dog."], captioner, PRESETS["recommended"])
    assert {limits.learned, limits.sampled, limits.judged, limits.delivered} == {captioner.max_tokens}
    assert limits.cut == 3


def test_one_caption_in_a_hundred_does_not_set_the_limits(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits(["A dog."] * 99 + [" ".join(SENTENCES)], captioner, PRESETS["recommended"])
    assert (limits.sampled, limits.cut) == (22, 1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_read_back_as_it_was_written(name):
    preset = PRESETS[name]
    assert read_preset(json.loads(json.dumps(asdict(preset)))) == preset


def test_settings_that_are_new_or_gone_do_not_keep_a_preset_from_being_read():
    document = json.loads(json.dumps(asdict(PRESETS["recommended"])))
    del document["stage2"]["lr_floor"]
    document["stage1"]["forgotten"] = 3
    document["stage2"]["temperature"] = 0.9
    read = read_preset(document)
    assert read.stage2 is not None
    assert (read.stage2.temperature, read.stage2.lr_floor) == (0.9, Stage2Settings().lr_floor)
