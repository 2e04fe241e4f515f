"""Where and how precisely training computes, and the random numbers of a step."""

from __future__ import annotations

import ctypes
import platform
import zlib
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from core.devices import choose_device

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST_KEPT, _KEPT = 32 << 20, 1 << 30


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: ``auto`` says yes where the hardware does that faster."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(bf16: bool, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def cpu_autocast() -> torch.autocast:
    """bfloat16 on the processor where it has the instructions; without them it is many times slower than float32."""
    cpu = torch.device("cpu")
    return autocast(use_bf16("auto", cpu), cpu)


def set_attention(lm: nn.Module, *, training: bool) -> None:
    """Compute attention in the way that is fastest for ``lm`` here; both give the same up to rounding.

    On a CPU the gradient of the fused kernel is three times as slow as that of plain matrix products for captions of
    some twenty tokens; without a gradient the fused one wins.
    """
    on_cpu = next(lm.parameters()).device.type == "cpu"
    cast(Any, lm).set_attn_implementation("eager" if training and on_cpu else "sdpa")


def keep_freed_memory() -> None:
    """Let the process keep what tensors of a step freed: glibc gives it back, and the next step clears it anew.

    Elsewhere than with glibc nothing happens. Tensors above 32 MB are always given back.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def numpy_rng(seed: int, purpose: str, step: int) -> np.random.Generator:
    """Random numbers that depend on the run's seed, what they are for and the step alone.

    So a training that was stopped goes on exactly as if it had not been: there is no generator state to keep.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), step])


def torch_rng(seed: int, purpose: str, step: int) -> torch.Generator:
    """The same for torch, on the CPU so that every device draws the same numbers."""
    return torch.Generator().manual_seed(int(numpy_rng(seed, purpose, step).integers(2**62)))


def best_device() -> torch.device:
    """What trains where nobody chose; see :func:`core.devices.choose_device`."""
    return torch.device(choose_device().name)
