"""Training methods as data. A preset says what each stage does; the trainer is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, cast

from core.errors import UserError


@dataclass(frozen=True)
class Stage1Settings:
    """Cross-entropy on the seeds, mixed in every batch with sentences told from their own noisy vectors (CapDec).

    ``fresh_steps`` of text-only practice come first where the mapper is new. ``noise``: variance per coordinate of the
    text vectors; ``None`` matches the seeds' own image–text cosine. ``image_noise``: the same for photos, against
    learning them by heart. ``lr_large_lm``: for language models above 50 million parameters, which forget at the rate
    that a small one needs. ``patience``: evaluations without a better held-out loss before stopping,
    ``minimum_steps`` at the earliest. ``folds``: below 25 labelled photos, where a fifth held out says little, stage 1
    is judged by so many trainings that each leave others out; 0: by the held-out captions alone.
    """

    steps: int = 100
    minimum_steps: int = 100
    fresh_steps: int = 600
    pairs: int = 32
    texts: int = 32
    lr_mapper: float = 2e-4
    lr_lm: float = 2e-4
    lr_large_lm: float = 2e-5
    lr_fresh: float = 1e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    noise: float | None = None
    image_noise: float = 0.002
    evaluate_every: int = 20
    patience: int = 3
    max_tokens: int = 48
    folds: int = 0


@dataclass(frozen=True)
class RewardWeights:
    """How much each reward counts; one of weight 0 is not computed.

    ``clip_s`` and ``contrastive`` are about the photo, the others are penalties in :mod:`core.training.rewards`.
    """

    clip_s: float = 1.0
    contrastive: float = 0.3
    repetition: float = 0.1
    stutter: float = 0.2
    bad_ending: float = 0.2
    no_end: float = 0.3
    length: float = 0.2


@dataclass(frozen=True)
class Stage2Settings:
    """Leave-one-out policy gradient on unlabelled photos: ``photos`` × ``samples`` captions a step.

    ``contrastive_scale`` multiplies cosines before the softmax; ``hard_share`` of a batch are neighbours (ranks
    ``hard_ranks``) of its other photos. ``temperature``: low, so that what is practised is close to what is delivered;
    captions drawn at 0.9 are so much worse that all they teach is not to draw them. ``lr_floor``: the share of the rate
    at the end. ``beta``: weight of the exact KL to stage 1, adapted to hold ``kl_target`` nats
    a caption of ten words between ``beta_range``. ``seed_weight``: of the interleaved cross-entropy on ``seed_rows``
    seed captions; none is mixed in where stage 1 was not kept.
    """

    steps: int = 100
    photos: int = 20
    samples: int = 4
    temperature: float = 0.5
    max_tokens: int = 22
    lr: float = 1e-4
    lr_floor: float = 0.1
    lr_large_lm: float = 1e-6
    warm_up: int = 10
    rewards: RewardWeights = field(default_factory=RewardWeights)
    contrastive_scale: float = 25.0
    hard_share: float = 0.5
    hard_ranks: tuple[int, int] = (3, 20)
    normalise_advantage: bool = True
    advantage_clip: float = 3.0
    beta: float = 0.1
    kl_target: float = 4.0
    beta_range: tuple[float, float] = (0.02, 2.0)
    seed_weight: float = 0.3
    seed_rows: int = 16
    evaluate_every: int = 25
    micro_rows: int = 40
    gated: bool = True


@dataclass(frozen=True)
class Preset:
    """A training method. ``stage2=None``: stage 1 is all. ``tune_lm=False`` trains the mapper alone."""

    name: str
    title: str
    about: str
    stage1: Stage1Settings = field(default_factory=Stage1Settings)
    stage2: Stage2Settings | None = field(default_factory=Stage2Settings)
    tune_lm: bool = True
    precision: Literal["auto", "fp32", "bf16"] = "auto"


_SIMILARITY_ALONE = RewardWeights(
    clip_s=1.0, contrastive=0.0, repetition=0.0, stutter=0.0, bad_ending=0.0, no_end=0.0, length=0.0
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="recommended",
            title="Recommended: both stages, with checks",
            about="Learns your wording from the seeds, then practises on photos without captions; a caption is "
            "rewarded for fitting its photo and telling it from similar ones, and held to your wording.",
        ),
        Preset(
            name="two-stage",
            title="Two stages as published: similarity alone",
            about="Stage 2 maximises the similarity of caption and photo and nothing else (arXiv 2306.15111), by "
            "sampled gradients. Its English tends to suffer; the checks are shown, and decide what is kept.",
            stage1=Stage1Settings(texts=0, image_noise=0.0, label_smoothing=0.0),
            stage2=Stage2Settings(
                temperature=0.9,
                lr_floor=1.0,
                rewards=_SIMILARITY_ALONE,
                hard_share=0.0,
                beta=0.0,
                beta_range=(0.0, 0.0),
                seed_weight=0.0,
                gated=False,
            ),
        ),
        Preset(
            name="clipcap-mlp",
            title="ClipCap: paired captions, MLP mapper",
            about="Cross-entropy on the seeds alone, mapper and language model (arXiv 2111.09734). One stage.",
            stage1=Stage1Settings(texts=0, image_noise=0.0, label_smoothing=0.0),
            stage2=None,
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of this name; a ``UserError`` lists the others."""
    if name not in PRESETS:
        raise UserError(f"There is no preset '{name}'.", f"Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]


def read_preset(document: Mapping[str, Any]) -> Preset:
    """The preset that ``dataclasses.asdict`` wrote, also through JSON; settings that are new have their defaults."""

    def known(kind: Any, values: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
        names = {one.name for one in fields(kind)}
        plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
        return plain | parts

    stage1, stage2 = Stage1Settings(**known(Stage1Settings, document["stage1"])), None
    if document["stage2"] is not None:
        rewards = RewardWeights(**known(RewardWeights, document["stage2"]["rewards"]))
        stage2 = Stage2Settings(**known(Stage2Settings, document["stage2"], rewards=rewards))
    return Preset(**known(Preset, document, stage1=stage1, stage2=stage2))


def with_overrides(preset: Preset, overrides: Mapping[str, object]) -> Preset:
    """The preset with settings changed by dotted name (``stage2.rewards.clip_s``), converted to the setting's type."""
    changed: Any = preset
    for name, value in overrides.items():
        changed = _changed(changed, name.split("."), name, value)
    return changed


def _changed(settings: Any, path: list[str], name: str, value: object) -> Any:
    known = is_dataclass(settings) and not isinstance(settings, type)
    names = [one.name for one in fields(settings)] if known else []
    if path[0] not in names:
        raise UserError(f"There is no setting '{name}'.", f"Here are: {', '.join(names) or 'none'}.")
    old = getattr(settings, path[0])
    new = _changed(old, path[1:], name, value) if len(path) > 1 else _converted(old, name, value)
    return replace(cast(Any, settings), **{path[0]: new})


def _converted(old: object, name: str, value: object) -> object:
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
        if isinstance(old, int):
            return int(str(value))
        if isinstance(old, float) or old is None:
            return float(str(value))
        if isinstance(old, str):
            return str(value)
    except (ValueError, KeyError) as error:
        raise UserError(f"'{value}' is no value for the setting '{name}'.", f"It is now {old!r}.") from error
    raise UserError(f"The setting '{name}' cannot be changed this way.", "Change one of its parts.")
