"""How many word pieces a caption may have: told by the seeds, so that long ones are learned and said to their end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from core.captioner.captioner import Captioner
from core.training.presets import Preset

USUAL = 32
"""What a bundle allows where the seeds are short."""
_JUDGED_ABOVE_SAMPLED = 8
_SAMPLED_WITHOUT_STAGE2 = 22
_PERCENTILE, _ALLOWANCE = 98, 6


@dataclass(frozen=True)
class TokenLimits:
    """Tokens of a caption, its end token counted, in learning, in stage 2's samples, in judging and in a bundle.

    ``cut``: captions to learn from that are longer than ``learned``; only their beginnings are.
    """

    learned: int
    sampled: int
    judged: int
    delivered: int
    cut: int

    def fitted(self, preset: Preset) -> Preset:
        """The preset with these limits in place of its own."""
        stage2 = preset.stage2 and replace(preset.stage2, max_tokens=self.sampled)
        return replace(preset, stage1=replace(preset.stage1, max_tokens=self.learned), stage2=stage2)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def token_limits(captions: Sequence[str], captioner: Captioner, preset: Preset) -> TokenLimits:
    """Room for all but the longest 2% of ``captions`` and a little more; the preset's limits are the least.

    The language model's positions are the most: captions that do not fit are counted.
    """
    room = captioner.max_tokens
    lengths = [len(ids) for ids in captioner.encode(captions, max_tokens=10**6)]
    needed = math.ceil(np.percentile(lengths, _PERCENTILE, method="higher")) + _ALLOWANCE if lengths else 0
    sampled = preset.stage2.max_tokens if preset.stage2 else _SAMPLED_WITHOUT_STAGE2
    least = (preset.stage1.max_tokens, sampled, sampled + _JUDGED_ABOVE_SAMPLED, USUAL)
    learned, sampled, judged, delivered = (min(room, max(one, needed)) for one in least)
    return TokenLimits(learned, sampled, judged, delivered, sum(length > learned for length in lengths))
