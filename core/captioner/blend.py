"""Between two stages of one training: a captioner whose weights are the weighted mean of both.

Averaging the weights of a model before and after fine-tuning gives models whose behaviour lies between the two
(Wortsman et al. 2022, arXiv 2109.01903): here from the wording of the seeds to telling photos apart.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path

import torch

from core.captioner.captioner import Captioner, CheckpointInfo
from core.captioner.checkpoint import CheckpointError, load_captioner
from core.errors import UserError

_MAY_DIFFER = ("caption_tokens",)


def check_share(share: float) -> None:
    """Refuse a share that is not from 0 to 1 in words."""
    if not 0.0 <= share <= 1.0:
        raise UserError(
            f"How distinctive captions are to be is a number from 0 to 1, not {share:g}.",
            "0 is the wording after stage 1, 1 is all that stage 2 has learned.",
        )


@torch.no_grad()
def blend(fluent: Captioner, distinctive: Captioner, share: float) -> Captioner:
    """A new captioner with the weights ``(1 - share) · fluent + share · distinctive``; neither is changed.

    Raises:
        UserError: ``share`` is not from 0 to 1, or the two are not stages of one model; it names what differs.
    """
    check_share(share)
    _refuse_others(fluent.info, distinctive.info)
    result = copy.deepcopy(fluent)
    others = dict(distinctive.named_parameters())
    ours = dict(result.named_parameters())
    if ours.keys() != others.keys():
        odd = sorted(ours.keys() ^ others.keys())[0]
        raise CheckpointError(f"The two stages cannot be mixed: only one of them has {odd}.", "Choose another run.")
    for name, tensor in ours.items():
        other = others[name]
        if tensor.shape != other.shape:
            raise CheckpointError(
                f"The two stages cannot be mixed: {name} is {tuple(tensor.shape)} in one and {tuple(other.shape)} in "
                "the other.",
                "Choose another run.",
            )
        tensor.copy_(torch.lerp(tensor, other.to(tensor), share))
    if share > 0 and distinctive.mapper.sentences is not None:
        result.mapper.move_towards(distinctive.mapper.sentences.clone(), distinctive.mapper.sharpness)
        if fluent.mapper.sentences is None:
            result.mapper.way *= share
    longest = max(fluent.info.caption_tokens, distinctive.info.caption_tokens)
    result.info = replace(fluent.info, caption_tokens=longest)
    return result.eval()


def load_blend(
    ends: tuple[Path, Path],
    share: float,
    encoder_fingerprint: str | None = None,
    device: str | torch.device = "cpu",
) -> Captioner:
    """The mix of two checkpoint folders, the fluent one first."""
    check_share(share)
    fluent, distinctive = (load_captioner(folder, encoder_fingerprint, device) for folder in ends)
    return blend(fluent, distinctive, share)


def _refuse_others(one: CheckpointInfo, other: CheckpointInfo) -> None:
    for field in fields(CheckpointInfo):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a != b and field.name not in _MAY_DIFFER:
            raise CheckpointError(
                f"The two stages cannot be mixed: {field.name} is {a!r} in one and {b!r} in the other.",
                "Choose another run.",
            )
