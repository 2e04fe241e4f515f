"""The mapper: from one image (or text) vector to the prefix that the language model reads before the caption."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from core.captioner.mapper_settings import MapperSettings

HALF_WAY = 0.5
SHARPNESS = 50.0
"""What cosines of photos and sentences are multiplied with, of the starter's encoder."""


class Mapper(nn.Module):
    """``[B, dim]`` to ``[B, prefix_length, width]``; ``settings`` have every number filled in.

    ``sentences``: vectors ``[m, dim]`` of sentences that every vector is moved towards before it is mapped; ``None``:
    it is mapped as it is. ``sharpness``: what the cosines to them are multiplied with; it belongs to them. ``way``: how
    far vectors are moved, 0..1; mixes of two stages go less far than half, and are not saved.
    """

    sentences: torch.Tensor | None

    def __init__(self, width: int, settings: MapperSettings) -> None:
        super().__init__()
        self.width, self.settings = width, settings
        self.register_buffer("sentences", None)
        self.sharpness, self.way = SHARPNESS, HALF_WAY

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.spread(self.moved(embeddings))

    def spread(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The prefix of vectors ``[B, dim]`` as they are."""
        raise NotImplementedError

    def moved(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Unit rows ``[B, dim]``, :attr:`way` of the way to where sentences about them would lie, unit rows.

        That place is the projection of DeCap (arXiv 2303.03032, section 3.2): the mean of :attr:`sentences`, weighed by
        a softmax over :attr:`sharpness` times their cosines. DeCap goes all the way; half of it keeps what no sentence
        says.
        """
        if self.sentences is None:
            return embeddings
        with torch.autocast(embeddings.device.type, enabled=False):
            vectors, sentences = embeddings.float(), self.sentences.float()
            target = torch.softmax(self.sharpness * vectors @ sentences.T, dim=-1) @ sentences
            moved = torch.lerp(vectors, F.normalize(target, dim=-1), self.way)
            return F.normalize(moved, dim=-1).to(embeddings.dtype)

    def move_towards(self, sentences: torch.Tensor | None, sharpness: float = SHARPNESS) -> None:
        """Have these :attr:`sentences` from now on, and their :attr:`sharpness`."""
        self.sentences, self.sharpness = sentences, sharpness

    @property
    def towards(self) -> tuple[torch.Tensor | None, float]:
        """What :meth:`move_towards` was given."""
        return self.sentences, self.sharpness

    @property
    def prefix_length(self) -> int:
        return self.settings.prefix_length

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class MlpMapper(Mapper):
    """ClipCap's MLP (arXiv 2111.09734): linear, Tanh, linear."""

    def __init__(self, dim: int, width: int, settings: MapperSettings) -> None:
        super().__init__(width, settings)
        hidden = settings.hidden
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, settings.prefix_length * width)
        )

    def spread(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.layers(embeddings).view(-1, self.prefix_length, self.width)


class LinearMapper(Mapper):
    """One linear layer (DeCap's arrangement), ``prefix_length`` vectors from it."""

    def __init__(self, dim: int, width: int, settings: MapperSettings) -> None:
        super().__init__(width, settings)
        self.linear = nn.Linear(dim, settings.prefix_length * width)

    def spread(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.linear(embeddings).view(-1, self.prefix_length, self.width)


class TransformerMapper(Mapper):
    """ClipCap's transformer (arXiv 2111.09734): the vector spread over ``clip_length`` positions, then
    ``prefix_length`` learned constants; what the layers make of the constants is the prefix."""

    def __init__(self, dim: int, width: int, settings: MapperSettings) -> None:
        super().__init__(width, settings)
        self.linear = nn.Linear(dim, settings.clip_length * width)
        self.constants = nn.Parameter(torch.randn(settings.prefix_length, width))
        self.layers = nn.ModuleList(_Layer(width, settings) for _ in range(settings.layers))

    def spread(self, embeddings: torch.Tensor) -> torch.Tensor:
        seen = self.linear(embeddings).view(-1, self.settings.clip_length, self.width)
        constants = self.constants[None].expand(seen.shape[0], -1, -1)
        states = torch.cat([seen, constants.to(seen.dtype)], dim=1)
        for layer in self.layers:
            states = layer(states)
        return states[:, self.settings.clip_length :]


class _Layer(nn.Module):
    """Pre-norm attention over all positions, then a feed-forward part with ReLU; no dropout."""

    def __init__(self, width: int, settings: MapperSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, settings.hidden), nn.Linear(settings.hidden, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self._attention(self.norm1(states))
        return states + self.fall(F.relu(self.rise(self.norm2(states))))

    def _attention(self, states: torch.Tensor) -> torch.Tensor:
        _, length, width = states.shape
        key, value = self.key_value(states).split(width, dim=-1)
        query, key, value = (
            one.view(-1, length, self.heads, width // self.heads).transpose(1, 2)
            for one in (self.query(states), key, value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).reshape(-1, length, width))


_KINDS = {"mlp": MlpMapper, "linear": LinearMapper, "transformer": TransformerMapper}


def make_mapper(dim: int, width: int, settings: MapperSettings) -> Mapper:
    """An untrained mapper from vectors of ``dim`` to a language model of ``width``.

    Raises:
        UserError: there is no such mapper, or it does not fit the width.
    """
    full = settings.resolved(width)
    return _KINDS[full.kind](dim, width, full)
