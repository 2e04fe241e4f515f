"""Going on in smaller portions where the memory does not suffice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from core.captioner.lora import decoder_blocks
from core.errors import UserError
from core.running_out import MAY_SAY_SO, is_out_of_memory

T = TypeVar("T")

_ROWS_WITHOUT_CHECKPOINTS = 4
"""Fewer rows at once than this cost more time than computing activations twice."""


@dataclass(frozen=True)
class MicroBatch:
    """So many rows at once; ``checkpointing``: without keeping their activations (see :func:`checkpointed`)."""

    rows: int
    checkpointing: bool = False


class MicroBatches:
    """How much is computed at once: half as many rows from the moment on when the memory ran out.

    ``can_checkpoint``: whether the work can do without activations; then it has to before portions get tiny.
    """

    def __init__(self, rows: int, *, can_checkpoint: bool = False) -> None:
        self.micro = MicroBatch(max(1, rows))
        self._can_checkpoint = can_checkpoint

    def run(self, work: Callable[[MicroBatch], T]) -> T:
        """The result of ``work(micro)``, which begins anew with a smaller one as often as the memory runs out.

        Raises:
            UserError: not even one row fits.
        """
        while True:
            try:
                return work(self.micro)
            except MAY_SAY_SO as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, where no error holds on to the tensors of the attempt any more, is their memory free.
            torch.cuda.empty_cache()
            if torch.backends.mps.is_available():
                torch.mps.empty_cache()
            self._give_way()

    def _give_way(self) -> None:
        now = self.micro
        if now.rows < 2 * _ROWS_WITHOUT_CHECKPOINTS and self._can_checkpoint and not now.checkpointing:
            self.micro = MicroBatch(now.rows, checkpointing=True)
        elif now.rows > 1:
            self.micro = MicroBatch(now.rows // 2, now.checkpointing)
        else:
            raise UserError(
                "The memory does not suffice to train this model, not even on one caption at a time.",
                "Choose a smaller language model, train less of it (lm.train=none), or close other programs.",
            )


@contextmanager
def checkpointed(lm: nn.Module, wanted: bool) -> Iterator[None]:
    """Keep only what goes into each layer, and compute the layer again on the way back (arXiv 1604.06174).

    For passes without a cache: a layer that runs twice would append to it twice.
    """
    blocks = list(decoder_blocks(lm)) if wanted else []
    for block in blocks:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
