"""Blind rounds: sides at random, answers kept as they are given, counted with their interval."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core import cli
from core.batch import blind, library_runner
from core.batch.blind import BlindRequest, blind_job
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library import blind_rounds as rounds
from core.library.blind_rounds import SaidByBoth, answer, begin_round, end_round, open_round, results
from core.library.edits import add_seed
from core.library.library import Library
from core.library.runs import create_run, runs, set_current_run, update_run
from core.library.scan import scan
from core.metrics.proportion import wilson
from core.training.comparable import models_to_compare
from core.training.runfolder import REPORT, read_report
from tests.core.photos import library_with
from tests.core.test_batch import write_photos


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 4) as made:
        yield made


def said(number: int, alike: int = 0) -> list[SaidByBoth]:
    """Of photos 1 to 4, over and over: what differs first."""
    different = [SaidByBoth(at % 4 + 1, f"old {at}", f"new {at}") for at in range(number)]
    return different + [SaidByBoth(1, "alike", "alike")] * alike


def asking(library) -> rounds.OpenRound:
    going_on = open_round(library)
    assert going_on is not None
    return going_on


def side_of(pair, model: str) -> rounds.Side:
    return "left" if pair.left.startswith(model) else "right"


def test_wilsons_interval():
    low, high = wilson(14, 20)
    assert (round(low, 3), round(high, 3)) == (0.481, 0.855)  # by hand, from the formula of the paper
    assert wilson(0, 10)[0] == 0.0 and round(wilson(0, 10)[1], 4) == 0.2775
    assert wilson(10, 10) == (pytest.approx(1 - wilson(0, 10)[1]), 1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_it_holds_the_truth_in_95_of_100_rounds():
    counts = np.random.default_rng(0).binomial(20, 0.6, 2000)
    held = [low <= 0.6 <= high for low, high in (wilson(int(one), 20) for one in counts)]
    assert 0.93 < np.mean(held) < 0.98


def test_sides_are_random_and_whose_they_are_is_not_told(library):
    begin_round(library, "starter", "run", said(400), seed=3)
    going_on = asking(library)
    new_left = sum(pair.left.startswith("new") for pair in going_on.pairs)
    assert 160 < new_left < 240
    assert all({pair.left.split()[1], pair.right.split()[1]} == {str(at)} for at, pair in enumerate(going_on.pairs))
    assert "'run'" not in repr(going_on) and results(library) == []


def test_answers_stay_and_the_round_goes_on_where_it_stopped(library):
    made = begin_round(library, "starter", "run", said(5, alike=2), seed=1)
    with Library.open(library.path) as again:
        for pair in asking(again).pairs[:3]:
            answer(again, made, pair.place, "right")
        answer(again, made, 1, None)  # taken back
    going_on = asking(library)
    assert [pair.answer for pair in going_on.pairs] == ["right", None, "right", None, None]
    assert going_on.next_place == 1 and len(going_on.pairs) == 5


def test_the_last_answer_ends_it_and_the_counts_say_who_won(library):
    made = begin_round(library, "starter", "run", said(9, alike=2), seed=2)
    for pair in asking(library).pairs:
        choice = "same" if pair.place == 8 else side_of(pair, "old" if pair.place == 0 else "new")
        answer(library, made, pair.place, choice)
    assert open_round(library) is None
    (result,) = results(library)
    assert (result.new, result.old, result.same, result.equal, result.unanswered) == (7, 1, 1, 2, 0)
    assert (result.old_model, result.new_model) == ("starter", "run") and result.ended_at is not None
    assert result.verdict == "new" and result.interval == wilson(7, 8)
    counted = "The new model was preferred 7 of 8 times (between 53% and 98%)"
    assert result.sentence == f"{counted}: the new one is clearly better."
    with pytest.raises(UserError, match="has ended"):
        answer(library, made, 0, "left")


@pytest.mark.parametrize(
    ("new", "old", "verdict"), [(0, 0, "nothing"), (3, 0, "unclear"), (6, 4, "unclear"), (0, 6, "old"), (6, 0, "new")]
)
def test_verdicts(library, new, old, verdict):
    made = begin_round(library, "starter", "run", said(new + old + 1))
    for pair in asking(library).pairs[: new + old]:
        answer(library, made, pair.place, side_of(pair, "new" if pair.place < new else "old"))
    assert results(library) == [] and len(results(library, ended=False)) == 1
    end_round(library, made)
    (result,) = results(library)
    assert result.verdict == verdict and result.unanswered == 1 and result.decided == new + old


def test_a_new_round_ends_the_one_before_and_nothing_to_choose_ends_at_once(library):
    first = begin_round(library, "starter", "run", said(2))
    second = begin_round(library, "starter", "run", said(0, alike=3))
    assert open_round(library) is None
    assert [(one.id, one.equal, one.unanswered) for one in results(library)] == [(second, 3, 0), (first, 0, 2)]


def test_answers_outlive_the_photo(library):
    made = begin_round(library, "starter", "run", said(2))
    answer(library, made, 0, "left")
    with library.writing() as session:
        session.connection().exec_driver_sql("DELETE FROM image WHERE id = 1")
    assert [(pair.image_id, pair.answer) for pair in asking(library).pairs] == [(None, "left"), (2, None)]


def test_the_command_tells_the_counts(library, tmp_path, capsys):
    assert cli.main(["blind", str(library.path)]) == 0
    assert "No blind round" in capsys.readouterr().out
    end_round(library, begin_round(library, "starter", "run", said(1)))
    library.close()
    assert cli.main(["blind", str(library.path), "--json", str(tmp_path / "b.json")]) == 0
    assert "No caption was preferred" in capsys.readouterr().out
    (told,) = json.loads((tmp_path / "b.json").read_text())["rounds"]
    assert (told["new_model"], told["verdict"], told["unanswered"], told["low"]) == ("run", "nothing", 1, 0.0)


# --- the job ---


@pytest.fixture
def trained(tmp_path):
    """Twelve photos, one captioned by a person; two finished runs that kept something and one that did not."""
    write_photos(tmp_path / "photos", 12)
    with Library.create(tmp_path / "mine") as library:
        scan(library, tmp_path / "photos", QuietContext())
        add_seed(library, 1, "mine")
        for kept in ("stage1", "stage2", "before"):
            run = create_run(library, "recommended", {})
            update_run(library, run.id, status="done")
            (run.folder / REPORT).write_text(json.dumps({"kept": kept, "start": "starter"}))
        yield library


def kept_runs(library) -> list[str]:
    """The older and the newer run that kept something of their own."""
    return [run.id for run in reversed(runs(library)) if read_report(run.folder)["kept"] != "before"]


def test_which_models_are_compared(trained, tmp_path):
    older, newer = kept_runs(trained)
    assert models_to_compare(trained) == ("starter", newer), "the starter is in use"
    set_current_run(trained, newer)
    assert models_to_compare(trained) == (older, newer)
    set_current_run(trained, older)
    assert models_to_compare(trained) == ("starter", older)
    with Library.create(tmp_path / "untrained") as untrained:
        assert models_to_compare(untrained) is None
        with pytest.raises(UserError, match="only one model"):
            blind_job(QuietContext(), BlindRequest(untrained.path))


@pytest.fixture
def saying(trained, monkeypatch):
    """What the models say is made up: captions by photo; an engine is the id of its run."""
    older, newer = kept_runs(trained)
    set_current_run(trained, newer)
    asked: list[tuple[str, tuple[int, ...]]] = []
    texts: dict[str, dict[int, str]] = {older: {}, newer: {}}

    def said_by(ctx, library, engine, ids):
        asked.append((engine, tuple(ids)))
        return {one: texts[engine].get(one, f"{engine} {one}") for one in ids if texts[engine].get(one) != ""}

    monkeypatch.setattr(blind, "_engine", lambda ctx, library, run: run.id)
    monkeypatch.setattr(blind, "_said_by", said_by)
    return trained, older, newer, texts, asked


def test_photos_are_drawn_until_enough_captions_differ(saying, monkeypatch):
    library, older, newer, texts, asked = saying
    monkeypatch.setattr(blind, "_GROUP", 3)
    for one in range(2, 13, 2):  # half of them are said alike
        texts[older][one] = texts[newer][one] = "alike"
    texts[older][3] = ""  # one of the models cannot say anything
    report = blind_job(QuietContext(), BlindRequest(library.path, pairs=4, seed=5))
    pairs = asking(library).pairs
    assert report.pairs == len(pairs) == 4
    for pair in pairs:
        assert pair.image_id in (5, 7, 9, 11)
        assert {pair.left, pair.right} == {f"{older} {pair.image_id}", f"{newer} {pair.image_id}"}
    (counted,) = results(library, ended=False)
    assert (counted.old_model, counted.new_model, counted.equal) == (older, newer, report.equal)
    looked_at = [one for name, ids in asked if name == older for one in ids]
    assert len(set(looked_at)) == len(looked_at) and 1 not in looked_at, "each once, none a person has captioned"


def test_where_there_is_little_to_choose_fewer_pairs_will_do(saying):
    library, older, newer, texts, _ = saying
    texts[older] = texts[newer] = {one: "alike" for one in range(1, 13) if one != 7}
    assert blind_job(QuietContext(), BlindRequest(library.path, pairs=4)).pairs == 1
    assert (asking(library).pairs[0].image_id, len(asking(library).pairs)) == (7, 1)


def test_cancelled_before_it_is_made_nothing_begins(saying):
    class Stop(QuietContext):
        def check_cancelled(self):
            raise Cancelled

    library = saying[0]
    with pytest.raises(Cancelled):
        blind_job(Stop(), BlindRequest(library.path, pairs=2))
    assert open_round(library) is None and results(library, ended=False) == []


def test_both_models_are_asked_through_their_bundles(trained, tiny_bundle, monkeypatch):
    set_current_run(trained, kept_runs(trained)[1])
    exported: list[str] = []

    def export(ctx, source, folder, distinctive=None, more=()):
        exported.append(folder.name)
        return tiny_bundle

    monkeypatch.setattr(library_runner.bundles, "exported", export)
    report = blind_job(QuietContext(), BlindRequest(trained.path, pairs=2))
    assert exported == kept_runs(trained)
    assert (report.pairs, report.failed) == (0, 0) and 10 <= report.equal <= 11, "one bundle says one thing"
    with pytest.raises(UserError, match="0 captions"):
        blind_job(QuietContext(), BlindRequest(trained.path, pairs=0))
