"""Both stages on data in memory: train, judge, keep what is better, write the run folder. Needs no library."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from core.captioner.captioner import Captioner, pad
from core.captioner.checkpoint import load_captioner
from core.encoders.encoder import Encoder, said_too_long, sharpness
from core.errors import UserError
from core.jobs import JobContext
from core.training.adaptation import decided, folds_of
from core.training.compute import keep_freed_memory, precision_of, set_attention
from core.training.data import TrainingData
from core.training.enough import SeedsTold, keys_of, write_told
from core.training.evaluate import Evaluation, Judge
from core.training.familiar import own_captions
from core.training.lengths import token_limits
from core.training.lm_training import begin, end, unchanging_copy
from core.training.messages import GateRow, Kept, OwnCaptions, StageResult
from core.training.presets import Preset, gentler
from core.training.runfolder import STARTER, RunFolder, StageOutcome
from core.training.seed_trials import FoldJudgement, Trainer, judge_by_folds, photo_losses
from core.training.sentences import give_sentences
from core.training.stage1 import Stage1, has_large_lm
from core.training.stage2 import Stage2
from core.training.state import Weights, restore, trained_weights
from core.training.steps import Environment, Stage, run_stage
from core.training.verdict import Verdict, judge_folds, judge_stage1, judge_stage2

STAGE1_SHARE = 0.3
"""Of a time limit, when both stages run."""

_PROBED = 4


@dataclass(frozen=True)
class TrainingConfig:
    """``fresh``: the captioner's mapper was never trained. ``start``: where the captioner came from, for the report:
    ``starter`` or a checkpoint folder relative to the run's. ``with_lm``: checkpoints carry the language model also
    where nothing of it learns."""

    preset: Preset
    stages: str = "12"
    seed: int = 0
    limit_minutes: float | None = None
    resume: bool = False
    fresh: bool = False
    start: str = STARTER
    with_lm: bool = True


@dataclass(frozen=True)
class StagesReport:
    """What became of the stages. ``results``: by ``before``, ``stage1``, ``stage2``, those that were there.

    ``judge`` and ``evaluations``, by the same names, are for the page about the run; they are not written down.
    """

    kept: Kept
    reason: str
    results: Mapping[str, StageResult]
    gates: tuple[GateRow, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    learned_wording: bool = True
    own_captions: OwnCaptions | None = None
    judge: Judge | None = field(default=None, repr=False)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Judged:
    """A model as it was judged: its name, how it did, what the stage was like."""

    name: Kept
    evaluation: Evaluation
    outcome: StageOutcome = field(default_factory=StageOutcome)

    def result(self) -> StageResult:
        return StageResult(dict(self.evaluation.values), self.outcome.steps, self.outcome.seconds)


def train_stages(
    data: TrainingData,
    captioner: Captioner,
    encoder: Encoder,
    config: TrainingConfig,
    run_dir: Path,
    ctx: JobContext,
) -> StagesReport:
    """Train ``captioner`` in place and leave the kept model's weights in it; the report says which one that is.

    Raises:
        UserError: there is too little data for the stages asked for.
        Cancelled: what was learned lies in ``run_dir``; with ``config.resume`` the same call goes on from there.
    """
    stages = _stages(config, data)
    run = RunFolder(run_dir)
    with run.counting_work(going_on=config.resume) as worked:
        training = _Training(data, captioner, encoder, config, run, ctx)
        if 1 in stages:
            training.stage1(last=2 not in stages)
        if 2 in stages and not (training.ended and 1 in stages):
            training.stage2()
        return training.report(worked())


class _Training:
    """One call of :func:`train_stages`: the model that is best so far, and what was found out."""

    def __init__(
        self,
        data: TrainingData,
        captioner: Captioner,
        encoder: Encoder,
        config: TrainingConfig,
        run: RunFolder,
        ctx: JobContext,
    ) -> None:
        self._began = time.monotonic()
        keep_freed_memory()
        self._data, self._captioner, self._config = data, captioner.eval(), config
        set_attention(captioner.lm, training=True)
        self._encoder = encoder
        self._limits = token_limits(data.seeds.pairs()[1] or data.texts, captioner, config.preset)
        self._preset = decided(self._limits.fitted(config.preset), data, captioner)
        captioner.info = replace(captioner.info, caption_tokens=self._limits.delivered)
        frozen = self._preset.lm.train == "none"
        reference = unchanging_copy(captioner, share_lm=frozen)
        self._env = Environment(
            captioner=captioner,
            judge=Judge(data, encoder, reference, self._limits.judged, ctx),
            run=run,
            ctx=ctx,
            seed=config.seed,
            precision=precision_of(config.preset.precision, captioner.device),
            resume=config.resume,
            with_lm=config.with_lm or not frozen,
        )
        self._probe()
        ctx.progress(0, None, "Judging the model it begins with")
        self._best = _Judged("before", self._env.judge(captioner))
        self._judged = [self._best]
        self._learned_wording = True
        self._reasons: list[str] = []
        self._said: list[str] = []
        self._gates: tuple[GateRow, ...] = ()
        self._learning: dict[str, int] = {}

    def _probe(self) -> None:
        """Whether float16 is wide enough for this model: captions are drawn with it before anything is learned."""
        captioner, precision = self._captioner, self._env.precision
        if precision.dtype == torch.float16:
            images = torch.from_numpy(self._data.practice_images[:_PROBED]).to(captioner.device)
            words = (*self._data.seeds.pairs()[1], *self._data.texts, "a photo")[: len(images)]
            ids = pad(captioner.encode(words, captioner.max_tokens)).to(captioner.device)
            with torch.no_grad(), precision.autocast():
                precision.told(captioner.logits(images[: len(words)], ids))

    def stage1(self, *, last: bool) -> None:
        began = time.monotonic()
        folds = self._folds()
        self._began += time.monotonic() - began  # a limit is of learning
        env = self._with_deadline(1.0 if last else STAGE1_SHARE)
        before = self._open(1)
        settings, fresh = self._preset.stage1, self._config.fresh
        stage = Stage1(self._data, self._encoder, settings, env, fresh=fresh, best=folds and folds.evaluation)

        def verdict(later: _Judged) -> Verdict:
            self._tell_seeds()
            was, now = self._best.evaluation, later.evaluation
            return judge_folds(folds, was, now) if folds else judge_stage1(was, now, self._held)

        self._run(stage, env, before, verdict)

    def _tell_seeds(self) -> None:
        """How stage 1's model tells each held-out photo: beside another training that shows what seeds bring."""
        held = self._data.held_seeds
        if len(self._data.seeds) and len(held):
            losses = photo_losses(self._captioner, held).tolist()
            told = SeedsTold(len(self._data.seeds), dict(zip(keys_of(held), losses, strict=True)))
            write_told(self._env.run.path, told)

    def _folds(self) -> FoldJudgement | None:
        """Seeds left out in turn, where there are few. How stage 1 is judged is decided once, before it begins."""
        run, env, config = self._env.run, self._env, self._config
        said = run.folds() if env.resume else {}
        if "judgement" in said:
            return FoldJudgement.from_dict(said["judgement"])
        if run.asked_to_end or (env.resume and (run.state(1).exists() or run.outcome(1) is not None)):
            return None
        photos, limited = len(self._data.seeds) + self._held, config.limit_minutes is not None
        wanted = folds_of(self._preset.stage1, photos, fresh=config.fresh, limited=limited) if self._held else 0
        if not wanted:
            return None
        trainer = Trainer(self._captioner, self._encoder, self._preset, env.ctx, config.seed, config.fresh)
        made = [np.array(one) for one in said.get("losses", ())]
        keep = lambda found: run.write_folds({"losses": [one.tolist() for one in found]})  # noqa: E731
        judgement = judge_by_folds(trainer, self._data, wanted, made, keep)
        run.write_folds({"judgement": asdict(judgement)})
        return judgement

    def stage2(self) -> None:
        settings = self._preset.stage2
        if settings is None:
            return
        if self._best.name == "before" and len(self._judged) > 1:
            # Stage 1 has just shown that to learn these seeds is to learn them by heart.
            # A large language model takes as long for a hundred steps as a small one for many more.
            photos = 0 if has_large_lm(self._captioner) else len(self._data.practice_images)
            settings, self._learned_wording = gentler(settings, photos), False
        had = self._captioner.mapper.towards
        env = self._with_deadline(1.0)
        before = self._best.evaluation
        ended = env.resume and env.run.outcome(2)  # what it was given is in its checkpoint
        most = 0 if ended else settings.sentences
        if most and not give_sentences(self._data, self._encoder, env, most, before) and had[0] is None:
            self._said.append("Sentences about the library brought its captions no nearer to the photos: left out.")
        weights = self._open(2)
        stage = Stage2(self._data, self._encoder, settings, env, before)
        if settings.method == "auto" and stage.method == "best-of-n":
            self._said.append("Stage 2 learned from the best of several captions a photo: the model is large.")

        def verdict(later: _Judged) -> Verdict:
            self._gates = stage.gates_of(later.evaluation, later.outcome.values.get("kl_at_best", 0.0))
            changed = later.outcome.best_step > 0 or self._captioner.mapper.sentences is not had[0]
            scale = sharpness(self._encoder)
            return judge_stage2(before, later.evaluation, self._gates, changed=changed, sharpness=scale)

        self._run(stage, env, weights, verdict)
        env.run.sentences.unlink(missing_ok=True)
        if self._best.name != "stage2":
            self._captioner.mapper.move_towards(*had)

    def report(self, seconds: float) -> StagesReport:
        """What came out after so many seconds of work; written to the run folder as well."""
        results = {one.name: one.result() for one in self._judged}
        reason, learned = " ".join(self._reasons), self._learned_wording
        own = own_captions(self._encoder, self._data)
        report = StagesReport(self._best.name, reason, results, self._gates, seconds, self._notes(), learned, own)
        about = {"start": self._config.start, "preset": self._config.preset.name, "seed": self._config.seed}
        about |= {"lm_training": asdict(self._preset.lm), "trained_parameters": self._learning}
        self._env.run.write_report({**_plain(report), **about, "token_limits": self._limits.to_dict()})
        evaluations = {one.name: one.evaluation for one in self._judged}
        return replace(report, judge=self._env.judge, evaluations=evaluations)

    @property
    def ended(self) -> bool:
        """A person has ended it, and stage 2 had not begun."""
        return self._env.run.asked_to_end and not self._env.run.state(2).exists()

    @property
    def _held(self) -> int:
        return len(self._data.held_seeds)

    def _open(self, stage: int) -> Weights:
        """Let the captioner learn; what it was."""
        before = begin(self._captioner, self._preset.lm, self._config.seed + stage)
        trained = trained_weights(self._captioner)
        self._learning = {
            part: sum(tensor.numel() for name, tensor in trained.items() if name.startswith(f"{part}."))
            for part in ("mapper", "lm")
        }
        return before

    def _run(self, stage: Stage, env: Environment, before: Weights, judge: Callable[[_Judged], Verdict]) -> None:
        """Run a stage, or take over its result if it was finished before; go back to the best model if it is none."""
        name: Kept = "stage1" if stage.number == 1 else "stage2"
        outcome = env.run.outcome(stage.number) if env.resume else None
        finished = outcome is not None
        outcome = outcome or run_stage(stage, env)
        end(self._captioner)
        if finished:
            trained = load_captioner(env.run.stage(stage.number), self._captioner.info.encoder_fingerprint)
            restore(self._captioner, dict(trained.named_parameters()))
            self._captioner.mapper.move_towards(*trained.mapper.towards)
        later = _Judged(name, env.judge(self._captioner), outcome)
        self._judged.append(later)
        verdict = judge(later)
        self._reasons.append(verdict.reason)
        if verdict.better:
            self._best = later
        else:
            restore(self._captioner, before)

    def _with_deadline(self, share: float) -> Environment:
        minutes = self._config.limit_minutes
        deadline = None if minutes is None else self._began + 60 * minutes * share
        return replace(self._env, deadline=deadline)

    def _notes(self) -> tuple[str, ...]:
        notes = [
            f"Stage {one.name[-1]} ended early: {one.outcome.stopped}." for one in self._judged if one.outcome.stopped
        ]
        notes += self._said
        if self._best.name == "stage2" and (sentences := self._captioner.mapper.sentences) is not None:
            notes.append(f"It sees photos nearer to {len(sentences):,} sentences, yours and its own about them.")
        if not self._learned_wording:
            notes.append("Stage 2 practised without your captions, as stage 1 had only learned them by heart.")
        if self._limits.cut:
            notes.append(
                f"Captions longer than {self._limits.learned} word pieces were learned without their ends: "
                f"{self._limits.cut} of yours."
            )
        notes += [said] if (said := said_too_long(self._encoder, self._data.seeds.pairs()[1])) else []
        if self._env.judge.on_practice:
            notes.append("There were too few photos to hold some out; the figures are of photos it learned from.")
        return tuple(notes)


def _plain(report: StagesReport) -> dict[str, object]:
    values = asdict(report)
    return {name: value for name, value in values.items() if name not in ("judge", "evaluations")}


def _stages(config: TrainingConfig, data: TrainingData) -> list[int]:
    """The stages to run; refuses what cannot work."""
    if config.stages not in ("1", "2", "12"):
        raise UserError(f"'{config.stages}' are no stages.", "Choose 1, 2 or 12.")
    stages = [int(one) for one in config.stages if one == "1" or config.preset.stage2 is not None]
    if not stages:
        raise UserError(f"The preset '{config.preset.name}' has no stage 2.", "Choose stage 1, or another preset.")
    if 1 in stages:
        _refuse_nothing_to_learn(config.preset, data)
    if 2 in stages and len(data.practice_images) < 2:
        raise UserError("Stage 2 practises on photos, and there are none.", "Add photos, or run stage 1 alone.")
    return stages


def _refuse_nothing_to_learn(preset: Preset, data: TrainingData) -> None:
    if preset.text_only and preset.stage1.texts == 0:
        raise UserError("Stage 1 is to learn from no photos and no sentences.", "Set stage1.pairs or stage1.texts.")
    if len(data.seeds) == 0 and not (preset.text_only and data.texts):
        raise UserError("There is no caption to learn from.", "Write captions for a few photos first.")
    if len(data.practice_images) == 0:
        raise UserError("There is no photo to judge captions on.", "Add the photos that shall be captioned.")
