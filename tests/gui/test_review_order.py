"""Review's slider puts stored suggestions in another order at once, and for all photos in one step."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scores import gallery_version, write_scores
from tests.gui.conftest import settle

SAID = {"a plain red card": (0.5, -0.1), "a red card with one white circle": (0.7, -0.9)}
PLAIN, TELLING = SAID


@pytest.fixture
def reviewing(qtbot, open_window, photos):
    """Four photos wait; the last one's suggestions are from before it was kept how likely they were."""
    window = open_window(photos)
    ids = window.view("library").grid.photos.ids.tolist()[:4]
    rows = {}
    with Library.open(window.session.service.path) as library:
        for image_id in ids:
            likely = {image_id: {text: mean for text, (_, mean) in SAID.items()}} if image_id != ids[3] else None
            made = add_candidates(library, None, {image_id: list(SAID)}, "add", likelihoods=likely)[image_id]
            rows |= {one: ScoreRow(score, 1, 8, 4, 0.1) for one, (score, _) in zip(made, SAID.values(), strict=True)}
        write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library))
    window.session.refresh()
    settle(qtbot, window)
    window.review(ids[0])
    settle(qtbot, window)
    return window, ids


def shown(view):
    return [view.model.caption(row).text for row in range(view.model.rowCount())]


def test_the_slider_orders_what_is_stored_by_keyboard_and_for_the_next_photo_too(qtbot, reviewing):
    window, ids = reviewing
    view = window.view("review")
    order, slider = view.order, view.order.scale.slider
    assert shown(view) == [TELLING, PLAIN] and order.scale.isEnabled() and not order.use_button.isVisible()
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Home)
    assert view.current_id == ids[0], "the key is the slider's, not the place's"
    assert shown(view) == [PLAIN, TELLING] and order.use_button.isVisible()
    assert view.list.currentIndex().row() == 0
    view.step(1)
    settle(qtbot, window)
    assert shown(view) == [PLAIN, TELLING]
    assert window.session.overview.counts.accepted == 0 and window.session.overview.undo is None
    view.accept()
    settle(qtbot, window)
    assert window.session.overview.counts.accepted == 1


def test_the_order_is_used_everywhere_as_one_step_and_accepted_captions_stay(qtbot, reviewing):
    window, ids = reviewing
    view = window.view("review")
    view.accept()
    settle(qtbot, window)
    view.order.scale.set_distinctive(0)
    view.order.use_button.click()
    settle(qtbot, window)
    best = {photo.image.id: photo.text for photo in window.session.service.photos(ids)}
    assert best == {ids[0]: TELLING, ids[1]: PLAIN, ids[2]: PLAIN, ids[3]: TELLING}
    assert not view.order.use_button.isVisible() and shown(view) == [PLAIN, TELLING]
    window.undo()
    settle(qtbot, window)
    assert view.order.scale.distinctive == 1 and shown(view) == [TELLING, PLAIN]
    assert window.session.service.photos(ids)[1].text == TELLING


def test_older_suggestions_say_what_would_let_them_be_ordered(qtbot, reviewing):
    window, ids = reviewing
    view = window.view("review")
    view.order.scale.set_distinctive(0)
    view.show_id(ids[3])
    settle(qtbot, window)
    assert shown(view) == [TELLING, PLAIN]
    assert not view.order.scale.isEnabled() and not view.order.use_button.isVisible()
    assert view.order.why_not.isVisible() and "Caption this photo again" in view.order.why_not.text()


def test_an_edit_goes_on_while_the_order_changes(qtbot, reviewing):
    window, _ = reviewing
    view = window.view("review")
    view.pick(2)
    view.edit()
    view.editor.set_text("my own words")
    view.order.scale.set_distinctive(0)
    assert view.editor.text == "my own words" and view.model.caption(view.list.currentIndex().row()).text == PLAIN
    view.accept()
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 1
