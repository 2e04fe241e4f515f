"""The arithmetic of training, each piece against its formula: noise, rewards, advantages, gradients, samples."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.captioner.captioner import IGNORE, pad
from core.captioner.checkpoint import load_captioner
from core.jobs import Cancelled, QuietContext
from core.training.compute import Precision
from core.training.memory import MicroBatch
from core.training.noise import add_noise, noise_variance
from core.training.policy import Batch, PolicyOptions, logit_gradient, policy_backward
from core.training.presets import PRESETS, RewardWeights
from core.training.rewards import RewardContext, contrastive, leave_one_out, total_reward
from core.training.rollout import Sampler
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


def test_captions_with_negative_cosines_do_not_tie():
    """As SigLIP has them of most true pairs."""
    captions = ["a dog", "a cat"]
    given = replace(context(captions, cosines=0.4), texts=-np.array([[0.2, 0.98], [0.1, 0.995]]), images=np.eye(2)[:1])
    weights = RewardWeights(contrastive=0, repetition=0, stutter=0, bad_ending=0, no_end=0, length=0)
    total, _ = total_reward(captions, replace(given, samples=2), weights)
    assert total == pytest.approx([-0.5, -0.25])


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
    return PolicyOptions(
        **{"temperature": 0.9, "beta": 0.0, "micro": MicroBatch(100), "precision": Precision(), **changes}
    )


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
    for micro in (MicroBatch(100), MicroBatch(4), MicroBatch(1), MicroBatch(4, checkpointing=True)):
        captioner.zero_grad()
        settings = options(beta=0.3, micro=micro)
        losses = policy_backward(captioner, reference, batch_of(captioner), settings, QuietContext())
        found.append((gradients(captioner), losses))
    for other, losses in found[1:]:
        assert torch.allclose(found[0][0], other, atol=1e-5)
        assert losses.kl_caption == pytest.approx(found[0][1].kl_caption, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_kl_to_itself_is_zero_and_pulls_nowhere(captioner, dtype):
    batch, precision = batch_of(captioner, advantages=(0.0,) * 6), Precision(dtype)
    settings = options(beta=1.0, precision=precision)
    losses = policy_backward(captioner, copy.deepcopy(captioner), batch, settings, QuietContext())
    assert losses.kl_token == pytest.approx(0, abs=1e-6)
    assert gradients(captioner).abs().max() / precision.scale < 1e-6


@pytest.mark.parametrize("micro", [MicroBatch(100), MicroBatch(4, checkpointing=True)])
def test_a_gradient_in_float16_is_that_of_float32_times_its_scale(captioner, micro):
    found = []
    for precision in (Precision(), Precision(torch.float16)):
        captioner.zero_grad()
        settings = options(beta=0.3, precision=precision, micro=micro)
        policy_backward(captioner, copy.deepcopy(captioner), batch_of(captioner), settings, QuietContext())
        found.append(gradients(captioner) / precision.scale)
    exact, half = found
    assert float((half - exact).norm() / exact.norm()) < 0.01
    assert precision.scale > 1 and not torch.equal(half, exact)


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

    def draw(seed, dtype=torch.float32):
        sampler = Sampler(captioner, dtype)
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
    assert draw(1, torch.bfloat16).ids.shape == (12, 24)


def test_samples_follow_the_policys_probabilities(captioner):
    image = torch.from_numpy(unit(1, DIM))
    drawn = Sampler(captioner).sample(image, 3000, 0.9, 1, torch.Generator().manual_seed(0), QuietContext())
    counts = torch.bincount(drawn.ids[:, 0], minlength=300) / 3000
    expected = torch.softmax(captioner.logits(image, torch.zeros(1, 1, dtype=torch.long))[0, 0] / 0.9, -1)
    assert (counts - expected).abs().max() < 0.03


def test_a_refreshed_sampler_follows_the_policy(captioner):
    image = torch.from_numpy(unit(1, DIM))
    sampler = Sampler(captioner, torch.bfloat16)
    with torch.no_grad():
        captioner.lm.get_input_embeddings().weight[5] *= 30
        captioner.mapper.layers[2].weight.mul_(3)
    fresh = Sampler(captioner, torch.bfloat16)
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
    rollouts = Sampler(captioner).sample(
        torch.from_numpy(unit(2, DIM)), 3, 0.9, 10, torch.Generator().manual_seed(0), ctx
    )
    assert ctx.asked >= max(len(tokens) for tokens in rollouts.token_lists())
    ctx = Count()
    policy_backward(captioner, None, batch_of(captioner), options(micro=MicroBatch(2)), ctx)
    assert ctx.asked == 3
