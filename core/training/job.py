"""The whole button: look at the photos, split, train both stages, judge, keep what is better, record the run.

Light to import: the model libraries come in when a job runs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import paths
from core.errors import UserError
from core.jobs import Cancelled, JobContext
from core.library.library import Library
from core.library.queries import seeds, unlabelled
from core.library.records import RunRow, Seed
from core.library.runs import (
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    create_run,
    current_run,
    runs,
    update_run,
)
from core.library.splits import split_seeds
from core.running_out import is_out_of_memory
from core.training.data import (
    FEWEST_SEEDS,
    HELD_OUT_SHARE,
    CaptionedVectors,
    TrainingData,
    make_training_data,
)
from core.training.messages import (
    LOADING,
    REPORTING,
    GateRow,
    MetricRow,
    Samples,
    StageResult,
    StageStarted,
    TrainReport,
    TrainRequest,
)
from core.training.presets import Preset, find_preset, read_preset, with_overrides
from core.training.runfolder import STARTER, RunFolder, kept_checkpoint, warm_checkpoint
from core.training.snapshot import read_snapshot, take_snapshot, write_snapshot
from core.training.so_far import steps_done
from core.training.time_left import Material, Plan, Timed, plan_of

if TYPE_CHECKING:
    from core.captioner.captioner import Captioner
    from core.devices import Device
    from core.encoders.encoder import Encoder
    from core.encoders.open_clip_encoder import OpenClipEncoder
    from core.training.loop import StagesReport, TrainingConfig

__all__ = ["GateRow", "MetricRow", "Samples", "StageResult", "StageStarted", "TrainReport", "TrainRequest", "train_job"]

_log = logging.getLogger(__name__)
_LONGEST_TEXT_FILE = 200_000
_OF_THIS_TIME = ("library", "limit_minutes", "device")
STOPPED = (CANCELLED, FAILED, INTERRUPTED)
"""Trainings that did not end, and can go on."""


def train_job(ctx: JobContext, request: TrainRequest) -> TrainReport:
    """Train on the library's seeds and make the new model the library's, if it wins against the one it has.

    While it runs it sends ``StageStarted``, ``MetricRow``, ``Samples``, ``GateRow`` and ``TimeLeft``.

    Raises:
        UserError: too few seeds, an unknown name, or nothing to go on with.
        Cancelled: the run's folder keeps what was learned; ``request.resume`` goes on from there.
    """
    from core.training.room import get_models

    preset = with_overrides(find_preset(request.preset), request.overrides)
    with Library.open(request.library) as library:
        stopped = _stopped(library) if request.resume else None
        if stopped is None:
            _refuse_too_few(library, request, preset)
        else:
            request = _as_begun(request, stopped)
            preset = read_preset(stopped.config["preset"])
        texts = read_sentences(request.text_file) if request.text_file and stopped is None else ()
        get_models(ctx, library, request, preset)
        plan = _planner(library, request, preset, stopped)
        timed = Timed(ctx, request, plan(request.device))
        try:
            from core.devices import choose_device

            device = choose_device(request.device)
            timed.plan_anew(plan(device.name))
            return _learn(timed, library, request, _Beginning(preset, texts, stopped), device)
        finally:
            timed.keep()


@dataclass(frozen=True)
class _Beginning:
    """What a training begins with: its method, sentences of a file, and the run it goes on with, if it does."""

    preset: Preset
    texts: Sequence[str]
    stopped: RunRow | None


def _planner(library: Library, request: TrainRequest, preset: Preset, stopped: RunRow | None) -> Callable[[str], Plan]:
    """What is to do on a device of a name; the photos have been looked at where there was a training before."""
    without = len(unlabelled(library))
    photos = 0 if stopped is not None or runs(library) else without
    mine = seeds(library)
    labelled = len({one.content_hash for one in mine})
    material = Material(photos, sum(len(one.texts) for one in mine), without, labelled)
    done = None if stopped is None else steps_done(stopped.folder)
    return lambda device: plan_of(preset, replace(request, device=device), material, done)


def _learn(
    ctx: JobContext, library: Library, request: TrainRequest, beginning: _Beginning, device: Device
) -> TrainReport:
    preset, texts, stopped = beginning.preset, beginning.texts, beginning.stopped
    from core.captioner.language_model import check_language_model
    from core.encoders.embed import embed_library
    from core.onnx.tokenizer_files import refuse_other_tokenizers

    if stopped is None and request.lm != STARTER and _gone_on_from(library, request) is None:
        check_language_model(request.lm)
    encoder, without_card = _load_encoder(ctx, library, request, preset, device)
    if stopped is None:
        refuse_other_tokenizers(encoder.tokenizer)  # before hours of training for what no bundle could hold
        embed_library(library, encoder, ctx)
        data, hashes = _library_set(library, encoder, texts, seed=request.seed)
        run = _new_run(library, request, preset, encoder, data)
    else:
        data, hashes = data_of_run(library, stopped, encoder, ctx), None
        run = update_run(
            library, stopped.id, status=RUNNING, message="", config=_with_this_time(stopped.config, request)
        )
    try:
        if hashes is not None:
            write_snapshot(run.folder, take_snapshot(data, hashes))
        report, stages = _train(ctx, library, run, request, data, encoder)
    except Cancelled:
        update_run(library, run.id, status=CANCELLED, message="Stopped; what was learned is kept.")
        raise
    except BaseException as error:
        update_run(library, run.id, status=FAILED, message=str(error) or type(error).__name__)
        raise
    page, said = _page(ctx, library, run.folder, stages, data, encoder)  # the run has ended: nothing here fails it
    return replace(report, page=page, notes=(*report.notes, *filter(None, (said, without_card))))


def _load_encoder(
    ctx: JobContext, library: Library, request: TrainRequest, preset: Preset, device: Device
) -> tuple[OpenClipEncoder, str]:
    """The encoder on the device that trains, once it is clear and was said that the models fit there; and, where that
    is the processor because no card works, a sentence on it."""
    from core.encoders.open_clip_encoder import load_encoder
    from core.training.room import said_room

    said = said_room(device, library, request, preset)
    without_card = f"{device.instead_of} The processor trains instead." if device.instead_of else ""
    told = " ".join(part for part in (without_card, said) if part)
    ctx.progress(0, None, f"{LOADING}. {told}" if told else LOADING)
    return load_encoder(request.encoder, device.name), without_card


def read_sentences(file: Path) -> tuple[str, ...]:
    """The sentences of a text file, one a line, each once; at most 200,000."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The text file {file} cannot be read: {error}", "Give a UTF-8 file, a sentence a line."
        ) from error
    sentences = tuple(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
    if not sentences:
        raise UserError(f"The text file {file} holds no sentence.", "Give a UTF-8 file, a sentence a line.")
    return sentences[:_LONGEST_TEXT_FILE]


def library_data(library: Library, encoder: Encoder, texts: Sequence[str] = (), *, seed: int = 0) -> TrainingData:
    """The library's embedded photos as training data: copies of a photo count once, held-out seeds stay held out."""
    return _library_set(library, encoder, texts, seed=seed)[0]


def _library_set(
    library: Library, encoder: Encoder, texts: Sequence[str], *, seed: int
) -> tuple[TrainingData, dict[int, str]]:
    """The data, and the content of every photo in it by its id."""
    from core.encoders.store import VectorStore

    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    split = split_seeds(library, fraction=HELD_OUT_SHARE, minimum=FEWEST_SEEDS - 1, seed=seed)
    free = {content: image_id for image_id, content in reversed(unlabelled(library))}
    hashes = sorted(free)
    missing = set(store.missing(hashes))
    hashes = [one for one in hashes if one not in missing]
    ids = np.array([free[one] for one in hashes], np.int64)
    vectors = store.get(hashes)
    data = make_training_data(
        _captioned(store, split.train), _captioned(store, split.held_out), (ids, vectors, hashes), texts
    )
    contents = {one.image_id: one.content_hash for one in (*split.train, *split.held_out)}
    return data, contents | {free[one]: one for one in hashes}


def _captioned(store: Any, seeds: Sequence[Seed]) -> CaptionedVectors:
    """One entry per photo content, with the captions of all its copies."""
    by_hash: dict[str, Seed] = {}
    for one in seeds:
        old = by_hash.get(one.content_hash)
        merged = one if old is None else Seed(old.image_id, one.content_hash, (*old.texts, *one.texts))
        by_hash[one.content_hash] = merged
    hashes = [one for one in by_hash if one not in set(store.missing([*by_hash]))]
    vectors = store.get(hashes)
    captions = tuple(tuple(dict.fromkeys(by_hash[one].texts)) for one in hashes)
    return CaptionedVectors(np.array([by_hash[one].image_id for one in hashes], np.int64), vectors, captions)


def _refuse_too_few(library: Library, request: TrainRequest, preset: Preset) -> None:
    """Seeds are needed, unless sentences of a file are all that is learned from."""
    if preset.text_only and request.text_file is not None:
        return
    count = len({one.content_hash for one in seeds(library)})
    if count < FEWEST_SEEDS:
        have = "No photo has" if count == 0 else "Only one photo has" if count == 1 else f"Only {count} photos have"
        raise UserError(
            f"{have} a caption to learn from.",
            f"Write captions for at least {FEWEST_SEEDS} photos; 50 teach much more.",
        )


def _new_run(library: Library, request: TrainRequest, preset: Preset, encoder: Encoder, data: TrainingData) -> RunRow:
    config = {
        "request": {**asdict(request), "library": None, "text_file": str(request.text_file or ""), "resume": None},
        "preset": asdict(preset),
    }
    return create_run(
        library,
        preset.name,
        config,
        seed=request.seed,
        data_hash=data.sha256(),
        encoder_fingerprint=encoder.fingerprint,
    )


def stopped_run(library: Library) -> RunRow | None:
    """The newest training, if it did not end; one that was overtaken by another is not gone on with."""
    newest = next(iter(runs(library)), None)
    return None if newest is None or newest.status not in STOPPED else newest


def _stopped(library: Library) -> RunRow:
    stopped = stopped_run(library)
    if stopped is None:
        raise UserError("There is no stopped training to go on with.", "Start a new training.", topic="begin anew")
    return stopped


def meant(library: Library, request: TrainRequest) -> TrainRequest:
    """What a request is about: with ``resume`` it is as the stopped training was begun. Raises as :func:`train_job`."""
    return _as_begun(request, _stopped(library)) if request.resume else request


def _as_begun(request: TrainRequest, run: RunRow) -> TrainRequest:
    """The request that began ``run``, with the library, the time limit and the device of this one.

    What this one says besides must not contradict it; a setting left at its default says nothing.
    """
    known = {field.name for field in fields(TrainRequest)}
    begun = {name: value for name, value in run.config["request"].items() if name in known}
    begun["text_file"] = Path(begun["text_file"]) if begun.get("text_file") else None
    begun |= {name: getattr(request, name) for name in _OF_THIS_TIME} | {"resume": True}
    before, silent = TrainRequest(**begun), TrainRequest(request.library)
    given = {name: getattr(request, name) for name in known - {*_OF_THIS_TIME, "resume"}}
    spoken = {name: value for name, value in given.items() if value != getattr(silent, name)}
    different = sorted(name for name, value in spoken.items() if not _same(value, getattr(before, name)))
    if different:
        raise UserError(
            f"The stopped training {run.id} was started with other settings ({', '.join(different)}).",
            "Give the same settings or none, or start a new training.",
            topic="begin anew",
        )
    return before


def _with_this_time(config: Mapping[str, Any], request: TrainRequest) -> dict[str, Any]:
    """A run's settings with the limit and the device of now: whoever pauses it again finds these when going on."""
    given = {name: getattr(request, name) for name in _OF_THIS_TIME if name != "library"}
    return {**config, "request": {**config["request"], **given}}


def _same(one: object, other: object) -> bool:
    """Whether two settings are alike; numbers of the command line come as text."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {k: str(v) for k, v in one.items()} == {k: str(v) for k, v in other.items()}
    return one == other


def data_of_run(library: Library, run: RunRow, encoder: Encoder, ctx: JobContext) -> TrainingData:
    """The data that ``run`` began with, whatever captions and photos have come since.

    Raises:
        UserError: its photos are gone, or nothing says which they were.
    """
    from core.encoders.embed import embed_library
    from core.encoders.store import VectorStore

    if run.encoder_fingerprint != encoder.fingerprint:
        raise UserError(
            f"The training {run.id} was begun with another encoder.", "Start a new training.", topic="begin anew"
        )
    snapshot = read_snapshot(run.folder)
    if snapshot is None:
        raise UserError(
            f"The training {run.id} was stopped before it had learned anything.",
            "Start a new training.",
            topic="begin anew",
        )
    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    if store.missing(snapshot.hashes()):
        embed_library(library, encoder, ctx)
    if missing := store.missing(snapshot.hashes()):
        raise UserError(
            f"Photos that the training {run.id} learned from are gone, or cannot be read ({len(missing):,}).",
            "Bring them back and look for photos again, or start a new training.",
            topic="begin anew",
        )
    return snapshot.data(store)


def _train(
    ctx: JobContext,
    library: Library,
    run: RunRow,
    request: TrainRequest,
    data: TrainingData,
    encoder: Encoder,
) -> tuple[TrainReport, StagesReport]:
    from core.training.loop import TrainingConfig, train_stages
    from core.training.takeover import Learned, take_over

    preset = read_preset(run.config["preset"])
    captioner, start, fresh = _start(library, request, preset, encoder, run)
    config = TrainingConfig(
        preset=preset,
        stages=request.stages,
        seed=request.seed,
        limit_minutes=request.limit_minutes,
        resume=request.resume,
        fresh=fresh,
        start=start,
        with_lm=start != STARTER,
    )
    RunFolder(run.folder).write_config(_described(config, request, encoder, data))
    report = train_stages(data, captioner, encoder, config, run.folder, ctx)
    notes = list(report.notes)
    if report.kept != "before":
        learned = Learned(captioner, encoder, data, from_starter=start == STARTER and not fresh)
        notes.append(taken_over := take_over(library, run, learned, ctx))
        RunFolder(run.folder).add_to_report(taken_over=taken_over)
    checkpoint = kept_checkpoint(run.folder)
    update_run(
        library,
        run.id,
        status=DONE,
        metrics={name: dict(result.values) for name, result in report.results.items()},
        gates=[asdict(gate) for gate in report.gates],
        checkpoint_hash=_hash_of(checkpoint),
        message=report.reason,
    )
    return _finished(run, report, data, notes), report


def _page(
    ctx: JobContext, library: Library, run: Path, report: StagesReport, data: TrainingData, encoder: Encoder
) -> tuple[Path | None, str]:
    """The page about the run, and who judged, in a sentence. The training has ended well: to stop now, a full disk,
    memory that does not suffice, or a fault of our own costs the page alone."""
    from core.report.measure import Models, judged_ids, measure
    from core.report.page import said_judge, save_page_data, write_page
    from core.report.second_judge import second_judge

    missing = None, "There is no page about this training."
    if report.judge is None:
        return missing
    ctx.progress(0, None, REPORTING)
    try:
        second = second_judge(library, encoder, judged_ids(data, report.judge), ctx)
        models = Models(data, encoder, report.judge, report.evaluations, warm_checkpoint(run), second=second)
        found = measure(models, ctx)
        save_page_data(run, found)
        return write_page(library, run), said_judge(found)
    except (Cancelled, UserError, OSError):
        return missing
    except Exception as error:  # noqa: BLE001 - a judge from a stranger's folder may raise whatever it likes
        if not is_out_of_memory(error):
            _log.exception("There is no page about the training in %s", run)
        return missing


def _start(
    library: Library, request: TrainRequest, preset: Preset, encoder: Encoder, run: RunRow
) -> tuple[Captioner, str, bool]:
    """The captioner to begin with, where it comes from, and whether its mapper is new.

    Stage 2 alone goes on from the library's model; otherwise the starter's captioner, where it fits the encoder and
    the language model asked for and the preset does not want a mapper of its own to learn in stage 1.
    """
    from core.captioner.captioner import new_captioner, put_onto
    from core.captioner.checkpoint import load_captioner, read_info
    from core.captioner.language_model import load_language_model

    device = str(getattr(encoder, "device", "cpu"))
    if request.resume and (start := run.config.get("start")):
        pass
    elif (current := _gone_on_from(library, request)) is not None:
        start = Path("..", *kept_checkpoint(current.folder).relative_to(library.runs_dir.resolve()).parts).as_posix()
    else:
        start = STARTER
    update_run(library, run.id, config={**run.config, "start": start})
    if start != STARTER:
        return load_captioner((run.folder / start).resolve(), encoder.fingerprint, device), start, False
    starter = paths.starter_dir() / "captioner"
    own_mapper = preset.wants_new_mapper and "1" in request.stages
    if request.lm == STARTER and not own_mapper and read_info(starter).encoder_fingerprint == encoder.fingerprint:
        return load_captioner(starter, encoder.fingerprint, device), STARTER, False
    captioner = new_captioner(encoder, load_language_model(request.lm), preset.mapper, seed=request.seed)
    return put_onto(captioner, device), STARTER, True


def _gone_on_from(library: Library, request: TrainRequest) -> RunRow | None:
    """The run whose model a training of stage 2 alone begins with; no language model is loaded by name then."""
    return current_run(library) if request.stages == "2" else None


def _described(config: TrainingConfig, request: TrainRequest, encoder: Encoder, data: TrainingData) -> dict[str, Any]:
    return {
        "encoder": {"id": encoder.id, "fingerprint": encoder.fingerprint},
        "lm": {"id": request.lm},
        "training": {key: value for key, value in asdict(config).items() if key not in ("preset", "resume")},
        "preset": config.preset,
        "data": {
            "sha256": data.sha256(),
            "seeds": len(data.seeds),
            "held_out_seeds": len(data.held_seeds),
            "unlabelled": len(data.unlabelled),
            "held_out_photos": len(data.gallery),
            "texts": len(data.texts),
        },
    }


def _finished(run: RunRow, report: StagesReport, data: TrainingData, notes: list[str]) -> TrainReport:
    return TrainReport(
        run_id=run.id,
        folder=run.folder,
        kept=report.kept,
        reason=report.reason,
        results=report.results,
        gates=report.gates,
        seeds=len(data.seeds),
        held_out=len(data.held_seeds) + len(data.gallery),
        unlabelled=len(data.unlabelled),
        seconds=report.seconds,
        notes=tuple(notes),
        learned_wording=report.learned_wording,
        held_seeds=len(data.held_seeds),
        own_captions=report.own_captions,
    )


def _hash_of(checkpoint: Path) -> str:
    """One hash over the names and contents of a checkpoint's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        digest.update(file.relative_to(checkpoint).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
