"""How precisely training computes: float16 with scaled losses, and float32 where that is too narrow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.training.compute import Precision, precision_of

CPU = torch.device("cpu")


def small(weight: float = 0.5) -> tuple[nn.Linear, torch.optim.Optimizer]:
    net = nn.Linear(4, 1, bias=False)
    nn.init.constant_(net.weight, weight)
    return net, torch.optim.SGD(net.parameters(), lr=1.0)


def stepped(precision: Precision, factor: float, most: float = float("inf"), weight: float = 0.5) -> torch.Tensor:
    """Weights after one step down the mean of what a layer says, times ``factor``."""
    net, optimiser = small(weight)
    with precision.autocast():
        said = net(torch.ones(2, 4))
    precision.backward(said.float().mean() * factor)
    precision.step(optimiser, most)
    return net.weight.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("most", [float("inf"), 0.1])
def test_a_step_is_the_same_at_every_scale(dtype, most):
    assert torch.allclose(stepped(Precision(dtype), 0.5, most), stepped(Precision(), 0.5, most), atol=1e-3)


def test_small_gradients_survive_float16():
    """1e-8 is below the smallest number that float16 has."""
    assert torch.float16 == Precision(torch.float16).dtype and torch.finfo(torch.float16).smallest_normal / 2**10 > 1e-8
    assert torch.allclose(stepped(Precision(torch.float16), 1e-8), torch.full((1, 4), 0.5 - 1e-8), rtol=0, atol=2e-9)


def test_a_step_that_overflows_is_left_out_and_the_scale_halved():
    precision = Precision(torch.float16)
    scale = precision.scale
    assert torch.equal(stepped(precision, 4.0), torch.full((1, 4), 0.5)), "4 times 65,536 is above what float16 has"
    assert precision.scale == scale / 2
    stepped(precision, 4.0)
    stepped(precision, 4.0)
    assert not torch.equal(stepped(precision, 4.0), torch.full((1, 4), 0.5)) and precision.dtype == torch.float16


def test_what_float16_is_too_narrow_for_goes_on_in_float32():
    precision = Precision(torch.float16)
    for _ in range(17):
        stepped(precision, 1e6)
    assert precision.is_exact and precision.scale == 1.0
    assert not torch.equal(stepped(precision, 1e-3), torch.full((1, 4), 0.5))


def test_the_scale_grows_where_nothing_overflows():
    precision = Precision(torch.float16)
    scale = precision.scale
    for _ in range(200):
        stepped(precision, 1e-3)
    assert precision.scale == 2 * scale


def test_an_exact_gradient_that_is_not_a_number_stays_one():
    """Nothing is swallowed where no scale explains it: the checks of the stage see it."""
    assert stepped(Precision(), float("nan"), 1.0).isnan().all()


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_person_may_choose(name, dtype):
    assert precision_of(name, CPU).dtype == dtype


@pytest.mark.parametrize(
    ("chip", "dtype"), [((9, 0), torch.bfloat16), ((7, 5), torch.float16), ((6, 1), torch.float32)]
)
def test_a_card_computes_in_what_it_is_fast_in(chip, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda card: chip if card.index == 1 else (9, 9))
    monkeypatch.setattr(torch.version, "hip", None)
    assert precision_of("auto", torch.device("cuda:1")).dtype == dtype


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cards_of_another_maker_say_it_themselves(bf16, dtype, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    assert precision_of("auto", torch.device("cuda:0")).dtype == dtype
