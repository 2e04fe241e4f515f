"""Both stages from end to end on tiny models: what is learned, kept, reported, stopped and taken up again."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.captioner.checkpoint import load_captioner, read_info
from core.captioner.mapper_settings import MapperSettings
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.metrics.bootstrap import Difference
from core.training import loop
from core.training import steps as stage_steps
from core.training.data import CaptionedVectors, make_training_data
from core.training.evaluate import Evaluation
from core.training.loop import TrainingConfig, train_stages
from core.training.messages import GateRow, MetricRow, Samples, StageStarted
from core.training.presets import find_preset, with_overrides
from core.training.runfolder import kept_checkpoint, read_rows
from core.training.seed_trials import FoldJudgement
from core.training.stage1 import Stage1
from core.training.verdict import Verdict, judge_against_current, judge_folds, judge_stage1, judge_stage2
from tests.tiny import SENTENCES, random_pixels

FAST = {
    "stage1.steps": 12, "stage1.minimum_steps": 4, "stage1.evaluate_every": 4, "stage1.pairs": 8, "stage1.texts": 8,
    "stage1.lr_mapper": 1e-3, "stage1.lr_lm": 1e-3, "stage1.fresh_steps": 8, "stage1.folds": 0,
    "stage2.steps": 8, "stage2.evaluate_every": 4, "stage2.photos": 6, "stage2.samples": 3, "stage2.lr": 1e-3,
    "stage2.max_tokens": 24, "stage2.seed_rows": 4,
}  # fmt: skip


class Recorder(QuietContext):
    """Keeps what a job sends; cancels when asked for the ``stop_at``-th time whether to."""

    def __init__(self, stop_at=10**9):
        self.sent, self.asked, self.stop_at = [], 0, stop_at

    def partial(self, result):
        self.sent.append(result)

    def check_cancelled(self):
        self.asked += 1
        if self.asked >= self.stop_at:
            raise Cancelled

    def of(self, kind):
        return [one for one in self.sent if isinstance(one, kind)]


@pytest.fixture
def encoder(tiny_starter):
    return load_encoder("starter")


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner")


@pytest.fixture
def data(encoder):
    """Twelve photos whose captions begin with a word of their own; 40 without captions."""
    vectors = encoder.encode_images(random_pixels(52, seed=3))
    captions = tuple((f"Look: {SENTENCES[i % 8].lower()}",) for i in range(12))
    ids = np.arange(52)
    return make_training_data(
        CaptionedVectors(ids[:9], vectors[:9], captions[:9]),
        CaptionedVectors(ids[9:12], vectors[9:12], captions[9:]),
        (ids[12:], vectors[12:], [str(i) for i in range(40)]),
    )


def config(**changes):
    preset = find_preset(changes.pop("preset", "recommended"))
    overrides = {**FAST, **changes.pop("overrides", {})}
    if preset.stage2 is None:
        overrides = {name: value for name, value in overrides.items() if not name.startswith("stage2")}
    return TrainingConfig(with_overrides(preset, overrides), **changes)


def weights(folder):
    captioner = load_captioner(folder)
    return torch.cat([parameter.detach().flatten() for parameter in captioner.parameters()])


# -- what a run does --------------------------------------------------------------------------------------------------


def test_a_run_reports_keeps_and_writes_everything(data, captioner, encoder, tmp_path):
    ctx = Recorder()
    report = train_stages(data, captioner, encoder, config(), tmp_path, ctx)
    assert [(one.stage, one.total_steps) for one in ctx.of(StageStarted)] == [(1, 12), (2, 8)]
    steps = [(row.stage, row.step) for row in ctx.of(MetricRow) if not row.values]
    assert steps[-8:] == [(2, i) for i in range(1, 9)]
    judged = [row for row in ctx.of(MetricRow) if row.values]
    assert {"clip_s", "r1", "mrr", "cider", "nll", "unique_ratio", "rep2", "length", "no_end"} <= set(judged[-1].values)
    assert {gate.name for gate in ctx.of(GateRow)} >= {"repetition", "ending", "length", "fluency", "drift", "variety"}
    shown = ctx.of(Samples)
    assert len({tuple(one for one, _ in sample.items) for sample in shown}) == 1  # the same photos throughout
    assert {"before", "stage1", "stage2"} == set(report.results)
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["kept"] == report.kept
    assert written["reason"] == report.reason
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert len([row for row in rows if row["stage"] == 2 and "mrr" not in row]) == 8
    assert all(isinstance(value, (int, float)) for row in rows for value in row.values())
    assert len(read_rows(tmp_path / "samples.jsonl")) == len(shown)
    for stage in ("stage1", "stage2"):
        load_captioner(tmp_path / stage, encoder.fingerprint)


def test_the_captioner_ends_with_the_weights_that_are_kept(data, captioner, encoder, tmp_path):
    train_stages(data, captioner, encoder, config(), tmp_path, QuietContext())
    now = torch.cat([parameter.detach().flatten() for parameter in captioner.parameters()])
    assert torch.equal(now, weights(kept_checkpoint(tmp_path)))


def test_stage_1_learns_the_wording_of_the_seeds(data, captioner, encoder, tmp_path):
    report = train_stages(
        data, captioner, encoder, config(stages="1", overrides={"stage1.steps": 40}), tmp_path, QuietContext()
    )
    assert report.kept == "stage1"
    assert report.results["stage1"].values["nll"] < 0.7 * report.results["before"].values["nll"]
    samples = read_rows(tmp_path / "samples.jsonl")[-1]["captions"].values()
    assert any(caption.startswith("Look:") for caption in samples)


@pytest.mark.parametrize(("kept", "mixed"), [(True, True), (False, False)])
def test_seeds_that_taught_nothing_are_not_mixed_into_stage_2(
    data, captioner, encoder, tmp_path, monkeypatch, kept, mixed
):
    monkeypatch.setattr(loop, "judge_stage1", lambda *_: Verdict(kept, "so it is"))
    ctx = Recorder()
    train_stages(data, captioner, encoder, config(), tmp_path, ctx)
    practised = [row for row in ctx.of(MetricRow) if row.stage == 2 and not row.values]
    assert [row.loss is not None for row in practised] == [mixed] * 8


def test_captions_as_long_as_the_seeds_are_learned_to_their_end(data, captioner, encoder, tmp_path):
    long = tuple((f"Look: {' '.join(SENTENCES[i % 2 : i % 2 + 2]).lower()}",) for i in range(12))
    seeds, held = (replace(part, captions=long[: len(part)]) for part in (data.seeds, data.held_seeds))
    lengths = [len(ids) for ids in captioner.encode([one for (one,) in long], 99)]
    assert min(lengths) > 32 and max(lengths) < captioner.max_tokens
    changes = {"stage1.steps": 150, "stage1.lr_mapper": 3e-3, "stage1.lr_lm": 3e-3, "stage1.evaluate_every": 50}
    report = train_stages(
        replace(data, seeds=seeds, held_seeds=held), captioner, encoder, config(stages="1", overrides=changes),
        tmp_path, QuietContext(),
    )  # fmt: skip
    assert report.results["stage1"].values["no_end"] < 0.2
    assert report.results["stage1"].values["length"] > 16
    limits = json.loads((tmp_path / "report.json").read_text())["token_limits"]
    assert limits["cut"] == 0 and "without their ends" not in " ".join(report.notes)
    assert read_info(tmp_path / "stage1").caption_tokens == limits["delivered"] > max(lengths)


def test_captions_that_the_model_has_no_room_for_are_told(data, captioner, encoder, tmp_path):
    seeds = replace(data.seeds, captions=((" ".join(SENTENCES),), *data.seeds.captions[1:]))
    report = train_stages(replace(data, seeds=seeds), captioner, encoder, config(stages="1"), tmp_path, QuietContext())
    assert "1 of yours" in " ".join(report.notes)


def test_stage_2_raises_the_reward(data, captioner, encoder, tmp_path):
    """Sixteen photos, similarity alone, no brake: the mean reward must rise, or there is no gradient."""
    few = make_training_data(data.seeds, data.held_seeds, (data.unlabelled_ids[:16], data.unlabelled[:16], ["x"] * 16))
    ctx = Recorder()
    changes = {"stage2.method": "leave-one-out", "stage2.steps": 40, "stage2.samples": 6, "stage2.lr": 3e-3}
    changes["stage2.evaluate_every"] = 40
    train_stages(few, captioner, encoder, config(preset="two-stage", stages="2", overrides=changes), tmp_path, ctx)
    rewards = [row.reward for row in ctx.of(MetricRow) if not row.values]
    assert np.mean(rewards[-8:]) > np.mean(rewards[:8]) + 0.05


def test_the_kl_begins_at_zero_and_the_seeds_are_kept_in_mind(data, captioner, encoder, tmp_path):
    ctx = Recorder()
    train_stages(data, captioner, encoder, config(stages="2"), tmp_path, ctx)
    rows = [row for row in ctx.of(MetricRow) if not row.values]
    assert rows[0].kl == pytest.approx(0, abs=1e-4)
    assert rows[-1].kl > rows[0].kl
    assert all(row.loss is not None and row.loss > 0 for row in rows)


def test_a_strong_brake_holds_the_model_back(data, captioner, encoder, tmp_path):
    def last_kl(folder, beta):
        fresh, ctx, settings = load_captioner_again(captioner), Recorder(), config(stages="2")
        fixed = replace(settings.preset.stage2, beta=beta, beta_range=(beta, beta))
        settings = replace(settings, preset=replace(settings.preset, stage2=fixed))
        train_stages(data, fresh, encoder, settings, tmp_path / folder, ctx)
        return [row.kl for row in ctx.of(MetricRow) if not row.values][-1]

    free, held = last_kl("free", 1e-6), last_kl("held", 30.0)
    assert held < 0.5 * free


def load_captioner_again(captioner):
    import copy

    return copy.deepcopy(captioner)


def test_a_new_mapper_practises_on_sentences_first(data, encoder, tiny_starter, tmp_path):
    from core.captioner.captioner import new_captioner
    from core.captioner.language_model import load_language_model

    torch.manual_seed(0)
    fresh = new_captioner(encoder, load_language_model("starter"), MapperSettings(prefix_length=3))
    ctx = Recorder()
    train_stages(data, fresh, encoder, config(stages="1", fresh=True), tmp_path, ctx)
    assert ctx.of(StageStarted)[0].total_steps == 12 + 8


def test_a_frozen_language_model_stays_as_it_is(data, captioner, encoder, tmp_path):
    before = captioner.lm.get_input_embeddings().weight.clone()
    mapper = captioner.mapper.layers[0].weight.clone()
    settings = config(stages="1", with_lm=False, overrides={"lm.train": "none"})
    train_stages(data, captioner, encoder, settings, tmp_path, QuietContext())
    assert torch.equal(captioner.lm.get_input_embeddings().weight, before)
    assert not torch.equal(captioner.mapper.layers[0].weight, mapper)
    assert not (tmp_path / "stage1" / "lm").exists()


def test_one_seed_gives_one_result(data, captioner, encoder, tmp_path):
    def run(name, seed):
        train_stages(data, load_captioner_again(captioner), encoder, config(seed=seed), tmp_path / name, QuietContext())
        return weights(tmp_path / name / "stage2")

    one, again, other = run("a", 1), run("b", 1), run("c", 2)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_time_limit_ends_the_stages_in_words(data, captioner, encoder, tmp_path):
    report = train_stages(data, captioner, encoder, config(limit_minutes=1e-6), tmp_path, QuietContext())
    assert report.results["stage1"].steps == 1
    assert report.results["stage2"].steps == 1
    ended = [note for note in report.notes if "ended early" in note]
    assert len(ended) == 2 and all("time" in note for note in ended)


def test_a_reason_to_stop_at_the_last_step_ends_nothing_early(data, captioner, encoder, tmp_path, monkeypatch):
    def consider(stage, _evaluation, progress) -> float:
        progress.stopped = "a reason" if progress.step >= stage.steps else ""
        return float(progress.step)

    monkeypatch.setattr(Stage1, "consider", consider)
    report = train_stages(data, captioner, encoder, config(stages="1"), tmp_path, QuietContext())
    assert report.results["stage1"].steps > 1
    assert not [note for note in report.notes if "ended early" in note]


def test_stages_that_a_time_limit_shortens_say_so(data, captioner, encoder, tmp_path, monkeypatch):
    asked = config(limit_minutes=60)
    monkeypatch.setattr(stage_steps, "_PACED_STEPS", 2)
    monkeypatch.setattr(stage_steps, "fit_in_time", lambda stage, *_: stage.shorten(3))
    report = train_stages(data, captioner, encoder, asked, tmp_path, QuietContext())
    assert [report.results[stage].steps for stage in ("stage1", "stage2")] == [3, 3]
    assert "Stage 2 ended early: 3 of 8 steps fitted in the time given." in report.notes


def test_nothing_held_out_is_said(captioner, encoder, data, tmp_path):
    none = CaptionedVectors(np.zeros(0, np.int64), np.zeros((0, 32), np.float32), ())
    alone = make_training_data(data.seeds, none, (np.zeros(0, np.int64), np.zeros((0, 32), np.float32), []))
    report = train_stages(alone, captioner, encoder, config(), tmp_path, QuietContext())
    assert "too few photos" in " ".join(report.notes)
    assert "nll" not in report.results["stage1"].values


@pytest.mark.parametrize(
    ("changes", "said"), [({"stages": "3"}, "stages"), ({"stages": "2", "preset": "clipcap-mlp"}, "no stage 2")]
)
def test_stages_that_are_not_there_are_refused(data, captioner, encoder, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        train_stages(data, captioner, encoder, config(**changes), tmp_path, QuietContext())


def test_a_preset_of_one_stage_runs_one(data, captioner, encoder, tmp_path):
    report = train_stages(data, captioner, encoder, config(preset="clipcap-mlp"), tmp_path, QuietContext())
    assert set(report.results) == {"before", "stage1"}


# -- stopping and going on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0.05, 0.35, 0.7, 0.95])
def test_stopped_and_taken_up_again_is_as_if_never_stopped(data, captioner, encoder, tmp_path, moment):
    whole = Recorder()
    train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "whole", whole)
    stopped = Recorder(stop_at=int(moment * whole.asked))
    with pytest.raises(Cancelled):
        train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "parts", stopped)
    again = Recorder()
    report = train_stages(
        data, load_captioner_again(captioner), encoder, config(resume=True), tmp_path / "parts", again
    )
    for stage in ("stage1", "stage2"):
        assert torch.equal(weights(tmp_path / "whole" / stage), weights(tmp_path / "parts" / stage))
    assert not list((tmp_path / "parts").glob("*state*"))
    assert read_rows(tmp_path / "whole" / "metrics.jsonl") == read_rows(tmp_path / "parts" / "metrics.jsonl")
    assert report.kept == json.loads((tmp_path / "whole" / "report.json").read_text())["kept"]


def test_stopped_while_captions_are_shown_counts_an_evaluation_once(data, captioner, encoder, tmp_path, monkeypatch):
    from core.training import evaluate

    whole = Recorder()
    train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "whole", whole)
    show, shown = evaluate.Judge.samples, []

    def stop_at_some(judge, model):
        shown.append(1)
        if len(shown) == 5:
            raise Cancelled
        return show(judge, model)

    monkeypatch.setattr(evaluate.Judge, "samples", stop_at_some)
    with pytest.raises(Cancelled):
        train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "parts", Recorder())
    train_stages(data, load_captioner_again(captioner), encoder, config(resume=True), tmp_path / "parts", Recorder())
    assert read_rows(tmp_path / "whole" / "metrics.jsonl") == read_rows(tmp_path / "parts" / "metrics.jsonl")


def test_a_stopped_run_leaves_a_usable_model(data, captioner, encoder, tmp_path):
    whole = Recorder()
    train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "whole", whole)
    with pytest.raises(Cancelled):
        train_stages(data, captioner, encoder, config(), tmp_path / "part", Recorder(stop_at=int(0.9 * whole.asked)))
    load_captioner(tmp_path / "part" / "stage2", encoder.fingerprint)
    with pytest.raises(UserError, match="finished"):
        kept_checkpoint(tmp_path / "part")


def test_it_can_be_stopped_again_and_again(data, captioner, encoder, tmp_path):
    train_stages(data, load_captioner_again(captioner), encoder, config(), tmp_path / "whole", QuietContext())
    for times in range(200):
        ctx = Recorder(stop_at=120)
        try:
            fresh = load_captioner_again(captioner)
            train_stages(data, fresh, encoder, config(resume=times > 0), tmp_path / "parts", ctx)
            break
        except Cancelled:
            continue
    assert times > 2
    assert torch.equal(weights(tmp_path / "whole" / "stage2"), weights(tmp_path / "parts" / "stage2"))


# -- the verdict ------------------------------------------------------------------------------------------------------


def evaluation(clip_s, rank, *, cider=(), nll=2.0):
    clip_s, rank, cider = (np.asarray(one, float) for one in (clip_s, rank, cider))
    values = {"clip_s": clip_s.mean(), "mrr": rank.mean(), "r1": 100 * (rank == 1).mean(), "nll": nll, "word_nll": nll}
    if len(cider):
        values["cider"] = cider.mean()
    return Evaluation(("a",) * len(clip_s), clip_s, rank, rank, cider, values)


def test_where_cosines_are_negative_a_better_fit_is_still_seen():
    before, after = evaluation(np.full(40, -0.5), np.full(40, 0.5)), evaluation(np.full(40, -0.2), np.full(40, 0.5))
    before, after = (replace(one, fit=one.fit + 0.01 * np.arange(40)) for one in (before, after))
    assert judge_stage2(before, after, (), changed=True, sharpness=1.0).better
    assert not judge_stage2(after, before, (), changed=True, sharpness=1.0).better
    assert (before.clip_s.min(), after.clip_s.max()) == (0, pytest.approx(0.19))
    assert not judge_against_current(after, before).better


BASE = np.random.default_rng(0).uniform(0.5, 1.0, 80)
GREEN = (GateRow("ending", "green", ""),)


def test_stage_2_wins_by_a_clear_gain_and_green_guards():
    verdict = judge_stage2(
        evaluation(BASE, BASE), evaluation(BASE + 0.05, BASE + 0.02), GREEN, changed=True, sharpness=1.0
    )
    assert verdict.better
    assert "80 photos" in verdict.reason


@pytest.mark.parametrize(
    ("after", "gates", "best_step"),
    [
        (evaluation(BASE + 0.05, BASE + 0.02), GREEN, 0),  # nothing beat what it began with
        (evaluation(BASE + 0.05, BASE + 0.02), (GateRow("ending", "red", "Cut."),), 50),
        (evaluation(BASE + 0.05, BASE - 0.02), GREEN, 50),  # captions find their photos less often
        (evaluation(BASE - 0.01, BASE + 0.02), GREEN, 50),
        (evaluation(BASE + np.random.default_rng(1).normal(0, 0.2, 80), BASE), GREEN, 50),  # a gain within chance
    ],
)
def test_otherwise_stage_1_stays(after, gates, best_step):
    verdict = judge_stage2(evaluation(BASE, BASE), after, gates, changed=best_step > 0, sharpness=1.0)
    assert not verdict.better
    assert verdict.reason


def test_fit_and_finding_are_judged_together_by_the_starters_scale():
    """Where the fit alone may be chance: what is found better counts with it, and more the less cosines mean."""
    noise = np.random.default_rng(1).normal(0, 0.2, 80)
    before, after = evaluation(BASE, BASE), evaluation(BASE + 0.02 + noise, BASE + 0.3)
    assert judge_stage2(before, after, GREEN, changed=True, sharpness=1.0).better
    assert not judge_stage2(before, after, GREEN, changed=True, sharpness=20.0).better
    worse = evaluation(BASE + 0.5, BASE - 1e-6)
    assert not judge_stage2(before, worse, GREEN, changed=True, sharpness=1.0).better, "it finds photos a little worse"


def test_a_model_less_like_the_seeds_is_not_kept():
    before = evaluation(BASE, BASE, cider=[80.0] * 20)
    assert not judge_stage2(
        before, evaluation(BASE + 0.05, BASE + 0.05, cider=[60.0] * 20), GREEN, changed=True, sharpness=1.0
    ).better
    assert judge_stage2(
        before, evaluation(BASE + 0.05, BASE + 0.05, cider=[80.0] * 20), GREEN, changed=True, sharpness=1.0
    ).better


def test_a_handful_of_held_out_captions_vetoes_nothing():
    before = evaluation(BASE, BASE, cider=[80.0] * 10)
    assert judge_stage2(
        before, evaluation(BASE + 0.05, BASE + 0.05, cider=[15.0] * 10), GREEN, changed=True, sharpness=1.0
    ).better


def test_stage_1_is_judged_by_the_held_out_captions():
    better, worse = evaluation(BASE, BASE, nll=1.5), evaluation(BASE, BASE, nll=2.5)
    assert judge_stage1(evaluation(BASE, BASE), better, 5).better
    assert not judge_stage1(evaluation(BASE, BASE), worse, 5).better
    assert judge_stage1(evaluation(BASE, BASE), worse, 0).better  # nothing to judge by


def test_both_stages_learn_in_float16(data, captioner, encoder, tmp_path):
    found = Recorder()
    half = config(overrides={**FAST, "precision": "fp16"})
    report = train_stages(data, captioner, encoder, half, tmp_path, found)
    rows = [row for row in read_rows(tmp_path / "metrics.jsonl") if "loss" in row]
    losses = [row["loss"] for row in rows if row["stage"] == 1]
    assert min(losses) < 0.8 * losses[0] and np.isfinite([row["loss"] for row in rows]).all()
    assert np.isfinite([row["kl"] for row in rows if row["stage"] == 2]).all() and report.kept


def test_a_model_that_float16_is_too_narrow_for_learns_in_float32(data, captioner, encoder, tmp_path):
    """Its last layer makes numbers above 65,504, so that float16 has infinity for them."""
    with torch.no_grad():
        captioner.lm.transformer.h[-1].mlp.c_fc.weight.mul_(1e6)
    drawn = Recorder()
    half = config(stages="2", overrides={"precision": "fp16"})
    train_stages(data, captioner, encoder, half, tmp_path, drawn)
    rows = [row for row in read_rows(tmp_path / "metrics.jsonl") if "reward" in row]
    assert len(rows) == 8 and np.isfinite([[row["loss"], row["kl"]] for row in rows]).all()
    assert all(torch.isfinite(one).all() for one in captioner.parameters())


def test_a_stage_1_that_recites_its_seeds_is_not_kept():
    def judged(lost, cider):
        before = evaluation(BASE, BASE, cider=[50.0, 60.0], nll=3.5)
        return judge_stage1(before, evaluation(BASE - lost, BASE, cider=cider, nll=2.7), 2)

    recites = judged(0.3, [40.0, 50.0])
    assert not recites.better and "fit photos worse" in recites.reason and "CIDEr-D 55 to 45" in recites.reason
    assert judged(0.3, [70.0, 80.0]).better, "a person's own wording may cost fit"
    assert judged(0.0, [40.0, 50.0]).better, "two captions alone say little"
    folds = FoldJudgement(5, 20, 3.5, 2.7, 2, Difference(-0.8, -0.9, -0.7, 0.01))
    before, worse = (evaluation(BASE - lost, BASE, cider=[50.0 - 50 * lost]) for lost in (0.0, 0.3))
    assert judge_folds(folds, before, before).better and not judge_folds(folds, before, worse).better


@pytest.mark.parametrize(
    ("fit", "nll", "better", "word"),
    [
        (0.01, 2.0, True, "fits photos better than the model it had"),
        (0.0, 1.9, True, "more in your words than the model it had"),
        (0.0, 2.0, False, "neither"),  # a tie: the model in use stays
        (-0.01, 1.9, False, "it fits photos better"),  # clearly worse in one thing
        (0.01, 2.2, False, "more in your words"),
        (0.01, 2.01, True, "fits photos better than"),  # worse by no more than chance
    ],
)
def test_a_new_model_has_to_win_against_the_one_in_use(fit, nll, better, word):
    verdict = judge_against_current(evaluation(BASE, BASE), evaluation(BASE + fit, BASE, nll=nll))
    assert verdict.better is better and word in verdict.reason


def test_without_held_out_captions_the_fit_alone_decides():
    now, new = (replace(one, values={"clip_s": one.values["clip_s"]}) for one in
                (evaluation(BASE, BASE), evaluation(BASE + 0.01, BASE)))  # fmt: skip
    assert judge_against_current(now, new, "starter model").better
    assert "keeps the starter model" in judge_against_current(now, now, "starter model").reason


def test_models_of_other_tokens_are_compared_by_the_word(encoder, captioner, data):
    judge = loop.Judge(data, encoder, captioner, 20, QuietContext())
    values = judge(captioner).values
    rows = captioner.encode([text for texts in data.held_seeds.captions for text in texts], captioner.max_tokens)
    words = sum(len(text.split()) for texts in data.held_seeds.captions for text in texts)
    assert values["word_nll"] == pytest.approx(values["nll"] * sum(map(len, rows)) / words, rel=1e-4)


def test_config_toml_of_a_job_is_written(tmp_path):
    from core.training.runfolder import RunFolder

    RunFolder(tmp_path).write_config({"preset": find_preset("recommended"), "seed": 3})
    assert tomllib.loads((tmp_path / "config.toml").read_text())["seed"] == 3
