"""Opening and closing: what the last choice is, what the end waits for, and that nothing begins after it."""

from __future__ import annotations

import threading

import pytest
from PySide6.QtTest import QTest

from core.errors import UserError
from core.library import queries
from core.library.library import Library
from gui import bridge, watching
from gui.bridge import RunningJob
from gui.services import LibraryService
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, draw_photos, seed_texts, settle


def test_closing_during_a_job_cancels_waits_and_keeps(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    QTest.keyClicks(window.view("seed").editor, "typed while it trained")
    path = window.session.service.path
    job = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    assert isinstance(job, RunningJob)
    with qtbot.waitSignals([job.cancelled, window.closed], timeout=WAIT):
        window.close()
        assert window.isVisible(), "it waits for the job, without freezing"
    assert list(seed_texts(path).values()) == [("typed while it trained",)]


def test_closing_ends_a_worker_process(qtbot, open_window, photos):
    window = open_window(photos, in_process=False)
    job = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    qtbot.waitSignal(job.progress, timeout=WAIT).wait()
    with qtbot.waitSignals([job.cancelled, window.closed], timeout=WAIT):
        window.close()


def test_closing_waits_for_a_kept_worker_without_freezing(qtbot, open_window, photos, monkeypatch):
    closers, close_worker = [], bridge.WorkerProcess.close

    def close(worker, *args):
        closers.append(threading.current_thread())
        close_worker(worker, *args)

    monkeypatch.setattr(bridge.WorkerProcess, "close", close)
    monkeypatch.setattr(watching, "LOOK_EVERY_MS", 10**7)  # a second look at the new photos would have a worker, too
    window = open_window(photos, in_process=False)
    words, closers[:] = window.session.words, []
    job = window.session.start(words, toy_jobs.count, 1, title="Searching", kind="search")
    qtbot.waitSignal(job.ended, timeout=WAIT).wait()
    assert closers == []
    with qtbot.waitSignal(window.closed, timeout=WAIT):
        window.close()
        assert window.isVisible()
    assert len(closers) == 1 and closers[0] is not threading.main_thread()
    assert not words.ending


def test_nothing_begins_while_the_window_waits_to_close(qtbot, open_window, photos):
    window = open_window(photos)
    session, library = window.session, window.view("library")
    started, told = [], []
    job = session.start(session.light, toy_jobs.endless, None, title="Reading photos", kind="scan")
    session.job_started.connect(lambda new: started.append(new.title))
    session.failed.connect(told.append)
    library.scan()  # waits for the one that runs
    job.ended.connect(lambda: session.start(session.heavy, toy_jobs.count, 1, title="Chained"))
    library.look_again([photos])  # and so does the news of a change
    with qtbot.waitSignal(window.closed, timeout=WAIT):
        window.close()
        draw_photos(photos / "new", 1)
        assert window.isVisible()
    assert started == [] and told == []


@pytest.mark.parametrize("inside", ["", "new"])
def test_a_folder_of_the_open_library_can_be_opened_again(qtbot, open_window, photos, inside):
    window = open_window(photos)
    service = window.session.service
    draw_photos(photos / "new", 2)
    window.open_folder(photos / inside)
    settle(qtbot, window)
    assert window.session.service is service and window.messages.kind == "info", window.messages.message
    assert window.session.overview.counts.photos == 10


@pytest.mark.parametrize("chosen", ["twice", "and another", "and another, and again"])
def test_choices_made_while_a_library_is_being_opened(qtbot, open_window, photos, tmp_path, monkeypatch, chosen):
    """The last one counts; the others are given back."""
    really, go, opening = LibraryService.open, threading.Event(), threading.Event()

    def open_slowly(folder):
        opening.set()
        go.wait(WAIT / 1000)
        return really(folder)

    monkeypatch.setattr(LibraryService, "open", open_slowly)
    window, other = open_window(), draw_photos(tmp_path / "other", 3)
    window.open_folder(photos)
    qtbot.waitUntil(opening.is_set, timeout=WAIT)
    for folder in {"twice": [photos], "and another": [other], "and another, and again": [other, photos]}[chosen]:
        window.open_folder(folder)
    go.set()
    qtbot.waitUntil(lambda: window.session.opening is None, timeout=WAIT)
    settle(qtbot, window)
    assert window.messages.kind == "info", window.messages.message
    last, first = (other, photos) if chosen == "and another" else (photos, other)
    assert window.session.overview.name == last.name
    assert window.session.overview.counts.photos == len(list(last.glob("*.png")))
    with Library.for_photos(first, exclusive=True) as library:
        assert queries.counts(library).photos == 0, "given back, and not looked through"


def test_going_back_to_the_open_library_while_another_is_being_opened(
    qtbot, open_window, photos, tmp_path, monkeypatch
):
    window, other = open_window(photos), draw_photos(tmp_path / "other", 3)
    service, really, go, opening = window.session.service, LibraryService.open, threading.Event(), threading.Event()

    def open_slowly(folder):
        opening.set()
        go.wait(WAIT / 1000)
        return really(folder)

    monkeypatch.setattr(LibraryService, "open", open_slowly)
    window.open_folder(other)
    qtbot.waitUntil(opening.is_set, timeout=WAIT)
    window.open_folder(photos)
    go.set()
    qtbot.waitUntil(lambda: window.session.opening is None, timeout=WAIT)
    settle(qtbot, window)
    assert window.session.service is service and window.messages.kind == "info", window.messages.message
    with Library.for_photos(other, exclusive=True) as library:
        assert queries.counts(library).photos == 0, "given back, and not looked through"


def test_another_library_opens_though_the_open_one_cannot_be_read_any_more(
    qtbot, open_window, photos, tmp_path, monkeypatch
):
    window, other = open_window(photos), draw_photos(tmp_path / "other", 3)

    old, really = window.session.service.path, queries.folders

    def damaged(library):
        if library.path == old:
            raise UserError("The database is damaged.")
        return really(library)

    monkeypatch.setattr(queries, "folders", damaged)
    window.open_folder(other)
    qtbot.waitUntil(lambda: window.session.service.path != old, timeout=WAIT)
    settle(qtbot, window)
    assert window.session.overview.name == "other" and window.session.overview.counts.photos == 3


def test_what_is_no_library_is_said_although_it_lies_among_the_open_photos(qtbot, open_window, photos):
    window = open_window(photos)
    (photos / "old.seedcap").mkdir()
    (photos / "old.seedcap" / "library.db").write_bytes(b"no database at all" * 100)
    window.open_folder(photos / "old.seedcap")
    qtbot.waitUntil(lambda: window.session.opening is None, timeout=WAIT)
    settle(qtbot, window)
    assert "old is damaged" in window.messages.message
    assert window.session.overview.counts.photos == 8


def test_closing_while_a_library_is_being_opened_leaves_it_closed(qtbot, open_window, photos, monkeypatch):
    slow, go = LibraryService.open, threading.Event()

    def open_slowly(folder):
        go.wait(WAIT / 1000)
        return slow(folder)

    monkeypatch.setattr(LibraryService, "open", open_slowly)
    window = open_window()
    window.open_folder(photos)
    with qtbot.waitSignal(window.closed, timeout=WAIT):
        window.close()
        go.set()
    assert window.session.service is None
    with Library.for_photos(photos, exclusive=True) as library:
        assert queries.counts(library).photos == 0, "it was not looked through any more"


def test_one_library_one_window(qtbot, open_window, photos):
    open_window(photos)
    second = open_window()
    second.open_folder(photos)
    qtbot.waitUntil(lambda: "open in another" in second.messages.message, timeout=WAIT)
    assert second.session.service is None
