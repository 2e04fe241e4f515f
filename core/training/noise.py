"""Noise that makes a text vector lie as far from its sentence as a photo does (CapDec, arXiv 2211.00575)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F


def noise_variance(mean_cosine: float, dim: int) -> float:
    """The variance per coordinate that brings a unit vector to an expected cosine of ``mean_cosine`` with itself.

    E[cos] = 1/sqrt(1 + σ²D). A cosine near or above 1 gives no noise, one below 0.05 counts as 0.05.
    """
    cosine = min(max(mean_cosine, 0.05), 1.0)
    return (1.0 / cosine**2 - 1.0) / dim


def add_noise(vectors: torch.Tensor, variance: float, generator: torch.Generator) -> torch.Tensor:
    """Unit rows moved by Gaussian noise of ``variance`` per coordinate and normalised again; 0: normalised only."""
    if variance > 0:
        noise = torch.randn(vectors.shape, generator=generator, device=generator.device, dtype=vectors.dtype)
        vectors = vectors + math.sqrt(variance) * noise.to(vectors.device)
    return F.normalize(vectors, dim=-1)


def mean_cosine(images: np.ndarray, texts: np.ndarray) -> float:
    """Mean cosine of matching unit rows ``[n, dim]``."""
    return float(np.einsum("nd,nd->n", images, texts).mean())
