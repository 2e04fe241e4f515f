"""What of a language model learns: decided by its size, by adapters that leave no trace, and in the memory there is."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.captioner.captioner import new_captioner, pad
from core.captioner.checkpoint import load_captioner, read_info
from core.captioner.language_model import load_language_model
from core.captioner.lora import attention_weights
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.training.adaptation import adapted
from core.training.data import CaptionedVectors
from core.training.loop import train_stages
from core.training.memory import MicroBatches, checkpointed
from core.training.presets import LmSettings, Stage1Settings, find_preset, read_preset, with_overrides
from core.training.runfolder import kept_checkpoint, read_rows
from core.training.stage1 import in_steps
from tests.core.test_training import Recorder, captioner, config, data, encoder, weights
from tests.tiny import SENTENCES

__all__ = ["captioner", "data", "encoder"]  # fixtures

RECOMMENDED = find_preset("recommended")
SHORT = {
    "stage1.steps": 4,
    "stage1.folds": 0,
    "stage1.evaluate_every": 4,
    "stage2.steps": 4,
    "stage2.evaluate_every": 4,
}


# -- what auto means --------------------------------------------------------------------------------------------------


def test_a_small_language_model_learns_as_a_whole_and_nothing_else_changes():
    for captions in (50, 60, 1000):
        assert adapted(RECOMMENDED, captions, large=False) == replace(RECOMMENDED, lm=LmSettings("all"))


def test_a_small_one_that_learns_few_captions_is_watched_closely():
    found = adapted(RECOMMENDED, 24, large=False)
    closely = replace(RECOMMENDED.stage1, minimum_steps=20, evaluate_every=5)
    assert found == replace(RECOMMENDED, stage1=closely, lm=LmSettings("all"))
    assert adapted(RECOMMENDED, 25, large=False).stage1 == RECOMMENDED.stage1
    for name, value in (("steps", 60), ("evaluate_every", 10)):
        asked = with_overrides(RECOMMENDED, {f"stage1.{name}": value})
        assert getattr(adapted(asked, 10, large=False).stage1, name) == value, "a person asked for it"


def test_a_small_one_goes_three_times_over_many_captions():
    found = adapted(RECOMMENDED, 15_000, large=False).stage1
    assert found == replace(RECOMMENDED.stage1, steps=1406, evaluate_every=140)
    asked = with_overrides(RECOMMENDED, {"stage1.steps": 60})
    assert adapted(asked, 15_000, large=False).stage1 == asked.stage1
    by_epochs = find_preset("clipcap-mlp").stage1
    assert adapted(find_preset("clipcap-mlp"), 15_000, large=False).stage1 == by_epochs


@pytest.mark.parametrize(
    ("captions", "train", "rank"),
    [(10, "none", 16), (50, "lora", 8), (99, "lora", 8), (100, "lora", 16), (499, "lora", 16), (500, "last", 16),
     (2000, "all", 16)],
)  # fmt: skip
def test_the_more_captions_the_more_of_a_large_one_learns(captions, train, rank):
    found = adapted(RECOMMENDED, captions, large=True)
    assert (found.lm.train, found.lm.rank) == (train, rank)
    assert found.stage1.lr_mapper < RECOMMENDED.stage1.lr_mapper
    assert found.stage1.steps <= RECOMMENDED.stage1.steps


def test_a_large_one_learns_in_small_steps_on_a_processor():
    """Of a step's 64 captions, 16 are left, which take seconds; methods with batches of their own keep them."""
    found = adapted(RECOMMENDED, 300, large=True, on_processor=True).stage1
    assert (found.pairs, found.texts, found.fresh_steps) == (8, 8, 300)
    assert found.steps == 150 and adapted(RECOMMENDED, 60, large=True, on_processor=True).stage1.steps <= 150
    asked = with_overrides(RECOMMENDED, {"stage1.pairs": 4, "stage1.fresh_steps": 9})
    kept = adapted(asked, 300, large=True, on_processor=True).stage1
    assert (kept.pairs, kept.fresh_steps) == (4, 9)
    assert adapted(RECOMMENDED, 300, large=False, on_processor=True).stage1 == RECOMMENDED.stage1
    assert adapted(RECOMMENDED, 300, large=True).stage1.pairs == RECOMMENDED.stage1.pairs


def test_what_was_asked_for_stays():
    asked = with_overrides(RECOMMENDED, {"lm.rank": 3, "stage1.lr_mapper": 1e-3, "stage1.steps": 2, "stage2.lr": 7e-4})
    found = adapted(asked, 60, large=True)
    assert (found.lm.rank, found.stage1.lr_mapper, found.stage1.steps, found.stage2.lr) == (3, 1e-3, 2, 7e-4)
    explicit = with_overrides(RECOMMENDED, {"lm.train": "last"})
    assert adapted(explicit, 60, large=True) == explicit


@pytest.mark.parametrize(
    "changes", [{"lm.train": "some"}, {"lm.rank": 0}, {"lm.blocks": 0}, {"mapper.kind": "cross-attention"}]
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(UserError) as refused:
        adapted(with_overrides(RECOMMENDED, changes), 60, large=False)
    assert refused.value.next_step


def test_a_training_of_before_knew_tune_lm():
    from dataclasses import asdict

    document = asdict(RECOMMENDED) | {"tune_lm": False}
    del document["lm"], document["mapper"]
    assert read_preset(document) == replace(RECOMMENDED, lm=LmSettings("none"))


def test_epochs_are_told_in_steps():
    settings = Stage1Settings(epochs=10.0, pairs=40, minimum_steps=300, evaluate_every=20)
    assert (in_steps(settings, 50).steps, in_steps(settings, 50).evaluate_every) == (300, 20)
    assert (in_steps(settings, 6000).steps, in_steps(settings, 6000).evaluate_every) == (1500, 150)
    assert in_steps(replace(settings, pairs=0, texts=60), 6000).steps == 1000
    assert in_steps(RECOMMENDED.stage1, 6000) == RECOMMENDED.stage1


# -- what learns ------------------------------------------------------------------------------------------------------


def changed(before, after):
    """Names of the weights that differ."""
    after = dict(after.named_parameters())
    return {name for name, tensor in before.named_parameters() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize("train", ["none", "lora", "last"])
def test_what_is_named_learns_in_both_stages_and_nothing_else(data, captioner, encoder, tmp_path, train):
    before = copy.deepcopy(captioner)
    settings = SHORT | {
        "lm.train": train,
        "lm.rank": 2,
        "lm.blocks": 1,
        "stage2.gated": False,
    }  # the last weights count
    asked = config(with_lm=False, overrides=settings)
    train_stages(data, captioner, encoder, asked, tmp_path, QuietContext())
    stages = [load_captioner(tmp_path / one) for one in ("stage1", "stage2")]
    names = [changed(before, stages[0]), changed(*stages)]
    mapper = {f"mapper.{name}" for name, _ in captioner.mapper.named_parameters()}
    attention = {f"lm.{name}" for name in attention_weights(before.lm)}
    for found in names:
        lm = found - mapper
        assert found >= mapper
        assert (lm == set()) == (train == "none")
        if train == "lora":
            assert lm <= attention
        if train == "last":
            assert all(name.startswith("lm.transformer.h.1.") for name in lm)
    assert (tmp_path / "stage1" / "lm").exists() == (train != "none")
    now = torch.cat([parameter.detach().flatten() for parameter in captioner.parameters()])
    assert torch.equal(now, weights(kept_checkpoint(tmp_path)))  # no adapters in it, and none beside it


def test_adapters_stopped_and_taken_up_again_are_as_if_never_stopped(data, captioner, encoder, tmp_path):
    def run(name, ctx, resume=False):
        asked = config(overrides=SHORT | {"lm.train": "lora", "lm.rank": 2}, resume=resume)
        return train_stages(data, copy.deepcopy(captioner), encoder, asked, tmp_path / name, ctx)

    whole = Recorder()
    report = run("whole", whole)
    with pytest.raises(Cancelled):
        run("parts", Recorder(stop_at=int(0.8 * whole.asked)))
    again = run("parts", QuietContext(), resume=True)
    for stage in ("stage1", "stage2"):
        assert torch.equal(weights(tmp_path / "whole" / stage), weights(tmp_path / "parts" / stage))
    assert read_rows(tmp_path / "whole" / "metrics.jsonl") == read_rows(tmp_path / "parts" / "metrics.jsonl")
    assert {k: v.values for k, v in again.results.items()} == {k: v.values for k, v in report.results.items()}


@pytest.mark.parametrize("name", ["clipcap-transformer", "capdec"])
def test_the_published_presets_learn_with_a_mapper_of_their_own(data, encoder, tiny_starter, tmp_path, name):
    few = {"stage1.minimum_steps": 30, "stage1.epochs": 1, "stage1.evaluate_every": 30}
    few |= {f"stage1.{part}": min(getattr(find_preset(name).stage1, part), 8) for part in ("pairs", "texts")}
    asked = config(preset=name, overrides=few)
    fresh = new_captioner(
        encoder, load_language_model("starter"), replace(asked.preset.mapper, prefix_length=4), seed=0
    )
    report = train_stages(data, fresh, encoder, replace(asked, fresh=True), tmp_path, QuietContext())
    assert report.kept == "stage1"
    assert report.results["stage1"].values["nll"] < report.results["before"].values["nll"]
    assert read_info(tmp_path / "stage1").mapper == fresh.info.mapper


def test_sentences_alone_teach_a_wording_without_a_seed(data, captioner, encoder, tmp_path):
    none = CaptionedVectors(np.zeros(0, np.int64), np.zeros((0, 32), np.float32), ())
    texts = tuple(f"Look: {one.lower()}" for one in SENTENCES)
    alone = replace(data, seeds=none, held_seeds=none, texts=texts)
    settings = {"stage1.minimum_steps": 60, "stage1.evaluate_every": 60, "stage1.pairs": 0, "stage1.noise": 0.001}
    train_stages(alone, captioner, encoder, config(preset="capdec", overrides=settings), tmp_path, QuietContext())
    samples = read_rows(tmp_path / "samples.jsonl")[-1]["captions"].values()
    assert any(caption.startswith("Look:") for caption in samples)
    with pytest.raises(UserError, match="no caption"):
        asked = config(preset="capdec", overrides=settings)
        train_stages(replace(alone, texts=()), captioner, encoder, asked, tmp_path, QuietContext())
    with pytest.raises(UserError, match="no caption"):
        train_stages(alone, captioner, encoder, config(), tmp_path, QuietContext())


# -- memory -----------------------------------------------------------------------------------------------------------


def limit_rows(captioner, most, monkeypatch):
    """The language model's memory lasts for so many rows with a gradient; what it was asked for."""
    plain, asked = captioner.run, []

    def run(inputs, cache=None):
        asked.append(inputs.shape[0])
        if inputs.shape[0] > most and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(inputs, cache)

    monkeypatch.setattr(captioner, "run", run)
    return asked


def test_both_stages_go_on_in_smaller_portions(data, captioner, encoder, tmp_path, monkeypatch):
    plain, limited = copy.deepcopy(captioner), captioner
    one_step = {
        "stage1.steps": 1,
        "stage1.folds": 0,
        "stage2.steps": 1,
        "stage2.photos": 3,
        "stage2.seed_rows": 9,
        "precision": "fp32",
    }
    free, tight = Recorder(), Recorder()
    train_stages(data, plain, encoder, config(overrides=one_step), tmp_path / "free", free)
    asked = limit_rows(limited, 3, monkeypatch)
    train_stages(data, limited, encoder, config(overrides=one_step), tmp_path / "tight", tight)
    assert max(asked) > 3
    for stage in ("stage1", "stage2"):
        one, other = (weights(tmp_path / name / stage) for name in ("free", "tight"))
        # The first step of Adam follows the gradient's sign alone: where it is all but 0, rounding decides.
        assert (one - other).abs().gt(1e-4).float().mean() < 0.01
    rows = [read_rows(tmp_path / one / "metrics.jsonl") for one in ("free", "tight")]
    for one, other in zip(*rows, strict=True):
        if "loss" in one:
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)


def test_both_stages_of_a_large_model_go_on_without_activations(data, captioner, encoder, tmp_path, monkeypatch):
    """Here the memory has no room for a single layer's activations."""
    monkeypatch.setattr("core.training.stage1.LARGE_LM", 0)
    one_step = {
        "stage1.steps": 1, "stage2.steps": 1, "stage2.photos": 3, "stage2.samples": 2, "precision": "fp32",
        "stage2.method": "leave-one-out", "stage1.folds": 0, "lm.train": "all", "stage2.sentences": 0,
    }  # fmt: skip
    train_stages(data, copy.deepcopy(captioner), encoder, config(overrides=one_step), tmp_path / "free", QuietContext())
    plain, block, kept = captioner.run, captioner.lm.transformer.h[0], []

    def run(inputs, cache=None):
        if torch.is_grad_enabled():
            if "forward" not in vars(block):
                raise torch.OutOfMemoryError("CUDA out of memory.")
            kept.append(inputs.shape[0])
        return plain(inputs, cache)

    monkeypatch.setattr(captioner, "run", run)
    train_stages(data, captioner, encoder, config(overrides=one_step), tmp_path / "tight", QuietContext())
    assert kept and max(kept) < 8
    for stage in ("stage1", "stage2"):
        one, other = (weights(tmp_path / name / stage) for name in ("free", "tight"))
        assert (one - other).abs().gt(1e-4).float().mean() < 0.01


def test_a_model_that_never_fits_is_said_in_words(data, captioner, encoder, tmp_path, monkeypatch):
    limit_rows(captioner, 0, monkeypatch)
    with pytest.raises(UserError, match="memory") as refused:
        train_stages(data, captioner, encoder, config(stages="1"), tmp_path, QuietContext())
    assert "smaller" in refused.value.next_step


def test_portions_stay_small_and_other_errors_are_not_taken_for_want_of_memory():
    tried = []

    def work(micro):
        tried.append(micro.rows)
        if micro.rows > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return micro.rows

    memory = MicroBatches(40)
    assert memory.run(work) == memory.run(work) == 5
    assert tried == [40, 20, 10, 5, 5]
    with pytest.raises(RuntimeError, match="shape"):
        memory.run(lambda rows: (_ for _ in ()).throw(RuntimeError("a shape is wrong")))


def test_a_large_model_does_without_activations_before_portions_get_tiny():
    memory, tried = MicroBatches(16, can_checkpoint=True), []

    def work(micro):
        tried.append((micro.rows, micro.checkpointing))
        if micro.rows > 2:
            raise MemoryError

    memory.run(work)
    assert tried == [(16, False), (8, False), (4, False), (4, True), (2, True)]
    tried.clear()
    MicroBatches(40, can_checkpoint=True).run(work)
    assert tried == [(40, False), (20, False), (10, False), (5, False), (5, True), (2, True)]


def test_layers_computed_twice_give_the_same_gradient(captioner, encoder):
    ids = pad(captioner.encode(SENTENCES[:3]))
    vectors = torch.nn.functional.normalize(torch.randn(3, 32), dim=-1)
    runs = []
    hook = captioner.lm.transformer.h[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))

    def gradients(wanted):
        captioner.zero_grad()
        with checkpointed(captioner.lm, wanted):
            captioner.loss(vectors, ids).backward()
        return [parameter.grad.clone() for parameter in captioner.parameters() if parameter.grad is not None]

    plain, again = gradients(False), gradients(True)
    assert len(runs) == 1 + 2
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(plain, again, strict=True))
    gradients(False)
    assert len(runs) == 4  # and no longer than asked for
    hook.remove()
