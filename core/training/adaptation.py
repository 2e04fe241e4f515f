"""What of a language model learns, and how fast, where a preset leaves that open: its size and the captions decide.

A language model as small as the starter's learns as a whole. A large one forgets its language over a handful of
captions, so at first only the mapper learns, then adapters on its attention, then more. The figures for large ones are
judgement, not measured here. No torch: how long a training takes is told before it is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

from core.errors import UserError
from core.training.presets import LmSettings, Preset, Stage1Settings, Stage2Settings

if TYPE_CHECKING:
    from core.captioner.captioner import Captioner
    from core.training.data import TrainingData

Settings = TypeVar("Settings", Stage1Settings, Stage2Settings)


@dataclass(frozen=True)
class _Row:
    """For fewer captions than ``below``: what learns, its rates in both stages, the most passes over the captions."""

    below: float
    lm: LmSettings
    lr_lm: float
    lr_lm_stage2: float
    most_epochs: int


_LR_MAPPER, _LR_MAPPER_STAGE2 = 5e-5, 1e-5
FOLDS, FEW_SEEDS = 5, 25
"""Labelled photos below which a fifth of them is too few to judge on."""
_ON_A_PROCESSOR = {"pairs": 8, "texts": 8, "fresh_steps": 300, "steps": 150, "evaluate_every": 50}
"""Of stage 1: a step of 64 captions of a large one takes a processor ten seconds, and a new mapper needs steps."""
_CLOSELY = {"minimum_steps": 20, "evaluate_every": 5}
"""Of stage 1 with few captions: twenty steps may have them by heart, or be a fifth of the way to another style
(docs/decisions/0046)."""
_PASSES = 3
"""Over many captions, of a small language model: so `bench quality` learns all captions of half a train split."""
_TABLE = (
    _Row(50, LmSettings("none"), 2e-5, 1e-6, 30),
    _Row(100, LmSettings("lora", rank=8), 5e-5, 5e-6, 20),
    _Row(200, LmSettings("lora", rank=16), 5e-5, 5e-6, 20),
    _Row(500, LmSettings("lora", rank=16), 2e-5, 5e-6, 15),
    _Row(2000, LmSettings("last", blocks=4), 2e-5, 1e-6, 15),
    _Row(math.inf, LmSettings("all"), 2e-5, 1e-6, 15),
)


def adapted(preset: Preset, captions: int, *, large: bool, on_processor: bool = False) -> Preset:
    """The preset with ``lm.train="auto"`` decided; settings that are not at their defaults stay as they are.

    Args:
        preset: returned as it is where it leaves nothing open.
        captions: what stage 1 learns from: the seeds' captions, or the sentences where it learns from no photo.
        large: whether the language model is of a size that is published pre-trained.
        on_processor: whether it learns on a processor instead of a card.

    Raises:
        UserError: adapters of no rank, or the last 0 layers, are asked for.
    """
    lm = preset.lm
    if lm.rank < 1 or lm.blocks < 1:
        raise UserError(
            f"lm.rank = {lm.rank} and lm.blocks = {lm.blocks} cannot be.",
            "Choose 1 or more; lm.train=none trains none.",
        )
    if lm.train != "auto":
        return preset
    if not large:
        return replace(preset, stage1=_of_a_small_model(preset.stage1, captions), lm=replace(lm, train="all"))
    row = next(row for row in _TABLE if captions < row.below)
    stage1 = _filled(preset.stage1, **(_ON_A_PROCESSOR if on_processor else {}))
    stage1 = _filled(stage1, lr_mapper=_LR_MAPPER, lr_large_lm=row.lr_lm)
    if stage1.epochs is None:
        batch = max(1, stage1.pairs or stage1.texts)
        steps = min(stage1.steps, max(1, math.ceil(row.most_epochs * captions / batch)))
        stage1 = replace(stage1, steps=steps, minimum_steps=min(stage1.minimum_steps, steps))
    stage2 = preset.stage2 and _filled(preset.stage2, lr=_LR_MAPPER_STAGE2, lr_large_lm=row.lr_lm_stage2)
    rank = row.lm.rank if lm.rank == LmSettings.rank else lm.rank
    return replace(preset, stage1=stage1, stage2=stage2, lm=replace(lm, train=row.lm.train, rank=rank))


def folds_of(stage1: Stage1Settings, photos: int, *, fresh: bool, limited: bool) -> int:
    """How many trainings, each without some of the labelled ``photos``, judge stage 1; 0: the held-out ones do.

    They take several times as long as stage 1. Unless a person asks for them, there are none where that is long (a
    ``fresh`` mapper, which practises first; every large language model has one) or where the time is ``limited``.
    """
    if photos >= FEW_SEEDS:
        return 0
    usual = 0 if fresh or limited else FOLDS
    wanted = usual if stage1.folds is None else stage1.folds
    return wanted if wanted >= 2 else 0


def _of_a_small_model(stage1: Stage1Settings, captions: int) -> Stage1Settings:
    """Steps that go :data:`_PASSES` times over many captions, judged as often; few captions are watched closely."""
    if stage1.epochs is not None or stage1.steps != Stage1Settings.steps:
        return stage1
    if captions < FEW_SEEDS:
        return _filled(stage1, **_CLOSELY)
    steps = max(stage1.steps, round(_PASSES * captions / max(1, stage1.pairs or stage1.texts)))
    return _filled(stage1, steps=steps, evaluate_every=max(stage1.evaluate_every, steps // 10))


def decided(preset: Preset, data: TrainingData, captioner: Captioner) -> Preset:
    """:func:`adapted` to what there is to learn from, and to the language model."""
    from core.training.stage1 import has_large_lm

    captions = len(data.seeds.pairs()[1]) + (len(data.texts) if preset.text_only else 0)
    return adapted(preset, captions, large=has_large_lm(captioner), on_processor=captioner.device.type == "cpu")


def _filled(settings: Settings, **values: float) -> Settings:
    defaults = {one.name: one.default for one in fields(settings)}
    return replace(settings, **{k: v for k, v in values.items() if getattr(settings, k) == defaults[k]})
