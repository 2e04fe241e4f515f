"""Mappers of every kind: shapes, published sizes, checkpoints that come back, settings that are refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from core.captioner.captioner import new_captioner, pad
from core.captioner.checkpoint import CheckpointError, load_captioner, save_captioner
from core.captioner.language_model import load_language_model
from core.captioner.mapper import make_mapper
from core.captioner.mapper_settings import MapperSettings
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from tests.tiny import DIM, SENTENCES

KINDS = {
    "mlp": MapperSettings("mlp", prefix_length=3, hidden=20),
    "linear": MapperSettings("linear", prefix_length=2),
    "transformer": MapperSettings("transformer", prefix_length=3, layers=2, heads=4, clip_length=5),
}
VECTORS = F.normalize(torch.randn(5, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.fixture(params=KINDS)
def captioner(request, tiny_starter):
    return new_captioner(load_encoder("starter"), load_language_model("starter"), KINDS[request.param], seed=1)


def parameters(mapper):
    return sum(one.numel() for one in mapper.parameters())


@pytest.mark.parametrize(
    ("dim", "width", "settings", "millions"),
    [
        (512, 768, MapperSettings("mlp"), 31.47),
        (640, 768, MapperSettings("mlp"), 31.96),
        (512, 768, MapperSettings("transformer"), 41.7),
        (640, 768, MapperSettings("transformer"), 42.7),
        (640, 768, MapperSettings("transformer", prefix_length=40, clip_length=40), 57.5),
        (512, 576, MapperSettings("transformer"), 24.2),
        (512, 768, MapperSettings("linear", prefix_length=1), 0.394),
    ],
)
def test_mappers_have_the_published_sizes(dim, width, settings, millions):
    with torch.device("meta"):
        mapper = make_mapper(dim, width, settings)
    assert parameters(mapper) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_every_kind_makes_a_prefix_that_depends_on_the_photo(captioner):
    prefix = captioner.prefix(VECTORS)
    assert prefix.shape == (5, captioner.info.prefix_length, 32)
    assert (prefix[0] - prefix[1]).abs().max() > 1e-3
    assert torch.allclose(captioner.prefix(VECTORS[2:3]), prefix[2:3], atol=1e-5)  # no row sees another
    assert captioner.prefix(VECTORS[:0]).shape == (0, captioner.info.prefix_length, 32)


def test_every_kind_learns(captioner):
    ids = pad(captioner.encode(SENTENCES[:5]))
    optimiser = torch.optim.Adam(captioner.mapper.parameters(), lr=1e-2)
    first = captioner.loss(VECTORS, ids).item()
    for _ in range(20):
        optimiser.zero_grad()
        captioner.loss(VECTORS, ids).backward()
        optimiser.step()
    assert all(one.grad is not None for one in captioner.mapper.parameters())
    assert captioner.loss(VECTORS, ids).item() < 0.8 * first


def test_every_kind_comes_back_from_its_checkpoint(captioner, tmp_path):
    save_captioner(captioner, tmp_path / "one", with_lm=False)
    again = load_captioner(tmp_path / "one")
    assert again.info == captioner.info
    assert torch.equal(again.prefix(VECTORS), captioner.prefix(VECTORS))


def test_one_seed_makes_one_mapper(tiny_starter):
    encoder, lm = load_encoder("starter"), load_language_model("starter")
    before = torch.get_rng_state()
    one, again, other = (new_captioner(encoder, lm, KINDS["transformer"], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.prefix(VECTORS), again.prefix(VECTORS))
    assert not torch.equal(one.prefix(VECTORS), other.prefix(VECTORS))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (MapperSettings("cross-attention"), "cross-attention"),  # pyright: ignore[reportArgumentType]
        (MapperSettings(prefix_length=0), "prefix_length"),
        (MapperSettings(prefix_length=60), "leaves no room"),
        (MapperSettings("transformer", heads=5), "heads"),
        (MapperSettings("transformer", layers=0), "layers"),
        (MapperSettings("transformer", clip_length=10**9), "clip_length"),
    ],
)
def test_mappers_that_cannot_be_are_refused_in_words(tiny_starter, settings, named):
    with pytest.raises(UserError, match=named) as refused:
        new_captioner(load_encoder("starter"), load_language_model("starter"), settings)
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mapper_type": "mlp"}, "does not fit"),
        ({"mapper_layers": 1}, "does not fit"),
        ({"mapper_layers": 10**6}, "layers"),
        ({"mapper_heads": 5}, "heads"),
        ({"clip_length": 6}, "clip_length"),
        ({"clip_length": -1}, "clip_length"),
        ({"mapper_type": "cross-attention"}, "cross-attention"),
    ],
)
def test_a_transformer_checkpoint_for_something_else_is_refused(tiny_starter, tmp_path, changes, named):
    made = new_captioner(load_encoder("starter"), load_language_model("starter"), KINDS["transformer"], seed=1)
    save_captioner(made, tmp_path / "one", with_lm=False)
    file = tmp_path / "one" / "checkpoint.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=named):
        load_captioner(tmp_path / "one")
