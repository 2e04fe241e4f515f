"""Going on in smaller portions where the memory does not suffice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class MicroBatches:
    """How many rows are computed at once: half as many from the moment on when the memory ran out.

    ``can_checkpoint``: whether the work can do without activations (see :func:`checkpointed`); then ``checkpointing``
    becomes true before portions get tiny.
    """

    def __init__(self, rows: int, *, can_checkpoint: bool = False) -> None:
        self.rows = max(1, rows)
        self.checkpointing = False
        self._can_checkpoint = can_checkpoint

    def run(self, work: Callable[[int], T]) -> T:
        """The result of ``work(rows)``, which begins anew with fewer rows as often as the memory runs out.

        Raises:
            UserError: not even one row fits.
        """
        while True:
            try:
                return work(self.rows)
            except MAY_SAY_SO as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, where no error holds on to the tensors of the attempt any more, is their memory free.
            torch.cuda.empty_cache()
            if torch.backends.mps.is_available():
                torch.mps.empty_cache()
            self._give_way()

    def _give_way(self) -> None:
        if self.rows <= _ROWS_WITHOUT_CHECKPOINTS and self._can_checkpoint and not self.checkpointing:
            self.checkpointing = True
        elif self.rows > 1:
            self.rows //= 2
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
