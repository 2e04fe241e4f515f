"""Writing captions one after another by keyboard: what comes next, and what is shown meanwhile."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library import edits, queries
from core.library.library import Library
from core.library.runs import create_run, update_run
from core.training.enough import MoreSeeds, SeedsTold, write_told
from gui import finding
from gui.seed_words import enough
from gui.tasks import SearchResult, Suggestion
from gui.views import seed_view
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, draw_photos, settle, suggest_captions


@pytest.fixture
def window(qtbot, open_window, photos):
    made = open_window(photos)
    made.go("seed")
    settle(qtbot, made)
    return made


def say(qtbot, window, text: str) -> int:
    """Type a caption and press Enter; returns the photo that it is for."""
    seed = window.view("seed")
    image_id = seed.current_id
    QTest.keyClicks(seed.editor, text)
    QTest.keyClick(seed.editor, Qt.Key.Key_Return)
    return image_id


def written(window) -> dict[int, tuple[str, ...]]:
    with Library.open(window.session.service.path) as library:
        return {seed.image_id: seed.texts for seed in queries.seeds(library)}


def test_enter_keeps_the_caption_and_shows_the_next_photo(qtbot, window):
    seed = window.view("seed")
    first = say(qtbot, window, "one")
    assert seed.current_id != first and seed.editor.text == "", "at once: typing goes on without waiting"
    second = say(qtbot, window, "two")
    settle(qtbot, window)
    assert written(window) == {first: ("one",), second: ("two",)}


POEM = "a poem\nof two lines  with  spaces"


def test_looking_at_a_caption_leaves_it_as_it_is(qtbot, window):
    seed, path = window.view("seed"), window.session.service.path
    first, other = seed._order[:2].tolist()
    with Library.open(path) as library:
        edits.add_captions(library, {first: [POEM], other: ["non\N{NO-BREAK SPACE}breaking"]}, is_seed=True)
        edits.add_seed(library, other, "taken back")
        edits.undo(library)
    window.session.refresh()
    settle(qtbot, window)
    for image_id in (other, first, other):
        seed.show_id(image_id)
        settle(qtbot, window)
    window.go("library")
    settle(qtbot, window)
    assert written(window) == {first: (POEM,), other: ("non\N{NO-BREAK SPACE}breaking",)}
    with Library.open(path) as library:
        assert edits.can_redo(library) and edits.log(library)[0].kind != "edit_caption"


def test_lines_stay_when_a_caption_that_has_lines_is_edited(qtbot, window):
    seed = window.view("seed")
    first, other = seed._order[:2].tolist()
    with Library.open(window.session.service.path) as library:
        edits.add_seed(library, first, POEM)
    window.session.refresh()
    settle(qtbot, window)
    say(qtbot, window, ", edited")
    seed.show_id(other)
    settle(qtbot, window)
    seed.editor.setPlainText(" pasted\nfrom  elsewhere ")
    seed.keep()
    settle(qtbot, window)
    assert written(window) == {first: (f"{POEM}, edited",), other: ("pasted from elsewhere",)}


def test_typing_past_the_words_of_another_caption_leaves_that_one_alone(qtbot, window):
    seed = window.view("seed")
    image_id = seed.current_id
    QTest.keyClicks(seed.editor, "a dog")
    seed.another()
    settle(qtbot, window)
    QTest.keyClicks(seed.editor, "a dog")
    seed.keep()  # a pause
    settle(qtbot, window)
    QTest.keyClicks(seed.editor, " runs")
    seed.keep()
    settle(qtbot, window)
    assert written(window) == {image_id: ("a dog", "a dog runs")}


def test_next_leaves_out_photos_that_have_a_caption(qtbot, window):
    seed = window.view("seed")
    order = seed._order.tolist()
    seed.show_id(order[1])
    settle(qtbot, window)
    say(qtbot, window, "the second photo")
    seed.show_id(order[0])
    settle(qtbot, window)
    say(qtbot, window, "the first photo")
    assert seed.current_id == order[2]
    for _ in order[2:]:
        say(qtbot, window, "another")
    settle(qtbot, window)
    assert len(written(window)) == len(order)
    here = seed.current_id
    QTest.keyClick(seed.editor, Qt.Key.Key_Return)
    assert seed.current_id != here, "with every photo captioned, next is simply next"


def test_after_the_chosen_photos_come_the_others(qtbot, window):
    seed = window.view("seed")
    chosen = seed._order[[4, 6]].tolist()
    seed.show_suggested(Suggestion(tuple(chosen)))
    settle(qtbot, window)
    assert seed.current_id == chosen[0]
    say(qtbot, window, "one")
    assert seed.current_id == chosen[1]
    say(qtbot, window, "two")
    assert seed.current_id not in chosen, "never back to a photo that is done"
    assert "Choose others" in window.toast.message


def choosing(monkeypatch, window) -> threading.Event:
    """Let photos be chosen without models: as soon as the event is set, the third and the fifth."""
    go, ids = threading.Event(), tuple(window.view("seed")._order[[2, 4]].tolist())

    def choose(ctx, order) -> Suggestion:
        go.wait(WAIT / 1000)
        return Suggestion(ids)

    monkeypatch.setattr(seed_view, "suggest_photos", choose)
    return go


def test_photos_are_chosen_while_a_training_runs(qtbot, window, monkeypatch):
    seed, session = window.view("seed"), window.session
    training = session.start(session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    choosing(monkeypatch, window).set()
    seed.suggest()
    qtbot.waitUntil(lambda: seed.strip.photos.rowCount() == 2, timeout=WAIT)
    assert session.heavy.current is training and window.messages.message == ""


def test_photos_chosen_for_another_library_are_not_shown(qtbot, window, monkeypatch, tmp_path):
    seed = window.view("seed")
    go = choosing(monkeypatch, window)
    seed.suggest()
    window.session.open(draw_photos(tmp_path / "other", 3), go.set)
    settle(qtbot, window)
    assert go.is_set() and seed.strip.photos.rowCount() == 0


def test_a_search_waits_for_photos_being_chosen(qtbot, window, monkeypatch):
    seed, library = window.view("seed"), window.view("library")
    found = tuple(seed._order[:3].tolist())
    monkeypatch.setattr(finding, "search_words", lambda ctx, order: SearchResult(order.text, found))
    go = choosing(monkeypatch, window)
    seed.suggest()
    library.search_box.setText("a dog")
    library.search()
    library.search()
    go.set()
    qtbot.waitUntil(lambda: library._query.found == found, timeout=WAIT)
    assert seed.strip.photos.rowCount() == 2 and window.messages.kind == "info", "nothing was refused"


def test_an_emptied_caption_makes_its_photo_wait_again(qtbot, window):
    seed = window.view("seed")
    first = say(qtbot, window, "one")
    settle(qtbot, window)
    seed.show_id(first)
    settle(qtbot, window)
    seed.editor.selectAll()
    QTest.keyClick(seed.editor, Qt.Key.Key_Delete)
    seed.keep()
    settle(qtbot, window)
    assert first not in seed._captioned


def test_no_other_photo_is_shown_while_one_cannot_be_read(qtbot, window, monkeypatch):
    seed = window.view("seed")
    assert seed.picture._pixmap is not None and seed.name.full_text()

    def broken(image_id: int) -> None:
        raise RuntimeError("no such column\n" + "SELECT much " * 100)

    monkeypatch.setattr(window.session.service, "photo", broken)
    seed.step(1)
    qtbot.waitUntil(lambda: seed.picture._pixmap is None)
    assert seed.name.full_text() == ""
    qtbot.waitUntil(lambda: bool(window.messages.message))
    assert len(window.messages.message) < 300 and "no such column" in window.messages.message
    assert "SELECT" not in window.messages.message


def test_another_caption_is_offered_when_there_is_one(qtbot, window):
    seed = window.view("seed")
    assert not window.actions_table["another"].isEnabled()
    QTest.keyClicks(seed.editor, "a")
    assert window.actions_table["another"].isEnabled()


def test_the_walk_ends_well_for_a_photo_that_is_not_in_it(qtbot, window):
    seed = window.view("seed")
    assert seed._uncaptioned_after(np.array([10_000, 10_001])).tolist() == [10_000, 10_001]


def test_a_suggestion_gives_way_to_what_is_typed(qtbot, window):
    seed = window.view("seed")
    suggest_captions(window.session.service.path, {seed.current_id: ["a round thing"]}, {})
    window.session.refresh()
    settle(qtbot, window)
    assert seed._suggested_text.isVisible() and seed._suggested_text.text() == "a round thing"
    height = seed.picture.height()
    QTest.keyClicks(seed.editor, "a")
    assert not seed._suggested_text.isVisible()
    QTest.keyClick(seed.editor, Qt.Key.Key_Backspace)
    assert seed._suggested_text.isVisible()
    assert seed.picture.height() == height, "nothing moves while one types"


# -- how many are enough ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "more", "word", "target"),
    [
        (2, None, "5 are needed", 20),
        (7, None, "As a rule of thumb, 20", 20),
        (24, None, "As a rule of thumb, a good beginning", 20),
        (24, MoreSeeds(24, None), "The last training had 24", 20),
        (24, MoreSeeds(24, "helps"), "Measured on yours: twice as many as the last training had (48)", 48),
        (24, MoreSeeds(24, "little"), "change little", 24),
        (24, MoreSeeds(24, "unclear"), "cannot be told yet", 20),
    ],
)
def test_how_many_are_enough_is_called_a_guess_until_it_was_measured(seeds, more, word, target):
    text, full_at = enough(seeds, more)
    assert word in text and full_at == target
    assert ("rule of thumb" in text) == (more is None)


def test_what_trainings_have_measured_stands_beside_the_captions(qtbot, window):
    seed = window.view("seed")
    for number in range(5):
        say(qtbot, window, f"words {number}")
    settle(qtbot, window)
    assert "rule of thumb" in seed.verdict.text() and seed.bar.maximum() == 20
    with Library.open(window.session.service.path) as library:
        for seeds, loss in ((4, 3.0), (8, 2.0)):
            run = create_run(library, "recommended", {"request": {"preset": "recommended"}})
            write_told(run.folder, SeedsTold(seeds, {f"{at}:a": loss + at / 10 for at in range(4)}))
            update_run(library, run.id, status="done")
    window.session.refresh()
    settle(qtbot, window)
    assert "Measured on yours" in seed.verdict.text() and "(24)" in seed.verdict.text()
    assert seed.bar.maximum() == 24 and seed.bar.value() == 5


@pytest.mark.parametrize("size", [(1240, 800), (1500, 900)])
@pytest.mark.parametrize("number", [3, 8])
def test_chosen_photos_stand_two_in_a_row_whether_or_not_there_is_a_scroll_bar(qtbot, window, size, number):
    seed = window.view("seed")
    window.resize(*size)
    ids = window.view("library").grid.photos.ids[:number]
    seed._show_chosen(tuple(int(one) for one in ids))
    settle(qtbot, window)
    strip = seed.strip
    first, second = (strip.visualRect(strip.photos.index(row)) for row in (0, 1))
    assert second.y() == first.y() and second.x() > first.x()
    assert strip.verticalScrollBar().isVisible() == (strip.verticalScrollBar().maximum() > 0)
