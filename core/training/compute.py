"""Where and how precisely training computes, and the random numbers of a step."""

from __future__ import annotations

import contextlib
import ctypes
import math
import platform
import zlib
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from core.devices import choose_device

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST_KEPT, _KEPT = 32 << 20, 1 << 30
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_SCALE, _SMALLEST_SCALE, _STEPS_TO_GROW = 2.0**16, 1.0, 200


class Precision:
    """How precisely training computes: matrix products in ``dtype``; weights and their updates always in float32.

    Small gradients vanish in float16. So a loss is multiplied by ``scale`` before its way back, and the gradients are
    divided by it afterwards; a step whose gradients overflow is left out, and the scale halved (arXiv 1710.03740). A
    model that float16 is too narrow for, at whatever scale, goes on in float32.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> None:
        self.dtype, self.device = dtype, device or torch.device("cpu")
        self.scale = _FIRST_SCALE if dtype == torch.float16 else 1.0
        self._good = 0

    @property
    def is_exact(self) -> bool:
        return self.dtype == torch.float32

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self.is_exact else torch.autocast(self.device.type, dtype=self.dtype)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of ``loss``, times ``scale``, to the weights'."""
        (loss if self.scale == 1.0 else loss * self.scale).backward()

    def step(self, optimiser: torch.optim.Optimizer, most: float = math.inf) -> bool:
        """One step with the gradients collected since they were cleared, as long as ``most`` together at most.

        Whether it was made: not where gradients overflowed, and what came of the forward pass may be no number either.
        """
        weights = [one for group in optimiser.param_groups for one in group["params"] if one.grad is not None]
        if self.scale != 1.0:
            for one in weights:
                one.grad.div_(self.scale)
        if most < math.inf or self.dtype == torch.float16:
            norm = nn.utils.clip_grad_norm_(weights, most)
            if self.dtype == torch.float16 and not self._fits(norm):
                return False
        optimiser.step()
        return True

    def told(self, values: torch.Tensor) -> None:
        """What a model has made in this precision: where it is no number, the model needs float32."""
        if not bool(values.isfinite().all()):
            self.dtype, self.scale = torch.float32, 1.0

    def _fits(self, norm: torch.Tensor) -> bool:
        if bool(norm.isfinite()):
            self._good += 1
            if self._good % _STEPS_TO_GROW == 0:
                self.scale *= 2
            return True
        self._good, self.scale = 0, self.scale / 2
        if self.scale < _SMALLEST_SCALE:
            self.dtype, self.scale = torch.float32, 1.0
        return False


def precision_of(name: str, device: torch.device) -> Precision:
    """``fp32``, ``bf16``, ``fp16``, or for ``auto`` what the hardware computes fastest.

    Cards before Ampere have no bfloat16 of their own, and from Volta on a float16 that is twice as fast and more.
    """
    if name != "auto":
        return Precision(_DTYPES[name], device)
    dtype = torch.float32
    if device.type == "cuda" and torch.version.hip:
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else dtype
    elif device.type == "cuda":
        chip = torch.cuda.get_device_capability(device)  # of this card: another may be the current one
        dtype = torch.bfloat16 if chip >= (8, 0) else torch.float16 if chip >= (7, 0) else dtype
    elif device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        dtype = torch.bfloat16
    return Precision(dtype, device)


def cpu_autocast() -> contextlib.AbstractContextManager[object]:
    """bfloat16 on the processor where it has the instructions; without them it is many times slower than float32."""
    return precision_of("auto", torch.device("cpu")).autocast()


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
