"""The starter's suggestions for a new library: unasked, once, and in nobody's way."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.batch import library_runner
from core.batch.requests import CaptionReport
from core.jobs import Cancelled, QuietContext
from core.library import in_vain, ledger, queries
from core.library.library import Library
from core.library.newness import claim_first_captions
from core.library.runs import create_run, set_current_run
from core.library.scan import scan
from gui import offers
from gui.services import LibraryService
from gui.tasks import CaptionOrder, CaptionResult, FirstCaptionsOrder, caption_photos, first_captions
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, draw_photos, settle, suggest_captions


@pytest.fixture
def asked(monkeypatch):
    """The starter's jobs that were begun; each writes a suggestion for its photos, then goes on until it is stopped."""
    orders: list[FirstCaptionsOrder] = []

    def suggest(ctx, order: FirstCaptionsOrder) -> CaptionResult:
        orders.append(order)
        suggest_captions(order.library, {one: [f"thing {one}"] for one in order.image_ids}, {})
        toy_jobs.endless(ctx, None)
        raise AssertionError

    monkeypatch.setattr(offers, "first_captions", suggest)
    monkeypatch.setattr(offers, "GROW_MS", 200)
    return orders


def open_new(qtbot, open_window, folder, **kind):
    """A window on a new library, when the starter has spoken."""
    window = open_window(**kind)
    window.open_folder(folder)
    qtbot.waitUntil(lambda: bool(window.session.overview and window.session.overview.counts.candidates), timeout=WAIT)
    return window


def stop(qtbot, window) -> None:
    window.session.cancel_all()
    qtbot.waitUntil(lambda: not window.session.busy, timeout=WAIT)
    settle(qtbot, window)


def test_a_new_library_has_suggestions_at_once_and_once(qtbot, open_window, photos, asked):
    window = open_new(qtbot, open_window, photos, starter=True)
    library = window.view("library")
    assert window.place == "library" and len(asked) == 1
    qtbot.waitUntil(lambda: (photo := library.grid.photos.photo(0)) is not None and photo.text != "", timeout=WAIT)
    assert "8 photos are here" in window.messages.message and "1 write 10 captions" in window.messages.message
    assert window.job_bar.isVisible() and window.job_bar.title.text() == "Suggesting first captions"
    QTest.mouseClick(window.job_bar.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.session.busy, timeout=WAIT)
    settle(qtbot, window)
    assert window.session.overview.counts.candidates == 8 and window.session.overview.captioning_left == 0
    draw_photos(photos.parent / "more", 2)
    window.take_folders([photos.parent / "more"])
    settle(qtbot, window)
    assert len(asked) == 1


@pytest.mark.parametrize("starter", [True, False])
def test_the_setting_decides(qtbot, open_window, photos, asked, starter):
    window = open_window(starter=starter)
    window.open_folder(photos)
    qtbot.waitUntil(lambda: "8 photos are here" in window.messages.message, timeout=WAIT)
    assert ("Suggest captions" in window.messages._action.text()) is not starter
    stop(qtbot, window)
    assert len(asked) == int(starter)


def test_what_a_person_starts_comes_first(qtbot, open_window, photos, asked):
    window = open_new(qtbot, open_window, photos, starter=True)
    session, ended = window.session, []
    session.heavy.current.cancelled.connect(lambda: ended.append("starter"))
    training = session.start(session.heavy, toy_jobs.count, 3, title="Training", kind="train")
    assert training is not None and session.heavy.current is training and session.training
    assert session.start(session.heavy, toy_jobs.count, 3, title="Captioning", kind="caption") is None
    assert "“Training” is still running" in window.messages.message
    with qtbot.waitSignal(training.finished, timeout=WAIT):
        training.ended.connect(lambda: ended.append("training"))
    settle(qtbot, window)
    assert ended == ["starter", "training"]


def test_another_library_need_not_wait_for_it(qtbot, open_window, photos, tmp_path, asked):
    window = open_new(qtbot, open_window, photos, starter=True)
    first = window.session.service.path
    window.preferences.set("starter", False)
    window.open_folder(draw_photos(tmp_path / "more", 2))
    qtbot.waitUntil(lambda: window.session.service.path != first, timeout=WAIT)
    settle(qtbot, window)
    assert window.session.overview.counts.photos == 2 and "still running" not in window.messages.message


def test_writing_goes_on_meanwhile_and_the_way_is_no_longer_told(qtbot, open_window, photos, asked):
    window = open_new(qtbot, open_window, photos, starter=True)
    QTest.mouseClick(window.messages._action, Qt.MouseButton.LeftButton)
    assert window.place == "seed"
    seed = window.view("seed")
    qtbot.waitUntil(lambda: seed.current_id is not None, timeout=WAIT)
    QTest.keyClicks(seed.editor, "my own words")
    QTest.keyClick(seed.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: window.session.overview.counts.seeds == 1, timeout=WAIT)
    assert window.messages.message == ""
    stop(qtbot, window)
    assert window.messages.message == "", "nothing is offered to who has begun"
    assert window.session.overview.counts.candidates == 8


def test_where_the_starter_cannot_speak_it_is_only_offered(qtbot, open_window, photos, monkeypatch):
    monkeypatch.setattr(offers, "first_captions", lambda ctx, order: toy_jobs.refuse(ctx, "/models"))
    window = open_window(starter=True)
    window.open_folder(photos)
    qtbot.waitUntil(lambda: "Or have the starter model" in window.messages.message, timeout=WAIT)
    settle(qtbot, window)
    assert window.messages.kind == "info"


# -- what is a new library, and what is said of it --------------------------------------------------------------------


@pytest.fixture
def library(tmp_path, photos):
    with Library.create(tmp_path / "some.seedcap") as made:
        assert scan(made, photos, QuietContext()).added == 8
        yield made


def test_a_library_is_new_once(library, photos):
    assert claim_first_captions(library, 8, 3) == tuple(queries.image_ids(library)[:3].tolist())
    assert claim_first_captions(library, 8, 3) == ()


def test_a_library_with_other_photos_or_captions_is_not_new(library, tmp_path):
    assert claim_first_captions(library, 7, 3) == ()
    with Library.create(tmp_path / "other.seedcap") as other:
        assert claim_first_captions(other, 0, 3) == ()
        scan(other, draw_photos(tmp_path / "other", 2), QuietContext())
        suggest_captions(other.path, {int(queries.image_ids(other)[0]): ["a thing"]}, {})
        assert claim_first_captions(other, 2, 3) == ()


@pytest.fixture
def requests(monkeypatch):
    """What the captioning was asked for."""
    asked = []
    monkeypatch.setattr(
        library_runner, "run", lambda _ctx, request: asked.append(request) or CaptionReport(8, (), 1.0, 8.0)
    )
    return asked


@pytest.mark.parametrize("number", [8, 5])
def test_one_suggestion_each_and_ranks_only_where_they_are_quick(library, requests, number):
    ids = tuple(queries.image_ids(library)[:number].tolist())
    first_captions(QuietContext(), FirstCaptionsOrder(library.path, ids))
    (request,) = requests
    assert (request.image_ids, request.existing, request.options.candidates) == (ids, "skip", None)
    assert request.rank == (number == 8)


def test_what_is_cancelled_is_not_offered_to_be_gone_on_with(library, monkeypatch):
    ids = tuple(queries.image_ids(library).tolist())

    def stopped(_ctx, request):
        begun = ledger.start_job(library, "caption", {}, list(request.image_ids))
        ledger.close_job(library, begun, "cancelled")
        assert ledger.unfinished_job(library, "caption") is not None
        raise Cancelled

    monkeypatch.setattr(library_runner, "run", stopped)
    with pytest.raises(Cancelled):
        first_captions(QuietContext(), FirstCaptionsOrder(library.path, ids))
    assert ledger.unfinished_job(library, "caption") is None


def test_a_new_model_captions_what_the_starter_alone_has_said_something_of(library, requests):
    ids = queries.image_ids(library).tolist()
    suggest_captions(library.path, {one: ["a thing"] for one in ids[:3]}, {})
    run = create_run(library, "recommended", {})
    set_current_run(library, run.id)
    caption_photos(QuietContext(), CaptionOrder(library.path, "replace-model", renew=True))
    assert sorted(requests[0].image_ids) == ids


def test_what_waits_with_older_suggestions_is_asked_once_for_all_its_numbers(library, monkeypatch):
    """In a large library each time takes long, and the numbers are read after every change."""
    ids = queries.image_ids(library).tolist()
    suggest_captions(library.path, {one: ["a thing"] for one in ids[:3]}, {})
    set_current_run(library, create_run(library, "recommended", {}).id)
    in_vain.add_in_vain(library, "so", ids[2:])
    times, outdated = [], queries.outdated
    for module in (queries, in_vain):
        monkeypatch.setattr(module, "outdated", lambda asked: times.append(1) or outdated(asked))
    overview = LibraryService(library, library.path).overview()
    assert overview.outdated == 3 and overview.in_vain == in_vain.InVain("so", len(ids) - 3, 1)
    assert len(times) == 1
