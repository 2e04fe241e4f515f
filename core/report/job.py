"""A run's page made again, and what a training has no time for: rows that need trainings of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import UserError
from core.jobs import JobContext
from core.library.library import Library
from core.library.records import RunRow
from core.library.runs import DONE, encoder_name, find_run, runs
from core.report.document import PageData, SeedEvidence
from core.report.page import has_page_data, save_page_data, write_page
from core.training.presets import Preset, read_preset, similarity_alone
from core.training.runfolder import CONFIG, read_report, start_checkpoint, warm_checkpoint

if TYPE_CHECKING:
    from core.captioner.captioner import Captioner
    from core.encoders.encoder import Encoder
    from core.training.data import TrainingData
    from core.training.evaluate import Evaluation, Judge

_NEW_MAPPER = "This training began with a new mapper, so nothing could be tried from where it began."


@dataclass(frozen=True)
class ReportRequest:
    """``run_id``: which run, by default the newest that ended. ``again``: measure it once more. ``full``: also train
    what a page compares with: text alone, similarity alone, with fewer seeds, with seeds left out in turn."""

    library: Path
    run_id: str | None = None
    again: bool = False
    full: bool = False


@dataclass(frozen=True)
class ReportResult:
    """``page``: the HTML file; ``data``: what was measured for it, as it stands in the run's ``report.json``."""

    run_id: str
    page: Path
    data: Mapping[str, Any]


def report_job(ctx: JobContext, request: ReportRequest) -> ReportResult:
    """Write the page of a run; measure first what is missing or asked for.

    Raises:
        UserError: there is no such run, or what it learned from is gone.
    """
    with Library.open(request.library) as library:
        run = _run(library, request.run_id)
        if request.full or request.again or not has_page_data(run.folder):
            save_page_data(run.folder, _measured(ctx, library, run, full=request.full))
        page = write_page(library, run.folder)
        return ReportResult(run.id, page, read_report(run.folder)["page"])


def _run(library: Library, run_id: str | None) -> RunRow:
    if run_id is not None:
        return find_run(library, run_id)
    ended = next((run for run in runs(library) if run.status == DONE), None)
    if ended is None:
        raise UserError("No training of this library has ended yet.", "Train first.")
    return ended


@dataclass(frozen=True)
class _Measuring:
    """The run's parts as they were; ``start`` is what it began with, ``None`` where that was made for it."""

    run: Path
    preset: Preset
    seed: int
    data: TrainingData
    encoder: Encoder
    judge: Judge
    start: Captioner | None
    ctx: JobContext


def _measured(ctx: JobContext, library: Library, run: RunRow, *, full: bool) -> PageData:
    from core.captioner.checkpoint import load_captioner
    from core.encoders.open_clip_encoder import load_encoder
    from core.report.measure import Models, judged_ids, measure
    from core.report.second_judge import second_judge
    from core.training.adaptation import decided
    from core.training.compute import best_device, set_attention
    from core.training.evaluate import Judge
    from core.training.job import data_of_run
    from core.training.lengths import TokenLimits

    report = read_report(run.folder)
    ctx.progress(0, None, "Loading the models")
    encoder = load_encoder(encoder_name(run), best_device())
    data = data_of_run(library, run, encoder, ctx)
    warm = warm_checkpoint(run.folder)
    device = str(getattr(encoder, "device", "cpu"))
    start = (
        None if _began_anew(run.folder) else load_captioner(start_checkpoint(run.folder), encoder.fingerprint, device)
    )
    reference = start or load_captioner(warm, encoder.fingerprint, device)
    limits = TokenLimits(**report["token_limits"])
    preset = decided(limits.fitted(read_preset(run.config["preset"])), data, reference)
    judge = Judge(data, encoder, reference, limits.judged, ctx)
    evaluations: dict[str, Evaluation] = {} if start is None else {"before": judge(start)}
    for name in report["results"]:
        ctx.check_cancelled()
        if name != "before":
            evaluations[name] = judge(load_captioner(run.folder / name, encoder.fingerprint, device))
    notes: dict[str, str] = {}
    seeds = _earlier_seeds(report)
    if full:
        if start is not None:
            set_attention(start.lm, training=True)
        parts = _Measuring(run.folder, preset, run.seed, data, encoder, judge, start, ctx)
        evaluations |= _text_alone(parts)
        evaluations |= _similarity_alone(parts, evaluations, notes)
        seeds = _seed_evidence(parts)
    second = second_judge(library, encoder, judged_ids(data, judge), ctx)
    return measure(Models(data, encoder, judge, evaluations, warm, notes, seeds, second), ctx)


def _began_anew(run: Path) -> bool:
    try:
        config = tomllib.loads((run / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("training", {}).get("fresh"))


def _earlier_seeds(report: Mapping[str, Any]) -> SeedEvidence:
    """What an earlier full report found out about the seeds; it took trainings."""
    try:
        return PageData.from_dict(report["page"]).seeds
    except (KeyError, TypeError, ValueError, AttributeError):
        return SeedEvidence()


def _text_alone(parts: _Measuring) -> dict[str, Evaluation]:
    """CapDec's way (arXiv 2211.00575): stage 1 with the seeds' sentences, their photos unseen."""
    from core.training.seed_trials import Trainer

    if parts.start is None:
        return {}
    parts.ctx.progress(0, None, "Trying your sentences without their photos")
    usual = parts.preset.stage1
    settings = replace(usual, pairs=0, texts=usual.pairs + usual.texts, evaluate_every=usual.steps)
    preset = replace(parts.preset, stage1=settings)
    trainer = Trainer(parts.start, parts.encoder, preset, parts.ctx, parts.seed)
    *_, captioner = trainer.stages_of(parts.data)
    return {"text-only": parts.judge(captioner)}


def _similarity_alone(
    parts: _Measuring, evaluations: Mapping[str, Evaluation], notes: dict[str, str]
) -> dict[str, Evaluation]:
    """Stage 2 as first published: similarity and nothing else, from the same model; its red gates are named."""
    from core.captioner.checkpoint import load_captioner
    from core.training.compute import precision_of, set_attention
    from core.training.lm_training import begin, end
    from core.training.stage2 import Stage2
    from core.training.state import Progress
    from core.training.steps import Environment

    if "stage2" not in evaluations or parts.preset.stage2 is None or parts.preset.name == "two-stage":
        return {}
    settings = similarity_alone(parts.preset.stage2)
    warm = warm_checkpoint(parts.run)
    captioner = load_captioner(warm, parts.encoder.fingerprint, str(getattr(parts.encoder, "device", "cpu")))
    begin(captioner, parts.preset.lm, parts.seed)
    set_attention(captioner.lm, training=True)
    before = evaluations.get("stage1" if warm.name == "stage1" else "before") or parts.judge(captioner)
    nobody = cast(Any, None)
    precision = precision_of(parts.preset.precision, captioner.device)
    env = Environment(captioner, parts.judge, nobody, parts.ctx, parts.seed, precision)
    stage, progress = Stage2(parts.data, parts.encoder, settings, env, before), Progress()
    for step in range(stage.steps):
        parts.ctx.check_cancelled()
        parts.ctx.progress(step, stage.steps, "Trying stage 2 with similarity alone")
        stage.step(step, progress)
        progress.step += 1
    end(captioner)
    found = parts.judge(captioner)
    red = [gate.name for gate in stage.gates_of(found, progress.values.get("kl", 0.0)) if gate.state == "red"]
    notes["similarity"] = f"red: {', '.join(red)}" if red else "no gate is red"
    return {"similarity": found}


def _seed_evidence(parts: _Measuring) -> SeedEvidence:
    from core.training.adaptation import FEW_SEEDS
    from core.training.enough import SeedsTold, read_told, write_told
    from core.training.runfolder import RunFolder
    from core.training.seed_trials import FoldJudgement, Trainer, judge_by_folds, seed_curve

    if parts.start is None:
        return SeedEvidence(sentences=(_NEW_MAPPER,))
    trainer = Trainer(parts.start, parts.encoder, parts.preset, parts.ctx, parts.seed)
    labelled = len(parts.data.seeds) + len(parts.data.held_seeds)
    said = RunFolder(parts.run).folds().get("judgement")
    folds = None
    if labelled < FEW_SEEDS:
        folds = FoldJudgement.from_dict(said) if said else judge_by_folds(trainer, parts.data)
    curve = seed_curve(trainer, parts.data)
    if curve.gain is not None:
        told = read_told(parts.run)
        write_told(parts.run, SeedsTold(len(parts.data.seeds), told.losses if told else {}, curve.gain))
    return SeedEvidence(curve.points, (curve.sentence,) if folds is None else (folds.sentence, curve.sentence))
