"""The large photo: looked at closely by keys, wheel and mouse, and moved about."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gui.widgets import photo_view
from gui.zoom import LARGEST, Zoom
from tests.gui.conftest import WAIT, settle, suggest_captions

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def zoom():
    made = Zoom()
    made.set_room(QRectF(10, 20, 400, 200))
    made.begin(QSizeF(1_000, 1_000))
    return made


def under(zoom: Zoom, at: QPointF) -> QPointF:
    """The point of the picture that lies at a point of the room."""
    return (at - zoom.target().topLeft()) / zoom.scale


def test_a_picture_begins_whole_and_in_the_middle(zoom):
    assert zoom.fits and zoom.target() == QRectF(110, 20, 200, 200)


def test_what_is_under_the_pointer_stays_there(zoom):
    at = QPointF(250, 150)
    zoom.to(1.0)
    before = under(zoom, at)
    for steps in (4, 3, -5):
        zoom.by(steps, at)
        assert (under(zoom, at) - before).manhattanLength() < 1e-6
    assert not zoom.fits


@pytest.mark.parametrize("way", [QPointF(10_000, 10_000), QPointF(-10_000, 10_000), QPointF(0, -10_000)])
def test_a_picture_cannot_be_moved_out_of_the_room(zoom, way):
    zoom.to(1.0)
    zoom.pan(way)
    assert zoom.target().contains(QRectF(10, 20, 400, 200))


def test_the_whole_picture_is_the_smallest_and_there_is_a_largest(zoom):
    zoom.by(100)
    assert zoom.scale == LARGEST
    zoom.by(-100)
    assert zoom.fits and zoom.target() == QRectF(110, 20, 200, 200)


def test_a_room_that_grows_over_the_picture_shows_all_of_it(zoom):
    zoom.to(0.5)
    zoom.set_room(QRectF(0, 0, 800, 800))
    assert zoom.fits


def test_without_a_picture_nothing_happens():
    zoom = Zoom()
    zoom.by(3)
    zoom.pan(QPointF(1, 1))
    assert zoom.fits and zoom.scale == 0


@pytest.fixture
def seed(qtbot, open_window, tmp_path):
    """The place Seed on one photo of fine stripes, which only close up are stripes."""
    folder = tmp_path / "large"
    folder.mkdir()
    stripes = np.zeros((1_500, 3_000, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "stripes.png")
    window = open_window(folder)
    window.go("seed")
    settle(qtbot, window)
    view = window.view("seed")
    qtbot.waitUntil(lambda: view.picture._pixmap is not None and view.picture._pixmap.width() > 1_000, timeout=WAIT)
    return view


def test_keys_look_closer_while_a_caption_is_typed(seed):
    seed.editor.setFocus()
    assert seed.picture.zoom.fits
    for _ in range(2):
        QTest.keyClick(seed.editor, Qt.Key.Key_Equal, CONTROL)
    assert not seed.picture.zoom.fits and "%" in seed.picture.accessibleDescription()
    QTest.keyClick(seed.editor, Qt.Key.Key_Minus, CONTROL)
    QTest.keyClick(seed.editor, Qt.Key.Key_0, CONTROL)
    assert seed.picture.zoom.fits and seed.editor.text == ""


def test_a_double_click_shows_pixels_of_the_file_and_another_the_whole(qtbot, seed):
    picture = seed.picture
    middle = picture.rect().center()
    QTest.mouseDClick(picture, Qt.MouseButton.LeftButton, pos=middle)
    assert picture.percent == 100
    qtbot.waitUntil(lambda: picture._pixmap.width() == 3_000, timeout=WAIT)
    shown = picture.grab().toImage()
    ratio = picture.devicePixelRatioF()
    lights = {shown.pixelColor(round(middle.x() * ratio) + at, round(middle.y() * ratio)).lightness() for at in (0, 1)}
    assert len(lights) == 2 and max(lights) - min(lights) > 100, "a stripe is a pixel"
    QTest.mouseDClick(picture, Qt.MouseButton.LeftButton, pos=middle)
    assert picture.zoom.fits


def test_the_wheel_with_control_looks_closer_and_alone_does_nothing(seed):
    picture = seed.picture
    at = QPointF(picture.rect().center())
    for modifier, fits in ((Qt.KeyboardModifier.NoModifier, True), (CONTROL, False)):
        notch = QWheelEvent(
            at, picture.mapToGlobal(at), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, modifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(picture, notch)
        assert picture.zoom.fits == fits


def test_dragging_and_arrow_keys_move_a_photo_looked_at_closely(seed):
    picture = seed.picture
    picture.show_pixels()
    middle = picture.rect().center()
    before = picture.zoom.target()
    QTest.mousePress(picture, Qt.MouseButton.LeftButton, pos=middle)
    QTest.mouseMove(picture, middle + QPoint(30, 20))
    QTest.mouseRelease(picture, Qt.MouseButton.LeftButton, pos=middle + QPoint(30, 20))
    assert picture.zoom.target().topLeft() - before.topLeft() == QPointF(30, 20)
    picture.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(picture, Qt.Key.Key_Right)
    assert picture.zoom.target().topLeft().x() - before.topLeft().x() == 30 - photo_view.PAN
    QTest.keyClick(picture, Qt.Key.Key_Escape)
    assert picture.zoom.fits


def test_another_photo_is_shown_whole(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    view = window.view("seed")
    view.picture.look_closer(3)
    assert not view.picture.zoom.fits
    view.step(1)
    settle(qtbot, window)
    assert view.picture.zoom.fits


def test_in_review_arrow_keys_are_the_photos_only_close_up(qtbot, open_window, photos):
    window = open_window(photos)
    ids = window.view("library").grid.photos.ids
    suggest_captions(window.session.service.path, {int(one): [f"a disc {one}"] for one in ids[:3]}, {})
    window.session.refresh()
    window.go("review")
    settle(qtbot, window)
    picture = window.view("review").picture
    picture.setFocus(Qt.FocusReason.TabFocusReason)
    asked = []
    window.actions_table["review_next"].triggered.connect(lambda: asked.append("next"))
    QTest.keyClick(picture, Qt.Key.Key_Right)
    settle(qtbot, window)
    assert asked == ["next"]
    window.actions_table["review_closer"].trigger()
    assert not picture.zoom.fits
    QTest.keyClick(picture, Qt.Key.Key_Right)
    assert asked == ["next"]
