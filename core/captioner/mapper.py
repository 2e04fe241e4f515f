"""The mapper: from one image (or text) vector to the prefix that the language model reads before the caption."""

from __future__ import annotations

import torch
from torch import nn


class MlpMapper(nn.Module):
    """ClipCap's MLP (arXiv 2111.09734): linear, Tanh, linear; ``[B, dim]`` to ``[B, prefix_length, width]``."""

    kind = "mlp"

    def __init__(self, dim: int, hidden: int, prefix_length: int, width: int) -> None:
        super().__init__()
        self.prefix_length, self.width = prefix_length, width
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, prefix_length * width))

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.layers(embeddings).view(-1, self.prefix_length, self.width)
