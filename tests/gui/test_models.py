"""A hundred thousand photos as one array of ids and a few windows; thumbnails off the GUI thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt

from core.images.content import hash_of
from core.library.records import ImageRow
from gui.models.image_list_model import MAX_WAITING, MAX_WINDOWS, WINDOW, ImageListModel
from gui.services import Photo
from gui.thumbnails import Thumbnails

N = 100_000


def photo(image_id: int) -> Photo:
    return Photo(ImageRow(int(image_id), "/p", f"{image_id}.jpg", f"h{image_id}", 4, 3, False, None))


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        self.then: list = []

    def fetch(self, ids, then) -> None:
        self.asked.append(ids)
        self.then.append(then)

    def answer(self) -> None:
        ids, then = self.asked[-1], self.then.pop(0)
        then([photo(image_id) for image_id in ids])


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def model(qapp, source):
    made = ImageListModel(source.fetch)
    made.set_ids(np.arange(N, 0, -1))
    return made


def test_nothing_is_read_until_it_is_looked_at(model, source):
    assert model.rowCount() == N
    assert source.asked == []
    assert model.photo(5) is None
    assert [len(ids) for ids in source.asked] == [WINDOW]


def test_a_window_arrives_and_is_announced(qtbot, model, source):
    model.photo(WINDOW + 3)
    with qtbot.waitSignal(model.dataChanged) as changed:
        source.answer()
    assert (changed.args[0].row(), changed.args[1].row()) == (WINDOW, 2 * WINDOW - 1)
    assert model.photo(WINDOW + 3).image.id == N - WINDOW - 3
    assert model.data(model.index(WINDOW + 3), Qt.ItemDataRole.DisplayRole) == f"{N - WINDOW - 3}.jpg"
    assert "no caption yet" in model.data(model.index(WINDOW + 3), Qt.ItemDataRole.AccessibleTextRole)
    assert len(source.asked) == 1


def test_the_first_window_is_there_before_the_list_is(model, source):
    ids = np.arange(1, N)
    model.show_first(ids[:WINDOW], [photo(one) for one in ids[:WINDOW]])
    assert model.photo(3).image.id == 4 and source.asked == []
    resets = []
    model.modelReset.connect(lambda: resets.append(1))
    model.set_ids(ids)
    assert model.rowCount() == N - 1 and resets == [], "more of the same moves nobody"
    assert model.photo(3).image.id == 4
    model.show_first(ids[:WINDOW], ())
    assert model.rowCount() == N - 1, "a list that begins so is known already"


def test_whoever_scrolls_past_never_waits_for_what_was_passed(model, source):
    for row in range(0, N, WINDOW):  # end to end
        model.photo(row)
    for _ in range(MAX_WAITING + 1):
        source.answer()
    assert source.then == []
    assert len(source.asked) <= MAX_WAITING + 1
    assert model.photo(N - 1) is not None, "the end, where the scrolling stopped, is there"


def test_memory_is_bounded(model, source):
    for row in range(0, N, WINDOW):
        model.photo(row)
        source.answer()
    kept = sum(1 for row in range(0, N, WINDOW) if row // WINDOW in model._windows)
    assert kept <= MAX_WINDOWS


def test_an_answer_for_other_ids_is_ignored(model, source):
    model.photo(0)
    model.set_ids(np.array([7, 8]))
    source.then.pop(0)([photo(image_id) for image_id in source.asked[0]])
    assert model.photo(0) is None
    source.answer()
    assert model.photo(0).image.id == 7


def test_refreshing_keeps_the_old_until_the_new_is_there(model, source):
    model.photo(0)
    source.answer()
    model.refresh()
    assert model.photo(0) is not None
    assert len(source.asked) == 2
    source.answer()
    assert model.photo(0) is not None


def test_the_same_ids_again_do_not_reset_the_view(qtbot, model, source):
    with qtbot.assertNotEmitted(model.modelReset):
        model.set_ids(np.arange(N, 0, -1))


def test_where_a_photo_is(model):
    assert model.row_of(N) == 0
    assert model.row_of(1) == N - 1
    assert model.row_of(0) is None
    assert model.id_at(N) is None
    assert model.photo(-1) is None


@pytest.fixture
def thumbnails(qapp):
    made = Thumbnails()
    yield made
    made.stop()


def picture(folder: Path, number: int) -> ImageRow:
    path = folder / f"{number}.png"
    Image.new("RGB", (400, 300), (number * 40 % 256, 90, 120)).save(path)
    return ImageRow(number, str(path.parent), path.name, hash_of(path), 400, 300, False, None)


def test_thumbnails_arrive_later_and_then_at_once(qtbot, thumbnails, tmp_path):
    row = picture(tmp_path, 1)
    with qtbot.waitSignal(thumbnails.ready, timeout=20_000) as ready:
        assert thumbnails.pixmap(row) is None
    assert ready.args == [1]
    found = thumbnails.pixmap(row)
    assert found is not None and max(found.width(), found.height()) == 256


def test_a_photo_that_cannot_be_read_is_asked_for_once(qtbot, thumbnails, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing")
    row = ImageRow(2, str(broken.parent), broken.name, "f" * 64, 1, 1, False, None)
    with qtbot.waitSignal(thumbnails.ready, timeout=20_000):
        thumbnails.pixmap(row)
    with qtbot.assertNotEmitted(thumbnails.ready, wait=100):
        assert thumbnails.pixmap(row) is None


def test_where_one_copy_cannot_be_read_another_one_will_do(qtbot, thumbnails, tmp_path):
    row = picture(tmp_path, 1)
    gone = replace(row, id=2, relative_path="gone.png")
    with qtbot.waitSignal(thumbnails.ready, timeout=20_000):
        thumbnails.pixmap(gone)
    with qtbot.waitSignal(thumbnails.ready, timeout=20_000):
        thumbnails.pixmap(row)
    assert thumbnails.pixmap(row) is not None and thumbnails.pixmap(gone) is not None


def test_what_is_cleared_is_not_delivered(qtbot, thumbnails, tmp_path):
    rows = [picture(tmp_path, number) for number in range(3, 9)]
    for row in rows:
        thumbnails.pixmap(row)
    thumbnails.clear()
    with qtbot.assertNotEmitted(thumbnails.ready, wait=300):
        pass


def test_missing_and_failed_photos_are_not_asked_for(qtbot, thumbnails, tmp_path):
    missing = ImageRow(1, str(tmp_path), "a.jpg", "a" * 64, 1, 1, True, None)
    failed = ImageRow(2, str(tmp_path), "b.jpg", "b" * 64, 0, 0, False, "It is empty.")
    with qtbot.assertNotEmitted(thumbnails.ready, wait=100):
        assert thumbnails.pixmap(missing) is None
        assert thumbnails.pixmap(failed) is None
