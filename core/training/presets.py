"""Training methods as data. A preset says what each stage does; the trainer is one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from core.captioner.mapper_settings import MapperSettings
from core.errors import UserError
from core.marking import tr


@dataclass(frozen=True)
class Stage1Settings:
    """Cross-entropy on the seeds, mixed in every batch with sentences told from their own noisy vectors (CapDec).

    ``fresh_steps`` of text-only practice come first where the mapper is new. ``noise``: variance per coordinate of the
    text vectors; ``None`` matches the seeds' own image–text cosine. ``image_noise``: the same for photos, against
    learning them by heart. ``lr_large_lm``: for language models above 50 million parameters, which forget at the rate
    that a small one needs. ``patience``: evaluations without a better held-out loss before stopping,
    ``minimum_steps`` at the earliest. ``epochs``: passes over the captions in place of ``steps``, and at least
    ``minimum_steps``; it is then judged once a pass at most. ``pairs=0``: no photo is learned from, only sentences.
    ``folds``: where few photos are labelled, so that a fifth held out says little, stage 1 is judged by so many
    trainings that each leave others out; 0: by the held-out captions alone; ``None``: as
    :func:`core.training.adaptation.folds_of` says.
    """

    steps: int = 100
    epochs: float | None = None
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
    folds: int | None = None


@dataclass(frozen=True)
class RewardWeights:
    """How much each reward counts; one of weight 0 is not computed.

    ``clip_s`` and ``contrastive`` are about the photo; ``ref_clip_s`` and ``cider`` compare with the seeds of the photo
    itself and say nothing of photos without seeds; ``fluency`` and ``grammar`` are about the sentence alone; the others
    are penalties. All stand in :mod:`core.training.rewards`. ``added``: weights of rewards that have no field here.
    """

    clip_s: float = 1.0
    contrastive: float = 0.3
    ref_clip_s: float = 0.0
    cider: float = 0.0
    fluency: float = 0.0
    grammar: float = 0.0
    repetition: float = 0.1
    stutter: float = 0.2
    bad_ending: float = 0.2
    no_end: float = 0.3
    length: float = 0.2
    added: Mapping[str, float] = field(default_factory=dict, hash=False)

    def of(self, name: str) -> float:
        """The weight of this reward; 0 where it has none."""
        return self.added.get(name, 0.0) if name not in _WEIGHTS else getattr(self, name)

    def named(self) -> dict[str, float]:
        """All weights but those of 0, by the reward's name."""
        return {name: weight for name in (*_WEIGHTS, *self.added) if (weight := self.of(name))}

    def with_weights(self, weights: Mapping[str, float]) -> RewardWeights:
        """The same with these weights in place of the rewards' own."""
        own = {name: weight for name, weight in weights.items() if name in _WEIGHTS}
        added = {name: weight for name, weight in weights.items() if name not in _WEIGHTS}
        return replace(self, **own, added={**self.added, **added})


_WEIGHTS = tuple(one.name for one in fields(RewardWeights) if one.name != "added")


Method = Literal["auto", "leave-one-out", "self-critical", "straight-through", "best-of-n", "dico"]
"""How stage 2 learns from what a caption scores; :mod:`core.training.methods` says which is which."""


@dataclass(frozen=True)
class Stage2Settings:
    """Practice on unlabelled photos in a :data:`Method`: ``photos`` × ``samples`` captions a step.

    ``method="auto"``: ``leave-one-out``, but ``best-of-n`` for a large language model on a processor.
    ``contrastive_scale``, times :func:`core.encoders.encoder.sharpness`, multiplies cosines before the softmax;
    ``hard_share`` of a batch are neighbours (ranks ``hard_ranks``) of its other photos. ``temperature``: low, so that
    what is practised is close to what is delivered; captions drawn at 0.9 are so much worse that all they teach is not
    to draw them. ``tau``: of the softmax through which ``straight-through`` sends gradients, first and last.
    ``round_epochs``: how often ``best-of-n`` and ``dico`` go over the photos with captions drawn once; ``dico_beta``
    and ``dico_scale``: β and τ of the DiCO loss.
    ``lr_floor``: the share of the rate at the end. ``beta``: weight of the exact KL to stage 1, adapted to hold
    ``kl_target`` nats a caption of ten words between ``beta_range``; ``entropy``: of the entropy of the words.
    ``seed_weight``: of the interleaved cross-entropy on ``seed_rows`` seed captions; :func:`gentler` where stage 1 was
    not kept.

    ``calibration_photos``: of so many photos the model stage 2 begins with draws captions, and each reward that is no
    penalty is divided by its spread among the captions of a photo; 0 leaves the rewards as they are. ``clip_ramp``:
    steps in which the weight of the similarity rises from 0; ``contrastive_ramp``: the share of the stage in which
    that of the contrastive reward does. ``grammar_refresh``: steps after which the grammar head learns anew, with
    captions that went wrong in between. ``sentences``: before practice the mapper is given at most so many sentences,
    of the seeds and of its own about the photos, that its view of a photo is moved towards (docs/decisions/0038); 0:
    none. ``tower_steps``: of tuning a copy of the encoder's text tower together with a
    grammar head; the copy then gives the rewards of similarity and of grammar, never a score. ``labelled_only``:
    practise on the seeds' photos alone, where references are. ``gated``: guards may end the stage, and no model for
    which one is red is kept; without it (as published) weights of similarity follow no encoder's scale either.
    """

    method: Method = "auto"
    steps: int = 100
    photos: int = 20
    samples: int = 4
    temperature: float = 0.5
    tau: tuple[float, float] = (1.0, 0.5)
    round_epochs: int = 2
    dico_beta: float = 0.2
    dico_scale: float = 300.0
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
    entropy: float = 0.0
    clip_norm: float = 1.0
    seed_weight: float = 0.3
    seed_rows: int = 16
    evaluate_every: int = 25
    micro_rows: int = 40
    gated: bool = True
    calibration_photos: int = 0
    clip_ramp: int = 0
    contrastive_ramp: float = 0.0
    grammar_refresh: int = 200
    tower_steps: int = 0
    labelled_only: bool = False
    sentences: int = 0

    @property
    def in_starter_units(self) -> bool:
        """Whether the weights of similarity are in differences of the starter's cosines, for every encoder; published
        presets, which no guard brakes, weigh the numbers of whatever encoder there is, as their papers do CLIP's."""
        return self.gated


_GENTLE, _GENTLE_RATE = 0.3, 3e-5
_LONGEST = 3
_LONG = 2
"""Practice that :func:`gentler` makes so many times as long as usual is rewarded for its wording as well."""


@dataclass(frozen=True)
class LmSettings:
    """What of the language model learns, besides the mapper: in both stages the same.

    ``train``: nothing (``none``), low-rank adapters of ``rank`` on its attention (``lora``), its last ``blocks`` layers
    (``last``) or all of it; ``auto`` decides by its size and the number of captions (``core.training.adaptation``).
    """

    train: Literal["auto", "none", "lora", "last", "all"] = "auto"
    rank: int = 16
    blocks: int = 4


@dataclass(frozen=True)
class Preset:
    """A training method. ``stage2=None``: stage 1 is all.

    ``mapper``: what a new mapper is like. ``new_mapper``: begin with one even where the starter's would fit; so do
    settings of ``mapper`` that differ from the default.
    """

    name: str
    title: str
    about: str
    stage1: Stage1Settings = field(default_factory=Stage1Settings)
    stage2: Stage2Settings | None = field(default_factory=Stage2Settings)
    mapper: MapperSettings = field(default_factory=MapperSettings)
    new_mapper: bool = False
    lm: LmSettings = field(default_factory=LmSettings)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    @property
    def text_only(self) -> bool:
        """Whether stage 1 learns from sentences alone."""
        return self.stage1.pairs == 0

    @property
    def wants_new_mapper(self) -> bool:
        return self.new_mapper or self.mapper != MapperSettings()


_SIMILARITY_ALONE = RewardWeights(
    clip_s=1.0, contrastive=0.0, repetition=0.0, stutter=0.0, bad_ending=0.0, no_end=0.0, length=0.0
)
# The published batch and epochs, no smoothing, no decay, one warm start; on large language models their published rate
# too. Rates of what is new or small are higher: the published 2e-5 is for 140,000 steps of a mapper, here are hundreds.
_CLIPCAP = Stage1Settings(
    epochs=10.0,
    minimum_steps=300,
    fresh_steps=0,
    pairs=40,
    texts=0,
    lr_mapper=5e-4,
    weight_decay=0.0,
    label_smoothing=0.0,
    image_noise=0.0,
)
_PLAIN_STAGE1 = Stage1Settings(texts=0, image_noise=0.0, label_smoothing=0.0)
_PLAIN_STAGE2 = Stage2Settings(
    photos=16,
    samples=5,
    temperature=1.0,
    lr_floor=1.0,
    rewards=_SIMILARITY_ALONE,
    hard_share=0.0,
    beta=0.0,
    beta_range=(0.0, 0.0),
    seed_weight=0.0,
    gated=False,
)
"""Five captions of a photo as the model says them, nothing but similarity, no brake: as others practise. The number of
captions and of photos is ours."""
_SELF_CRITICAL = replace(
    _PLAIN_STAGE2,
    method="self-critical",
    normalise_advantage=False,
    advantage_clip=1e6,  # none: what CIDEr-D tells apart goes up to 10
    clip_norm=0.1,
    lr_large_lm=5e-6,
)
"""Rewards above that of the greedy caption, as arXiv 2205.13115 has them."""

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="recommended",
            title=tr("Recommended: both stages, with checks"),
            about=tr(
                "Learns your wording from the seeds, then practises on photos without captions; a caption is "
                "rewarded for fitting its photo and telling it from similar ones, and held to your wording."
            ),
            stage2=Stage2Settings(sentences=6000),
        ),
        Preset(
            name="two-stage",
            title=tr("Two stages: similarity alone, straight through"),
            about=tr(
                "Stage 2 maximises the similarity of caption and photo and nothing else (arXiv 2306.15111), by "
                "gradients straight through the words it draws; the settings are ours. Its English "
                "tends to suffer; the checks are shown, and decide what is kept."
            ),
            stage1=_PLAIN_STAGE1,
            stage2=replace(_PLAIN_STAGE2, method="straight-through"),
        ),
        Preset(
            name="clip-reward",
            title=tr("CLIP reward: self-critical, similarity alone"),
            about=tr(
                "Sampled captions are rewarded for their CLIP-S above that of the greedy caption, without a brake "
                "(arXiv 2205.13115). Its English tends to suffer; the checks are shown, and decide what is kept."
            ),
            stage1=_PLAIN_STAGE1,
            stage2=_SELF_CRITICAL,
        ),
        Preset(
            name="clipcap-mlp",
            title=tr("ClipCap: paired captions, MLP mapper"),
            about=tr(
                "Cross-entropy on the seeds alone with a new mapper, the language model learns along (arXiv "
                "2111.09734). One stage; it takes many captions."
            ),
            stage1=_CLIPCAP,
            stage2=None,
            new_mapper=True,
            lm=LmSettings("all"),
        ),
        Preset(
            name="clipcap-transformer",
            title=tr("ClipCap: paired captions, transformer mapper"),
            about=tr(
                "Cross-entropy on the seeds alone with a new mapper of eight transformer layers, the language model "
                "stays as it is (arXiv 2111.09734). One stage; it takes many captions."
            ),
            stage1=replace(_CLIPCAP, lr_mapper=2e-4),
            stage2=None,
            mapper=MapperSettings("transformer"),
            new_mapper=True,
            lm=LmSettings("none"),
        ),
        Preset(
            name="capdec",
            title=tr("CapDec: sentences alone, no photo"),
            about=tr(
                "Learns to tell sentences from their own noisy vectors, and captions photos by theirs (arXiv "
                "2211.00575): the style of a text file, or of the seeds, without a single pair."
            ),
            stage1=replace(_CLIPCAP, pairs=0, texts=34, noise=0.016, lr_mapper=2e-4),
            stage2=None,
            mapper=MapperSettings("transformer"),
            new_mapper=True,
            lm=LmSettings("all"),
        ),
        Preset(
            name="clip-reward-grammar",
            title=tr("CLIP reward with grammar"),
            about=tr(
                "Stage 2 rewards similarity and grammar (arXiv 2205.13115): a copy of the encoder's text tower is "
                "tuned with a grammar head on spoiled captions and gives the reward, 2·CLIP-S + grammar as in the "
                "authors' code. The paper's CLIP-S + 2·grammar: stage2.rewards.clip_s=1, stage2.rewards.grammar=2."
            ),
            stage1=_PLAIN_STAGE1,
            stage2=replace(
                _SELF_CRITICAL, rewards=replace(_SIMILARITY_ALONE, clip_s=2.0, grammar=1.0), tower_steps=100
            ),
        ),
        Preset(
            name="cider-clip",
            title=tr("CIDEr and CLIP reward"),
            about=tr(
                "Stage 2 practises on the photos that have captions; a caption is rewarded for being like them and "
                "for fitting the photo: CIDEr-D + 2·CLIP-S (arXiv 2205.13115). CIDEr-D alone: stage2.rewards.clip_s=0."
            ),
            stage1=_PLAIN_STAGE1,
            stage2=replace(
                _SELF_CRITICAL, rewards=replace(_SIMILARITY_ALONE, clip_s=2.0, cider=1.0), labelled_only=True
            ),
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of this name; a ``UserError`` lists the others."""
    if name not in PRESETS:
        raise UserError(f"There is no preset '{name}'.", f"Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]


def gentler(stage2: Stage2Settings, photos: int = 0) -> Stage2Settings:
    """For after a stage 1 that was not kept: the model speaks as the seeds do already, or learned them by heart.

    There is no new wording to grow into, only one to lose: no seeds are mixed in, and where stage 2 is held to what it
    began with, it goes a third as fast and as far, unless it goes slowly already (docs/decisions/0032). Of many
    ``photos`` to practise on it sees each twice, in three times the usual steps at most (docs/decisions/0041), and in
    practice that long good wording is rewarded too (docs/decisions/0044).
    """
    stage2 = replace(stage2, seed_weight=0.0)
    if stage2.beta == 0:
        return stage2
    rate = max(_GENTLE * stage2.lr, min(stage2.lr, _GENTLE_RATE))
    if stage2.steps == Stage2Settings.steps:
        stage2 = _longer(stage2, min(_LONGEST * stage2.steps, math.ceil(2 * photos / stage2.photos)))
    return replace(stage2, lr=rate, kl_target=_GENTLE * stage2.kl_target)


def _longer(stage2: Stage2Settings, steps: int) -> Stage2Settings:
    """Practice of so many ``steps``, if these are more. Where it is long, fluency and grammar are among the rewards,
    each divided by its spread, and what is about the photo rises slowly; not where a person has set any of it."""
    stage2 = replace(stage2, steps=max(steps, stage2.steps))
    plain = Stage2Settings()
    worded = {
        "rewards": replace(plain.rewards, contrastive=0.5, fluency=0.5, grammar=0.5, stutter=0.5),
        "calibration_photos": 64,
        "contrastive_scale": 50.0,
        "clip_ramp": 40,
        "contrastive_ramp": 0.33,
        "normalise_advantage": False,
    }
    set_by_hand = any(getattr(stage2, name) != getattr(plain, name) for name in worded)
    return stage2 if set_by_hand or steps < _LONG * plain.steps else replace(stage2, **worded)


def similarity_alone(stage2: Stage2Settings) -> Stage2Settings:
    """To compare with: practice as long as ``stage2`` that rewards similarity and nothing else, without a brake."""
    same = {
        name: getattr(stage2, name) for name in ("steps", "photos", "samples", "max_tokens", "lr", "evaluate_every")
    }
    return replace(_PLAIN_STAGE2, method="leave-one-out", **same)


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
    parts: dict[str, Any] = {"stage1": stage1, "stage2": stage2}
    for name, kind in (("mapper", MapperSettings), ("lm", LmSettings)):
        if name in document:
            parts[name] = kind(**known(kind, document[name]))
    if document.get("tune_lm") is False:  # what an earlier version called it
        parts["lm"] = LmSettings("none")
    return Preset(**known(Preset, document, **parts))


def with_overrides(preset: Preset, overrides: Mapping[str, object]) -> Preset:
    """The preset with settings changed by dotted name (``stage2.rewards.clip_s``), converted to the setting's type."""
    changed: Any = preset
    for name, value in overrides.items():
        changed = _changed(changed, name.split("."), name, value)
    return changed


def _reweighted(weights: RewardWeights, path: list[str], name: str, value: object) -> RewardWeights:
    """Any reward can get a weight, whether or not it has a field."""
    from core.training.rewards import REWARDS  # here, as rewards are weighed by what this module defines

    reward = ".".join(path)
    if reward not in REWARDS:
        raise UserError(f"There is no setting '{name}'.", f"Here are: {', '.join(REWARDS)}.")
    return weights.with_weights({reward: cast(float, _converted(weights.of(reward), name, value))})


def _changed(settings: Any, path: list[str], name: str, value: object) -> Any:
    if isinstance(settings, RewardWeights):
        return _reweighted(settings, path, name, value)
    known = is_dataclass(settings) and not isinstance(settings, type)
    names = [one.name for one in fields(settings)] if known else []
    if path[0] not in names:
        raise UserError(f"There is no setting '{name}'.", f"Here are: {', '.join(names) or 'none'}.")
    old = getattr(settings, path[0])
    kind = get_type_hints(type(settings))[path[0]]
    plain = 0 if old is None and int in get_args(kind) else old
    new = _changed(old, path[1:], name, value) if len(path) > 1 else _converted(plain, name, value)
    if get_origin(kind) is Literal and new not in get_args(kind):
        raise UserError(
            f"'{value}' is no value for the setting '{name}'.", f"Choose one of: {', '.join(get_args(kind))}."
        )
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
