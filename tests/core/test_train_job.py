"""Training a library: the run row, the run folder, what the library uses afterwards, and the command."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core import cli
from core.captioner.checkpoint import read_info
from core.devices import Device
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library.edits import add_seed, reject
from core.library.library import Library
from core.library.queries import captions_of, images_of
from core.library.runs import current_run, runs, update_run
from core.library.scan import scan
from core.library.splits import held_out
from core.training.enough import read_told
from core.training.job import TrainRequest, read_sentences, train_job
from core.training.messages import MetricRow, Samples, StageStarted
from core.training.runfolder import RunFolder, kept_checkpoint, read_rows
from core.training.so_far import so_far
from core.training.time_left import Plan, Timed
from tests.tiny import SENTENCES, random_pixels

FAST = {
    "stage1.steps": 24, "stage1.minimum_steps": 4, "stage1.evaluate_every": 8, "stage1.lr_mapper": 1e-3,
    "stage1.lr_lm": 1e-3, "stage1.pairs": 8, "stage1.folds": 0, "stage1.texts": 8, "stage1.fresh_steps": 4,
    "stage2.steps": 4, "stage2.evaluate_every": 2, "stage2.photos": 6, "stage2.samples": 3, "stage2.max_tokens": 24,
}  # fmt: skip


@pytest.fixture
def library(tiny_starter, tmp_path):
    """Thirty photos, one of them there twice; ten have a caption."""
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = ((random_pixels(30, seed=5).transpose(0, 2, 3, 1) * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(photos / f"{i:02}.png")
    (photos / "copy.png").write_bytes((photos / "20.png").read_bytes())
    (photos / "broken.png").write_bytes(b"not a picture")
    folder = tmp_path / "test.seedcap"
    with Library.create(folder) as made:
        scan(made, photos, QuietContext())
        for i, row in enumerate(images_of(made)[:10]):
            add_seed(made, row.id, f"Look: {SENTENCES[i % 8].lower()}")
    return folder


def request(library, **changes):
    return TrainRequest(library, overrides={**FAST, **changes.pop("overrides", {})}, **changes)


class StopAfter(QuietContext):
    def __init__(self, message, times):
        self.message, self.left, self.stop = message, times, False

    def progress(self, done, total, message=""):
        if message.startswith(self.message):
            self.left -= 1
            self.stop = self.left <= 0

    def check_cancelled(self):
        if self.stop:
            raise Cancelled


class Heard(QuietContext):
    def __init__(self):
        self.partials = []

    def partial(self, result):
        self.partials.append(result)


def test_the_button(library):
    report = train_job(QuietContext(), request(library))
    with Library.open(library) as opened:
        [run] = runs(opened)
        assert run.id == report.run_id
        assert run.status == "done"
        assert run.data_hash
        assert run.checkpoint_hash
        assert set(run.metrics) == {"before", "stage1", "stage2"}
        current = current_run(opened)
        assert (current.id if current else None) == (None if report.kept == "before" else run.id)
        assert held_out(opened)
    assert report.kept != "before"  # the seeds begin with a word that the starter never says
    assert report.seeds == 8
    assert report.unlabelled + report.held_out == 20 + 2  # the copy counts once, the broken one not at all
    told = read_told(report.folder)
    assert told is not None and (told.seeds, len(told.losses)) == (8, 2), "what more seeds bring is told beside others"
    settings = tomllib.loads((report.folder / "config.toml").read_text())
    assert settings["data"]["seeds"] == 8
    assert settings["preset"]["stage1"]["steps"] == 24
    assert kept_checkpoint(report.folder) == report.folder / report.kept


def test_where_no_photo_is_learned_from_a_file_of_sentences_is_enough(library, tmp_path):
    with Library.open(library) as opened:
        seeds = [row.id for rows in captions_of(opened, [row.id for row in images_of(opened)]).values() for row in rows]
        reject(opened, seeds)
    overrides = {"stage1.minimum_steps": 20, "stage1.evaluate_every": 20, "stage1.pairs": 0, "mapper.prefix_length": 4}
    asked = request(library, preset="capdec", overrides=overrides)
    for setting in [name for name in asked.overrides if name.startswith("stage2")]:
        del asked.overrides[setting]
    with pytest.raises(UserError, match="No photo has a caption"):
        train_job(QuietContext(), asked)
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("\n".join(SENTENCES))
    report = train_job(QuietContext(), replace(asked, text_file=sentences))
    assert (report.kept, report.seeds) == ("stage1", 0)
    info = read_info(kept_checkpoint(report.folder))
    assert (info.mapper_type, info.prefix_length, info.mapper_layers) == ("transformer", 4, 8)
    learned = json.loads((report.folder / "report.json").read_text())
    assert learned["lm_training"]["train"] == "all"
    assert learned["trained_parameters"]["mapper"] > learned["trained_parameters"]["lm"] > 0


def test_stage_2_alone_goes_on_from_the_librarys_model(library):
    first = train_job(QuietContext(), request(library, stages="1"))
    assert first.kept == "stage1"
    second = train_job(QuietContext(), request(library, stages="2"))
    assert set(second.results) == {"before", "stage2"}
    assert second.results["before"].values["nll"] == first.results["stage1"].values["nll"]
    if second.kept == "before":
        assert kept_checkpoint(second.folder) == first.folder / "stage1"


def test_a_stopped_training_goes_on(library):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 5), request(library))
    with Library.open(library) as opened:
        [run] = runs(opened)
        assert run.status == "cancelled" and current_run(opened) is None
    worked = run.folder / "work.json"
    assert json.loads(worked.read_text())["seconds"] > 0
    worked.write_text('{"seconds": 60000}')
    report = train_job(QuietContext(), request(library, resume=True, limit_minutes=60))
    assert report.seconds > 60000, "the work before the pause counts, and the time limit begins anew"
    assert report.results["stage1"].steps > 5
    with Library.open(library) as opened:
        assert [(run.id, run.status) for run in runs(opened)] == [(report.run_id, "done")]


def test_the_time_is_planned_for_the_card_that_auto_finds(library, tiny_starter, monkeypatch):
    planned: list[Plan] = []

    def stop(*_args):
        raise Cancelled

    monkeypatch.setattr("core.training.job._load_encoder", stop)
    monkeypatch.setattr(Timed, "plan_anew", lambda _timed, plan: planned.append(plan))
    asked = TrainRequest(library, lm=f"dir:{tiny_starter / 'lm'}")
    for found in ("cuda:0", "cpu"):
        monkeypatch.setattr("core.devices.choose_device", lambda _name, found=found: Device(found, "Some"))
        with pytest.raises(Cancelled):
            train_job(QuietContext(), asked)
    on_card, on_processor = planned
    assert on_card.stage1 > on_processor.stage1


def test_going_on_with_something_else_is_refused(library):
    with pytest.raises(UserError, match="no stopped training"):
        train_job(QuietContext(), request(library, resume=True))
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 2), request(library))
    with pytest.raises(UserError, match="preset"):
        train_job(QuietContext(), request(library, resume=True, preset="two-stage"))
    with pytest.raises(UserError, match="overrides"):
        train_job(QuietContext(), request(library, resume=True, overrides={"stage1.steps": 25}))


def test_what_came_while_training_does_not_stand_in_its_way(library, tmp_path):
    """A caption written, one taken away, a photo found: it goes on with what it began with, to the same end."""
    whole = tmp_path / "whole.seedcap"
    shutil.copytree(library, whole)
    unbroken = train_job(QuietContext(), request(whole, preset="two-stage", seed=3))
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 5), request(library, preset="two-stage", seed=3))
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "photos" / "new.png")
    with Library.open(library) as opened:
        images = images_of(opened)
        add_seed(opened, images[15].id, "One more.")
        add_seed(opened, images[0].id, "And another of the first.")
        scan(opened, tmp_path / "photos", QuietContext())
    report = train_job(QuietContext(), TrainRequest(library, resume=True))  # settings are those it began with
    assert report.seeds == unbroken.seeds
    assert report.results["stage2"].values == unbroken.results["stage2"].values
    assert read_rows(report.folder / "metrics.jsonl") == read_rows(unbroken.folder / "metrics.jsonl")
    with Library.open(library) as opened:
        assert [(run.id, run.status, run.preset) for run in runs(opened)] == [(report.run_id, "done", "two-stage")]


def test_vectors_that_are_gone_are_made_again(library):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 5), request(library))
    shutil.rmtree(library / "vectors")
    assert train_job(QuietContext(), TrainRequest(library, resume=True)).results["stage1"]


def test_photos_that_are_gone_are_told(library, tmp_path):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 5), request(library))
    shutil.rmtree(library / "vectors")
    (tmp_path / "photos" / "07.png").unlink()
    with pytest.raises(UserError, match="gone, or cannot be read"):
        train_job(QuietContext(), TrainRequest(library, resume=True))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 9}', '{"schema_version": 1, "seeds": [1]}'])
def test_a_damaged_record_of_what_was_learned_from_is_refused(library, content):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 2), request(library))
    [file] = (library / "runs").glob("*/learned_from.json")
    file.write_text(content)
    with pytest.raises(UserError, match="damaged"):
        train_job(QuietContext(), TrainRequest(library, resume=True))


def test_only_the_newest_training_is_gone_on_with(library):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 2), request(library))
    train_job(QuietContext(), request(library, stages="1"))
    with pytest.raises(UserError, match="no stopped training"):
        train_job(QuietContext(), TrainRequest(library, resume=True))


def test_a_failed_training_goes_on(library, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("core.training.loop.train_stages", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_job(QuietContext(), request(library, stages="1"))
    report = train_job(QuietContext(), TrainRequest(library, resume=True))
    assert set(report.results) == {"before", "stage1"}


def test_a_failure_is_recorded(library, monkeypatch):
    monkeypatch.setattr("core.training.loop.train_stages", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_job(QuietContext(), request(library))
    with Library.open(library) as opened:
        [run] = runs(opened)
        assert run.status == "failed"
        assert "division" in run.message


def test_too_few_seeds_are_refused_in_words(library, tmp_path):
    with Library.create(tmp_path / "empty.seedcap") as empty:
        path = empty.path
    with pytest.raises(UserError, match="No photo has a caption") as refused:
        train_job(QuietContext(), request(path))
    assert "5" in refused.value.next_step


def test_the_model_in_use_is_compared_with_and_may_be_gone(library):
    first = train_job(QuietContext(), request(library, stages="1"))
    second = train_job(QuietContext(), request(library, stages="1", seed=1, overrides={"stage1.steps": 40}))
    assert second.notes
    with Library.open(library) as opened:
        update_run(opened, first.run_id, message="old")
        current = current_run(opened)
        shutil.rmtree(current.folder)
    third = train_job(QuietContext(), request(library, stages="1"))
    with Library.open(library) as opened:
        assert current_run(opened).id == third.run_id


def test_sentences_without_photos(library, tmp_path):
    file = tmp_path / "sentences.txt"
    file.write_text("\ufeffLook: a red  ball.\n\nLook: a red ball.\nLook: a box.\n", encoding="utf-8")
    assert read_sentences(file) == ("Look: a red ball.", "Look: a box.")
    report = train_job(QuietContext(), request(library, stages="1", text_file=file))
    assert tomllib.loads((report.folder / "config.toml").read_text())["data"]["texts"] == 2
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_sentences(file)
    file.write_text("\n \n")
    with pytest.raises(UserError, match="no sentence"):
        read_sentences(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_sentences(tmp_path / "nowhere.txt")


def test_a_language_model_that_the_starter_does_not_know_gets_a_new_mapper(library, tiny_starter):
    lm = f"dir:{tiny_starter / 'lm'}"
    report = train_job(QuietContext(), request(library, stages="1", lm=lm, overrides={"stage1.minimum_steps": 24}))
    assert report.results["stage1"].steps == 24 + 4
    settings = tomllib.loads((report.folder / "config.toml").read_text())
    assert settings["training"]["fresh"] is True


def test_the_command(library, tmp_path, capsys):
    options = [word for name, value in FAST.items() for word in ("--set", f"{name}={value}")]
    assert cli.main(["train", str(library), "--json", str(tmp_path / "r.json"), *options]) == 0
    out = capsys.readouterr().out
    assert "stage1" in out
    assert "CLIP-S" in out
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["report"]["kept"] in ("before", "stage1", "stage2")
    assert {"clip_s", "mrr"} <= set(written["report"]["results"]["stage2"]["values"])


@pytest.mark.parametrize(
    "wrong",
    [
        ["--preset", "best"],
        ["--encoder", "clip"],
        ["--lm", "gpt"],
        ["--set", "stage1.steps"],
        ["--set", "stage9.steps=1"],
        ["--limit-minutes", "0"],
        ["--text", "/nowhere.txt"],
        ["--stages", "21"],
        ["--resume"],
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(library, capsys, wrong):
    assert cli.main(["train", str(library), *wrong]) == 2
    assert capsys.readouterr().err.strip()


# -- ending by hand ---------------------------------------------------------------------------------------------------


def test_a_training_that_is_ended_keeps_what_it_has_learned(library):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 1", 10), request(library))
    with Library.open(library) as opened:
        [run] = runs(opened)
        told = so_far(run.folder, {1: 24, 2: 4})
        RunFolder(run.folder).ask_to_end()
    rows = [one for one in told if isinstance(one, MetricRow)]
    assert told[0] == StageStarted(1, 24, 10) and isinstance(told[-1], Samples) and told[-1].items
    assert [row.step for row in rows] == list(range(1, 11)) and all(row.loss is not None for row in rows)
    heard = Heard()
    report = train_job(heard, TrainRequest(library, resume=True))
    assert report.results["stage1"].steps == 10 and "stage2" not in report.results
    assert "ended by hand" in " ".join(report.notes)
    assert [one for one in heard.partials if isinstance(one, StageStarted)] == [StageStarted(1, 24, 10)]
    with Library.open(library) as opened:
        assert runs(opened)[0].status == "done"


def test_a_stage_2_that_is_ended_is_judged(library):
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 2", 2), request(library))
    with Library.open(library) as opened:
        folder = RunFolder(runs(opened)[0].folder)
    folder.ask_to_end()
    assert folder.asked_to_end
    folder.ask_to_end(False)
    assert not folder.asked_to_end, "a person who goes on after all has changed their mind"
    folder.ask_to_end()
    report = train_job(QuietContext(), TrainRequest(library, resume=True))
    assert report.results["stage2"].steps == 2
