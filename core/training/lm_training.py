"""Opening a captioner for a stage, so that what shall learn does, and closing it again."""

from __future__ import annotations

import copy

from core.captioner.captioner import Captioner
from core.captioner.lora import add_adapters, attention_weights, decoder_blocks, merge
from core.training.presets import LmSettings
from core.training.state import Weights, copy_of, trained_weights


def begin(captioner: Captioner, settings: LmSettings, seed: int) -> Weights:
    """Make the mapper and what ``settings`` (decided, not ``auto``) name of the language model trainable.

    Copies of everything that a stage may then change are returned, by their names without adapters.
    """
    captioner.requires_grad_(False)
    captioner.mapper.requires_grad_(True)
    if settings.train == "all":
        captioner.lm.requires_grad_(True)
    elif settings.train == "last":
        for block in decoder_blocks(captioner.lm)[-settings.blocks :]:
            block.requires_grad_(True)
    before = copy_of(trained_weights(captioner))
    if settings.train == "lora":
        named = dict(captioner.named_parameters())
        names = [f"lm.{name}" for name in attention_weights(captioner.lm)]
        before |= copy_of({name: named[name] for name in names})
        add_adapters(captioner.lm, settings.rank, seed)
    return before


def end(captioner: Captioner) -> None:
    """Merge adapters into the weights: after a stage nothing knows of them."""
    merge(captioner.lm)


def unchanging_copy(captioner: Captioner, *, share_lm: bool) -> Captioner:
    """A copy to compare with; a language model of which nothing learns need not be there twice."""
    known = {id(captioner.lm): captioner.lm} if share_lm else {}
    return copy.deepcopy(captioner, known).requires_grad_(False)
