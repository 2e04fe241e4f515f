"""The bridge with toy jobs: reports, every way to end, and what is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QThread

from core.cli_flags import FLAGS
from core.errors import UserError
from gui import bridge
from gui.bridge import JobRunner
from gui.lane import Lane
from gui.next_steps import IN_WINDOW
from gui.worker import Failure, Progress
from tests.gui import toy_jobs

WAIT = 30_000


@pytest.fixture(params=["process", "thread"])
def runner(request, qtbot, seedcap_home):
    made = JobRunner(in_process=request.param == "thread")
    yield made
    if made.current:
        made.current.cancel()
        qtbot.waitUntil(lambda: made.current is None, timeout=WAIT)
    release(qtbot, made)


def release(qtbot, runner) -> None:
    runner.release()
    qtbot.waitUntil(lambda: not runner.ending, timeout=WAIT)


@pytest.fixture
def process_runner(qtbot, seedcap_home):
    made = JobRunner()
    yield made
    if made.current:
        made.current.cancel()
        qtbot.waitUntil(lambda: made.current is None, timeout=WAIT)


class Record:
    """Everything a job said, in order."""

    def __init__(self, job) -> None:
        self.progress: list[Progress] = []
        self.partials: list[object] = []
        self.reports = 0
        self.endings: list[tuple[str, object]] = []
        job.progress.connect(self._on_progress)
        job.partials.connect(self._on_partials)
        job.finished.connect(lambda result: self.endings.append(("finished", result)))
        job.failed.connect(lambda failure: self.endings.append(("failed", failure)))
        job.cancelled.connect(lambda: self.endings.append(("cancelled", None)))

    def _on_progress(self, value) -> None:
        self.reports += 1
        self.progress.append(value)

    def _on_partials(self, values) -> None:
        self.partials.extend(values)


def run(qtbot, runner, job, request=None) -> Record:
    handle = runner.start(job, request, title="Toy")
    record = Record(handle)
    qtbot.waitUntil(lambda: bool(record.endings) and runner.current is None, timeout=WAIT)
    return record


def test_a_job_reports_and_finishes(qtbot, runner):
    record = run(qtbot, runner, toy_jobs.count, 2_000)
    assert record.endings == [("finished", 2_000)]
    assert [step.number for step in record.partials] == list(range(2_000)), "no partial result may be lost"
    assert record.progress[-1] == Progress(2_000, 2_000, "counting")
    assert record.reports < 200, "reports must be coalesced"


def test_an_endless_job_answers_cancel(qtbot, runner):
    handle = runner.start(toy_jobs.endless, None, title="Toy")
    record = Record(handle)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=WAIT)
    handle.cancel()
    assert handle.cancelling
    qtbot.waitUntil(lambda: bool(record.endings), timeout=WAIT)
    assert record.endings == [("cancelled", None)]
    assert runner.current is None


def test_cancel_before_the_worker_is_up(qtbot, process_runner):
    handle = process_runner.start(toy_jobs.endless, None, title="Toy")
    record = Record(handle)
    handle.cancel()
    qtbot.waitUntil(lambda: bool(record.endings), timeout=WAIT)
    assert record.endings == [("cancelled", None)]


def test_a_deaf_job_is_ended_after_the_grace(qtbot, process_runner, monkeypatch):
    monkeypatch.setattr(bridge, "CANCEL_GRACE_S", 0.3)
    handle = process_runner.start(toy_jobs.deaf, None, title="Toy")
    record = Record(handle)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=WAIT)
    handle.cancel()
    qtbot.waitUntil(lambda: bool(record.endings), timeout=WAIT)
    assert record.endings == [("cancelled", None)]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_what_a_job_has_started_ends_with_it(qtbot, process_runner, monkeypatch):
    monkeypatch.setattr(bridge, "CANCEL_GRACE_S", 0.2)
    handle = process_runner.start(toy_jobs.with_a_child, None, title="Toy")
    record = Record(handle)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=WAIT)
    child = record.progress[0].done
    os.kill(child, 0)
    handle.cancel()
    qtbot.waitUntil(lambda: bool(record.endings), timeout=WAIT)

    def gone() -> bool:
        try:
            return (Path("/proc") / str(child) / "stat").read_text().split()[2] == "Z"
        except OSError:
            return True

    qtbot.waitUntil(gone, timeout=WAIT)


def test_a_user_error_arrives_in_words(qtbot, runner):
    record = run(qtbot, runner, toy_jobs.refuse, "/photos")
    assert record.endings == [("failed", Failure("There are no photos in /photos.", "Choose another folder."))]


def test_a_bug_arrives_with_its_traceback(qtbot, runner):
    (name, failure), *rest = run(qtbot, runner, toy_jobs.break_down).endings
    assert name == "failed" and not rest
    assert "KeyError" in failure.message
    assert "break_down" in failure.details


def test_where_a_card_is_full_the_window_names_its_own_action(qtbot, runner):
    (_, failure), *_ = run(qtbot, runner, toy_jobs.card_full).endings
    assert failure.next_step.endswith(f"the processor. {IN_WINDOW['no room']}") and not failure.details
    assert IN_WINDOW.keys() <= FLAGS.keys()


def test_a_full_disk_is_said_in_words(qtbot, runner):
    (_, failure), *_ = run(qtbot, runner, toy_jobs.disk_full).endings
    assert failure.message == "The disk is full." and failure.next_step and not failure.details


def test_a_result_that_cannot_be_sent_is_a_failure(qtbot, process_runner):
    (name, failure), *_ = run(qtbot, process_runner, toy_jobs.unpicklable).endings
    assert name == "failed" and "handed over" in failure.message


def test_a_request_that_cannot_be_sent_is_a_failure(qtbot, process_runner):
    (name, failure), *_ = run(qtbot, process_runner, toy_jobs.count, lambda: None).endings
    assert name == "failed" and "could not be started" in failure.message


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
@pytest.mark.parametrize(("number", "words"), [(signal.SIGKILL, "memory ran out"), (signal.SIGSEGV, "unexpectedly")])
def test_a_crash_of_the_worker_takes_the_job_not_the_app(qtbot, process_runner, number, words):
    (name, failure), *rest = run(qtbot, process_runner, toy_jobs.die, int(number)).endings
    assert name == "failed" and not rest
    assert words in failure.message
    assert "last words" in failure.details
    assert run(qtbot, process_runner, toy_jobs.count, 3).endings == [("finished", 3)], "the next job must run"


def test_the_worker_is_polite_and_free_of_qt(qtbot, process_runner):
    ((_, (pid, niceness, has_qt)),) = run(qtbot, process_runner, toy_jobs.process_id).endings
    assert pid != os.getpid()
    assert niceness >= 5 or niceness > os.nice(0)
    assert not has_qt


def test_one_job_at_a_time(qtbot, runner):
    handle = runner.start(toy_jobs.endless, None, title="Training")
    with pytest.raises(UserError, match="Training"):
        runner.start(toy_jobs.count, 1, title="Other")
    record = Record(handle)
    handle.cancel()
    qtbot.waitUntil(lambda: bool(record.endings), timeout=WAIT)


def test_the_next_job_can_start_from_the_end_of_the_last(qtbot, runner):
    results = []
    first = runner.start(toy_jobs.count, 1, title="First")
    first.finished.connect(lambda _: runner.start(toy_jobs.count, 2, title="Second").finished.connect(results.append))
    qtbot.waitUntil(lambda: results == [2], timeout=WAIT)
    qtbot.waitUntil(lambda: runner.current is None, timeout=WAIT)


def test_a_kept_worker_serves_again_until_released(qtbot, seedcap_home):
    runner = JobRunner(keep_worker=True)

    def pid() -> int:
        return run(qtbot, runner, toy_jobs.process_id).endings[0][1][0]

    first = pid()
    assert pid() == first
    runner.release()
    assert pid() != first, "the next job does not wait for the old worker's end"
    release(qtbot, runner)


def test_ending_a_kept_worker_blocks_nobody(qtbot, seedcap_home, monkeypatch):
    runner, go, close = JobRunner(keep_worker=True), threading.Event(), bridge.WorkerProcess.close

    def slow_close(worker, *args):
        go.wait(WAIT / 1000)
        close(worker, *args)

    monkeypatch.setattr(bridge.WorkerProcess, "close", slow_close)
    run(qtbot, runner, toy_jobs.process_id)
    runner.release()
    assert runner.ending and not go.is_set(), "it came back while the worker was still there"
    go.set()
    qtbot.waitUntil(lambda: not runner.ending, timeout=WAIT)
    assert list((seedcap_home / "log").glob("worker-*.log")) == []


def test_a_kept_worker_is_replaced_after_a_crash(qtbot, seedcap_home):
    runner = JobRunner(keep_worker=True)
    assert run(qtbot, runner, toy_jobs.die, int(signal.SIGKILL)).endings[0][0] == "failed"
    assert run(qtbot, runner, toy_jobs.count, 2).endings == [("finished", 2)]
    release(qtbot, runner)


def test_worker_logs_do_not_pile_up(qtbot, process_runner, seedcap_home):
    run(qtbot, process_runner, toy_jobs.count, 1)
    assert list((seedcap_home / "log").glob("worker-*.log")) == []


@pytest.fixture
def lane(qtbot):
    made = Lane("test")
    yield made
    made.stop()


def test_a_lane_runs_off_the_gui_thread_and_answers_in_it(qtbot, lane):
    gui, seen = threading.get_ident(), []
    lane.submit(threading.get_ident, lambda ident: seen.append((ident, threading.get_ident())))
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    assert seen[0][0] != gui and seen[0][1] == gui


def test_a_lane_keeps_order_and_drains(qtbot, lane):
    order = []
    for number in range(50):
        lane.submit(lambda number=number: (time.sleep(0.001), order.append(number)))
    assert lane.drain()
    assert order == list(range(50))


def test_a_lane_delivers_only_the_newest_of_a_key(qtbot, lane):
    gate, ran, seen = threading.Event(), [], []

    def first():
        gate.wait(10)
        return "stale"

    lane.submit(first, seen.append, key="ids")
    lane.submit(lambda: ran.append("dropped"), seen.append, key="ids")
    lane.submit(lambda: "fresh", seen.append, key="ids")
    gate.set()
    qtbot.waitUntil(lambda: seen == ["fresh"], timeout=WAIT)
    assert ran == []


def test_a_lane_survives_errors(qtbot, lane):
    failures, seen = [], []
    lane.failed.connect(failures.append)

    def refuse():
        raise UserError("No.", "Try yes.")

    def bug():
        raise ZeroDivisionError("oops")

    lane.submit(refuse, seen.append)
    lane.submit(bug, seen.append)
    lane.submit(lambda: 1, seen.append)
    qtbot.waitUntil(lambda: seen == [1], timeout=WAIT)
    assert failures[0] == Failure("No.", "Try yes.")
    assert "ZeroDivisionError" in failures[1].details


def test_no_thread_is_left(qtbot, seedcap_home):
    before = set(threading.enumerate())
    runner = JobRunner(in_process=True)
    run(qtbot, runner, toy_jobs.count, 10)
    assert {thread for thread in threading.enumerate() if thread.name == "seedcap-reports"} <= before
    assert runner.findChildren(QThread) == []
