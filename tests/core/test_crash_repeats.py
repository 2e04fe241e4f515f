"""What the crash benchmark makes of jobs that do things twice, and of trainings that cannot go on."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing, contextmanager

import pytest

from core.batch import library_runner
from core.batch.runner import Tally
from core.bench import crash, crash_work
from core.bench.crash_check import Expected, check
from core.bench.crash_child_process import Turn
from core.bench.crash_work import Place
from core.jobs import QuietContext
from core.library import ledger

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the benchmark is a POSIX thing")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("crash") / "work")
    place.root.mkdir()
    crash_work.prepare(place)
    return place


@pytest.fixture
def place(prepared, tmp_path):
    return Place(shutil.copytree(prepared.root, tmp_path / "work"))


def caption(place, number):
    """What a whole turn of captioning says."""
    said = []
    crash_work.work("caption", place, number, lambda **values: said.append(values))
    return said


def kinds(found):
    return {one.kind for one in found}


def test_jobs_that_do_each_photo_once_are_not_found_fault_with(place):
    expected = Expected()
    assert check(place, expected, caption(place, 1)) == []
    assert len(expected.said) == crash_work.PHOTOS_AT_FIRST
    assert check(place, expected, caption(place, 2)) == []  # another job captions every photo again


class _Killed(BaseException):
    pass


def test_a_caption_that_is_written_apart_from_its_done_mark_is_found(place, monkeypatch):
    """A kill between the two, and the photo is captioned again when the job goes on."""
    whole, calls = library_runner.add_candidates, []

    def apart(library, run_id, texts, existing, *, job_id, likelihoods):
        calls.append(job_id)
        written = whole(library, run_id, texts, existing, likelihoods=likelihoods)
        if len(calls) == 5:
            raise _Killed
        ledger.finish_items(library, job_id, dict.fromkeys(texts))
        return written

    expected = Expected()
    with monkeypatch.context() as broken, pytest.raises(_Killed):
        broken.setattr(library_runner, "add_candidates", apart)
        caption(place, 1)
    check(place, expected, [])
    found = check(place, expected, caption(place, 2))
    assert kinds(found) == {"repeated"} and "2 captions of job 1" in found[0].sentence


def test_a_photo_that_is_given_again_when_it_is_done_is_found(place, monkeypatch):
    whole = ledger.next_items
    again = [[3]]
    monkeypatch.setattr(ledger, "next_items", lambda *given: whole(*given) or (again.pop() if again else []))
    said = caption(place, 1)
    assert {"did": "ask", "again": [3], "job": 1} in said
    sentences = " ".join(one.sentence for one in check(place, Expected(), said))
    assert "asked again for photos [3]" in sentences and "photo 3 has 2 captions" in sentences
    assert "said twice" in sentences


def test_a_model_that_is_asked_twice_is_found_even_if_one_answer_is_thrown_away(place, monkeypatch):
    whole = crash_work.ToyEngine.caption

    def twice(self, *arguments):
        whole(self, *arguments)
        return whole(self, *arguments)

    monkeypatch.setattr(crash_work.ToyEngine, "caption", twice)
    found = check(place, Expected(), caption(place, 1))
    assert len(found) == crash_work.PHOTOS_AT_FIRST and kinds(found) == {"repeated"}


def test_a_photo_that_is_acknowledged_twice_is_found(place, monkeypatch):
    whole = Tally.add

    def twice(self, finished):
        finished = list(finished)
        whole(self, finished)
        whole(self, finished)

    monkeypatch.setattr(Tally, "add", twice)
    found = check(place, Expected(), caption(place, 1))
    # The very same caption told twice, or another: both are a photo done twice.
    assert len(found) == crash_work.PHOTOS_AT_FIRST and kinds(found) == {"repeated"}


def test_one_caption_too_many_does_not_make_up_for_one_that_is_lost(place):
    expected = Expected()
    check(place, expected, caption(place, 1))
    check(place, expected, caption(place, 2))
    expected.said.clear()  # as if neither had been acknowledged
    with closing(sqlite3.connect(place.library / "library.db")) as connection, connection:
        connection.execute("UPDATE caption SET text = 'Said 2 again' WHERE image_id = 3 AND text LIKE 'Said 1 %'")
    assert kinds(check(place, expected, [])) == {"lost", "repeated"}
    assert check(place, expected, []) == []  # said once


# -- trainings --------------------------------------------------------------------------------------------------------


def words(*did):
    return [{"did": "stage", "stage": one} if isinstance(one, int) else {"did": "anew", "why": one} for one in did]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([], ["There is no stopped training to go on with.", 1, 2], None),
        ([], ["It was stopped before it had learned anything.", 1, 2], None),
        ([], ["The file is damaged.", 1, 2], "damaged"),
        ([1], [1, 2], None),
        ([1, 2], [2], None),
        ([1], ["It was stopped before it had learned anything.", 1, 2], "damaged"),
        ([1, 2], [1, 2], "lost"),
    ],
)
def test_a_training_that_had_begun_must_go_on_where_it_was(before, after, kind):
    expected = Expected()
    expected.take_in(words(*before))
    assert not expected.found
    expected.take_in(words(*after))
    assert [one.kind for one in expected.found] == ([kind] if kind else [])


class _Maker:
    """In the place of processes: turns that are told beforehand; afterwards all end well."""

    def __init__(self, *turns):
        self.turns, self.orders = list(turns), []

    def close(self):
        pass

    def turn(self, order, **_):
        self.orders.append(order["work"])
        return self.turns.pop(0) if self.turns else Turn((), True, 10)


TRACEBACK = """Traceback (most recent call last):
  File "core/captioner/checkpoint.py", line 82, in load_captioner
    raise UserError("no model")
core.errors.UserError: There is no model.
"""


@contextmanager
def bench(monkeypatch, place, *turns, kills):
    maker = _Maker(*turns)
    monkeypatch.setattr(crash, "ChildMaker", lambda *_, **__: maker)
    monkeypatch.setattr(crash, "WORKS", ("train",))
    tally = crash._Tally()
    yield crash._Bench(QuietContext(), crash.CrashRequest(kills, train=False), place, place.root, tally), maker, tally


WELL, KILLED, FAILED = Turn((), False, 10), Turn((), True, 0), Turn((), False, 0, TRACEBACK)


def test_a_training_that_fails_after_a_kill_is_a_finding_and_the_benchmark_goes_on(place, monkeypatch):
    with bench(monkeypatch, place, WELL, WELL, KILLED, FAILED, kills=4) as (it, maker, tally):
        it.kill_all()
    assert [one.kind for one in tally.found] == ["damaged"]
    assert "There is no model" in tally.found[0].sentence and "checkpoint.py" in tally.found[0].sentence
    assert tally.kills == 4 and maker.orders[3:5] == ["train", "train anew"]
    assert maker.orders.count("train anew") == 1


def test_a_benchmark_of_which_every_turn_fails_ends(place, monkeypatch):
    with bench(monkeypatch, place, WELL, WELL, KILLED, *[FAILED] * 9, kills=4) as (it, _, tally):
        it.kill_all()
    assert tally.kills == 1 and len(tally.found) == 3


def test_a_benchmark_that_fails_before_it_has_killed_anything_is_at_fault_itself(place, monkeypatch):
    with bench(monkeypatch, place, FAILED, kills=4) as (it, _, _), pytest.raises(RuntimeError, match="no model"):
        it.kill_all()
