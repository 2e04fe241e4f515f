"""The open folder is watched: what a person drops into it appears in the window, and nobody has to ask."""

from __future__ import annotations

import re
import threading

import pytest

from core.library import queries
from core.library.library import Library
from core.library.watch import FolderWatch
from gui import watching
from tests.gui.conftest import WAIT, close, draw_photos, settle


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(watching, "LOOK_EVERY_MS", 20)


def _shown(window) -> int:
    return window.view("library").grid.photos.rowCount()


def test_a_photo_dropped_into_the_folder_appears(qtbot, open_window, photos):
    window = open_window(photos)
    assert _shown(window) == 8
    draw_photos(photos / "new", 2)
    qtbot.waitUntil(lambda: _shown(window) == 10, timeout=WAIT)
    (photos / "photo0.png").unlink()
    qtbot.waitUntil(lambda: _shown(window) == 9, timeout=WAIT)
    qtbot.waitUntil(lambda: window.session.overview.counts.missing == 1, timeout=WAIT)


def test_a_renamed_photo_keeps_its_caption_while_the_window_is_open(qtbot, open_window, photos):
    window = open_window(photos)
    image = int(window.view("library").grid.photos.ids[3])
    window.session.service.write_seed(image, None, "typed before it was renamed")
    (photos / "photo3.png").rename(photos / "another name.png")

    def renamed() -> bool:
        with Library.open(window.session.service.path) as library:
            (row,) = queries.image_rows(library, [image])
            return row.relative_path == "another name.png" and not row.missing

    qtbot.waitUntil(renamed, timeout=WAIT)
    settle(qtbot, window)
    with Library.open(window.session.service.path) as library:
        assert [seed.texts for seed in queries.seeds(library)] == [("typed before it was renamed",)]


def test_news_waits_for_a_scan_that_is_running(qtbot, open_window, photos, tmp_path):
    from tests.gui import toy_jobs

    window = open_window(photos)
    library = window.view("library")
    job = window.session.start(window.session.light, toy_jobs.endless, None, title="Reading photos")
    draw_photos(photos / "new", 1)
    library.look_again([photos / "new"])
    library.look_again([photos])
    assert _shown(window) == 8
    with qtbot.waitSignal(job.cancelled, timeout=WAIT):
        job.cancel()
    qtbot.waitUntil(lambda: _shown(window) == 9, timeout=WAIT)
    assert window.messages.message == "" or re.match(r"(1 photo is|8 photos are) here\.", window.messages.message)


def test_a_look_that_was_under_way_says_nothing_once_watching_has_stopped(qtbot, photos, monkeypatch):
    looking, go, said = threading.Event(), threading.Event(), []

    def poll(watch):
        looking.set()
        go.wait(WAIT / 1000)
        return (photos,)

    monkeypatch.setattr(FolderWatch, "poll", poll)
    watcher = watching.Watcher()
    watcher.changed.connect(said.append)
    watcher.watch([photos])
    qtbot.waitUntil(looking.is_set, timeout=WAIT)
    watcher.stop()
    go.set()
    watcher.lane.stop()
    qtbot.wait(100)
    assert said == [] and not watcher._timer.isActive()


def test_another_library_is_watched_instead(qtbot, open_window, photos, tmp_path):
    window = open_window(photos)
    other = draw_photos(tmp_path / "other", 2)
    window.open_folder(other)
    settle(qtbot, window)
    assert _shown(window) == 2
    draw_photos(photos / "more", 1)
    draw_photos(other / "more", 1)
    qtbot.waitUntil(lambda: _shown(window) == 3, timeout=WAIT)
    settle(qtbot, window)
    assert _shown(window) == 3
    close(qtbot, window)
    assert not window.session.watcher.lane.isRunning()
