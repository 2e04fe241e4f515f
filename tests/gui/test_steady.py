"""What a newcomer stumbled over: lists that were cut off, things that moved, frames and words that misled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.batch.pace import keep_pace
from gui.tasks import Suggestion
from gui.views import seed_view
from gui.widgets.basics import ComboBox
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, settle


@pytest.fixture
def window(qtbot, open_window, photos):
    return open_window(photos)


@pytest.mark.qt_log_ignore("This plugin does not support")  # raising a window, grabbing the keyboard
@pytest.mark.parametrize("lines", [2, 5, 10])
def test_a_list_that_opens_shows_all_its_lines(qtbot, window, lines):
    page = QWidget()
    qtbot.addWidget(page)
    box = ComboBox()
    box.addItems([f"{number} hours" for number in range(lines)])
    QVBoxLayout(page).addWidget(box)
    page.show()
    page.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=WAIT)  # as it has when it is clicked on
    box.showPopup()
    shown = box.view()
    qtbot.waitUntil(shown.isVisible, timeout=WAIT)
    assert shown.verticalScrollBar().maximum() == 0
    assert shown.viewport().height() >= sum(shown.sizeHintForRow(row) for row in range(lines))
    box.hidePopup()


def test_nothing_moves_under_the_hand_when_work_begins_or_ends(qtbot, window):
    window.go("seed")
    settle(qtbot, window)
    seed = window.view("seed")

    def places() -> list:
        window.centralWidget().layout().activate()
        return [one.mapTo(window, one.rect().topLeft()) for one in (seed.editor, seed.picture)] + [seed.editor.size()]

    before = places()
    assert window.library_place.isVisible() and not window.job_bar.isVisible()
    job = window.session.start(window.session.words, toy_jobs.endless, None, title="Choosing photos")
    qtbot.waitUntil(window.job_bar.isVisible, timeout=WAIT)
    assert places() == before and not window.library_place.isVisible()
    job.cancel()
    qtbot.waitUntil(window.library_place.isVisible, timeout=WAIT)
    assert places() == before


def test_where_the_library_lies_is_said_and_shown(qtbot, open_window, photos, monkeypatch):
    opened = []
    monkeypatch.setattr("gui.revealing.QDesktopServices.openUrl", lambda url: not opened.append(url))
    window = open_window()
    assert not window.library_place.isVisible(), "no library is open"
    window.open_folder(photos)
    settle(qtbot, window)
    library = window.session.service.path
    assert library.name in window.library_place.text.full_text()
    window.library_place.show_it.click()
    assert [url.toLocalFile() for url in opened] == [str(library.parent)]


def test_the_strip_frames_the_photo_in_the_place_and_no_other(qtbot, window):
    window.go("seed")
    settle(qtbot, window)
    seed = window.view("seed")
    chosen = seed._order[[2, 4]].tolist()
    seed.show_suggested(Suggestion(tuple(chosen)))
    assert seed.strip.current_id() == chosen[0]
    seed.show_id(chosen[1])
    assert seed.strip.current_id() == chosen[1]
    seed.show_id(int(seed._order[6]))
    settle(qtbot, window)
    assert seed.strip.current_id() is None and seed.strip.selected_ids() == []


@pytest.mark.parametrize(("written", "wanted"), [(0, 20), (3, 17), (18, 5), (20, 12)])
def test_as_many_photos_are_chosen_as_make_a_good_beginning(qtbot, window, monkeypatch, written, wanted):
    asked = []
    monkeypatch.setattr(seed_view, "suggest_photos", lambda ctx, order: asked.append(order.count) or Suggestion(()))
    window.go("seed")
    settle(qtbot, window)
    overview = window.session.overview
    window.session.overview = replace(overview, counts=replace(overview.counts, seeds=written))
    window.view("seed").suggest()
    settle(qtbot, window)
    assert asked == [wanted]


def test_review_says_that_a_training_runs(qtbot, window):
    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    assert review.train.isVisible() and review.deliver.isVisible()
    training = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    assert "learning just now" in review.nothing.title.text()
    assert review.train.isVisible() and not review.deliver.isVisible()
    training.cancel()
    settle(qtbot, window)
    assert review.deliver.isVisible() and "No suggestions" in review.nothing.title.text()


def test_the_two_search_fields_are_told_apart_in_plain_words(window):
    library = window.view("library")
    texts = [library.search_box.placeholderText(), library.filter_box.placeholderText()]
    assert "show" in texts[0] and "captions" in texts[1] and not any(":" in text for text in texts)
    folders = next(one for one in library.findChildren(QWidget) if one.property("text") == "Folders")
    assert folders.accessibleName() == "Folders" and folders.toolTip()


def test_deliver_tells_the_time_before_it_begins(qtbot, window, monkeypatch):
    monkeypatch.setattr("core.machine.quick_rate", lambda: type("Rate", (), {"gflops": 30.0})())
    window.go("deliver")
    settle(qtbot, window)
    deliver = window.view("deliver")
    assert deliver.time.isVisible() and deliver.time.text().startswith("Roughly")
    keep_pace("starter 3", 100, 60_000.0)
    window.session.refresh()
    settle(qtbot, window)
    assert deliver.time.text() == "68 to 100 minutes on this computer, judged by the last captioning here."


def test_captions_that_one_wrote_count_as_taken_over(window):
    which = window.view("deliver").exporting.which
    assert "wrote" in which.itemText(which.findData("accepted"))
