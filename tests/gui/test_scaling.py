"""Letters up to twice as large, a small window and a very large one: nothing is cut off, nothing lies on another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSpacerItem,
    QWidget,
)

from core.training.messages import GateRow, MetricRow, StageResult, StageStarted, TrainReport
from gui import theme as theming
from gui.log_dialog import LogDialog
from gui.main_window import SMALLEST, MainWindow
from gui.rewrite_dialog import RewriteDialog
from gui.settings_dialog import SettingsDialog
from gui.shortcuts_dialog import ShortcutsDialog
from gui.widgets.basics import ElidedLabel, button, label
from gui.widgets.flow import Flow
from gui.widgets.models_part import ModelsPart
from gui.widgets.photo_view import PhotoView
from gui.widgets.training import Steps
from tests.gui.conftest import settle, suggest_captions

PLACES = ("library", "seed", "train", "review", "deliver")
ROOM = 34  # of a box to choose from: its sides and its arrow
SIZES = {1.0: [(1024, 700), (3840, 2160)], 1.5: [(1024, 700)], 2.0: [(1024, 700)]}  # of the window, by the letters
READ = (QAbstractButton, QLabel, QComboBox, QLineEdit, QPlainTextEdit, PhotoView, Steps)


@pytest.fixture
def letters(qapp) -> Iterator[object]:
    """Sets how large letters are, as a multiple of what they were."""
    before = qapp.font()

    def set_factor(factor: float) -> None:
        font = qapp.font()
        font.setPointSizeF(before.pointSizeF() * factor)
        qapp.setFont(font)
        theming.theme().set_mode("light")

    yield set_factor
    qapp.setFont(before)
    theming.theme().set_mode("light")


def readable(within: QWidget) -> list[QWidget]:
    return [one for kind in READ for one in within.findChildren(kind) if one.isVisible() and not _of_qt(one)]


def _of_qt(widget: QWidget) -> bool:
    """Part of another control: the button that clears a line, the corner of a table."""
    parent = widget.parentWidget()
    return isinstance(parent, QLineEdit | QComboBox) or widget.objectName().startswith("qt_") or "QTable" in str(parent)


def text_of(widget: QWidget) -> str:
    return widget.currentText() if isinstance(widget, QComboBox) else str(widget.property("text") or "")


def cut_off(within: QWidget) -> list[str]:
    """What of the texts in it cannot be read: narrower or lower than its letters, or beyond what it lies in."""
    found = []
    for one in readable(within):
        said, high, wide = text_of(one), one.height(), one.width()
        text = said or type(one).__name__
        if isinstance(one, QComboBox):
            if wide < one.fontMetrics().horizontalAdvance(one.currentText()) + ROOM:
                found.append(f"{text}: narrow")
        elif isinstance(one, QLabel) and one.wordWrap():
            if one.heightForWidth(wide) > high + 1:
                found.append(f"{text}: {high} of {one.heightForWidth(wide)} high")
        elif isinstance(one, QAbstractButton | QLabel | Steps) and not isinstance(one, ElidedLabel):
            small = wide < one.sizeHint().width() - 1 or high < one.fontMetrics().height()
            if said and small:
                found.append(f"{text}: {wide} x {high} of {one.sizeHint().toTuple()}")
        if not inside(one, within):
            found.append(f"{text}: beyond its place")
    return found


def inside(widget: QWidget, window: QWidget) -> bool:
    """Whether it lies in all that it is in; up and down, what scrolls may be beyond."""
    around, scrolls = widget, False
    while around is not window:
        around = around.parentWidget()
        scrolls = scrolls or isinstance(around.parentWidget(), QAbstractScrollArea)
        here = QRect(widget.mapTo(around, QPoint()), widget.size())
        beyond = here.left() < -1 or here.right() > around.width()
        if beyond or (not scrolls and (here.top() < -1 or here.bottom() > around.height())):
            return False
    return True


def overlapping(within: QWidget) -> list[tuple[str, str]]:
    """Texts and photos that lie on one another where they can be seen."""
    places = {}
    for one in readable(within):
        seen = one.visibleRegion().boundingRect()
        if not seen.isEmpty():
            places[one] = QRect(one.mapTo(within, seen.topLeft()), seen.size())
    return [
        (text_of(a) or type(a).__name__, text_of(b) or type(b).__name__)
        for a, b in combinations(places, 2)
        if places[a].intersects(places[b]) and not a.isAncestorOf(b) and not b.isAncestorOf(a)
    ]


def wrong(qtbot, window: MainWindow, size: tuple[int, int], state: str) -> list[str]:
    """What is not as it should be in the window as it is now; ``state`` names that."""
    settle(qtbot, window)
    window.toast.hide()
    qtbot.wait(30)
    found = cut_off(window) + [f"{a} lies on {b}" for a, b in overlapping(window)]
    if (window.width(), window.height()) != size:
        found.append("pushes the window wider")
    for area in window.findChildren(QScrollArea):
        if area.isVisible() and area.widget() is not None and area.widget().width() > area.viewport().width():
            found.append("cut off at the right")
    return [f"{state}: {one}" for one in found]


def report() -> TrainReport:
    values = {"clip_s": 0.8, "r1": 40.0, "cider": 71.5, "unique_ratio": 0.9, "length": 9.5}
    results = {name: StageResult(values) for name in ("before", "stage1", "stage2")}
    made = TrainReport("run-1", None, "stage2", "Better.", results, (), 20, 4, 180, 60.0)  # type: ignore[arg-type]
    return replace(made, gates=(GateRow("fluency", "green", "As natural as before."),))


def fill(qtbot, window: MainWindow) -> None:
    """Captions, suggestions and a file that cannot be read: every place has something to show."""
    ids = [int(one) for one in window.view("library").grid.photos.ids]
    for image_id in ids[:6]:
        window.session.write(lambda service, i=image_id: service.write_seed(i, None, f"words {i}"), lambda _: None)
    settle(qtbot, window)
    long = "a large white circle on a plain wall, a little to the left of the middle, as it is often seen"
    texts = {image_id: [f"a thing of number {image_id}", long] for image_id in ids[5:]}
    scores = {text: (0.7, 2.0) for two in texts.values() for text in two}
    suggest_captions(window.session.service.path, texts, scores)
    window.session.refresh()
    settle(qtbot, window)


@pytest.mark.parametrize("factor", SIZES)
def test_nothing_is_cut_off_and_nothing_lies_on_another(qtbot, open_window, photos, letters, factor):
    letters(factor)
    (photos / "empty.jpg").write_bytes(b"")
    window = open_window()
    window.resize(*SIZES[factor][0])
    found = []
    for place in PLACES:
        window.go(place)
        found += [f"{place}, empty: {one}" for one in cut_off(window)]
    window.open_folder(photos)
    settle(qtbot, window)
    assert window.view("library").grid.photos.rowCount() == 8
    window.messages.clear()
    fill(qtbot, window)
    for size in SIZES[factor]:
        window.resize(*size)
        for state in states(window):
            found += wrong(qtbot, window, size, state)
    assert not found, "\n".join(found)


def states(window: MainWindow) -> Iterator[str]:
    """Brings the window into one state after the other."""
    for place in PLACES:
        window.go(place)
        yield place
    window.view("deliver").more.set_open(True)
    yield "deliver, more"
    window.go("review")
    window.view("review").edit()
    yield "review, editing"
    window.view("review").editor.escaped.emit()
    window.go("library")
    library = window.view("library")
    for part in (library.show_failed, library.show_folders):
        part(True)
        yield f"library, {part.__name__}"
        part(False)
    window.go("train")
    train = window.view("train")
    train.options.more.set_open(True)
    yield "train, more"
    train.options.more.set_open(False)
    train.running.begin("4 to 9 minutes")
    train.show_partials([StageStarted(1, 60), MetricRow(1, 1, loss=1.0), MetricRow(1, 2, loss=0.5)])
    train._show_state("running")
    yield "train, running"
    train.show_result(report())
    yield "train, done"
    train._show_state("idle")


def test_nothing_is_cut_off_in_a_dialog(qtbot, open_window, letters, tmp_path):
    letters(2.0)
    window = open_window()
    actions = window.actions_table
    for dialog in (
        SettingsDialog(window.preferences, actions, window.set_theme, ModelsPart(window.session, window.hub), window),
        ShortcutsDialog(actions, window),
        LogDialog(tmp_path / "log.txt", window),
        RewriteDialog(window.session, actions, window),
    ):
        dialog.show()
        qtbot.wait(30)
        assert dialog.minimumSizeHint().width() <= 1024 and dialog.minimumSizeHint().height() <= 700, dialog
        assert not cut_off(dialog), f"{type(dialog).__name__}: {cut_off(dialog)}"
        dialog.close()


def test_the_places_are_icons_where_the_window_is_narrow_for_its_letters(qtbot, open_window, letters):
    letters(1.0)
    window = open_window()
    window.resize(1024, 700)
    named = window.rail.width()
    assert window.rail.library_name.isVisible()
    window.resize(*SMALLEST)
    qtbot.waitUntil(lambda: window.rail.width() < named / 2)
    assert not window.rail.library_name.isVisible()
    seed = window.rail.buttons["seed"]
    assert "Seed" in seed.accessibleName() and seed.toolTip(), "it is still told what the icon is"
    window.resize(1024, 700)
    qtbot.waitUntil(lambda: window.rail.width() == named)


@pytest.fixture
def flow(qtbot) -> tuple[QWidget, list[QWidget]]:
    page = QWidget()
    qtbot.addWidget(page)
    parts = [label("Some words that are wrapped where they must be", wrap=True), button("One"), button("Two")]
    for one in parts[1:]:
        one.setFixedSize(100, 30)
    page.setLayout(Flow(spacing=10).put(parts[0], least=200, stretch=1).put(None, *parts[1:]))
    page.resize(500, 200)
    page.show()
    return page, parts


def test_parts_of_a_row_share_it_and_stand_below_one_another_where_it_is_narrow(qtbot, flow):
    page, parts = flow
    tops = {one.geometry().center().y() for one in parts}
    assert max(tops) - min(tops) <= 1, "one row"
    assert parts[0].width() >= 200 and parts[2].geometry().right() <= 500
    page.resize(320, 200)
    qtbot.waitUntil(lambda: parts[2].y() > parts[0].geometry().bottom())
    page.resize(110, 300)
    qtbot.waitUntil(lambda: parts[2].y() >= parts[1].geometry().bottom())
    assert page.layout().minimumSize().width() == 100, "the widest part that does not give way"
    assert page.heightForWidth(110) > page.heightForWidth(320) > page.heightForWidth(500)


def test_a_hidden_part_takes_no_room(qtbot, flow):
    page, parts = flow
    wide = page.sizeHint().width()
    parts[1].hide()
    qtbot.waitUntil(lambda: page.sizeHint().width() == wide - 110)


class Counting(QSpacerItem):
    """Room of 100 px; counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__(100, 20)
        self.asked = 0

    def sizeHint(self) -> QSize:
        self.asked += 1
        return super().sizeHint()


def test_flows_within_flows_measure_their_parts_once_until_something_changes(qtbot):
    page, part, counted = QWidget(), button("Short"), Counting()
    qtbot.addWidget(page)
    flow = Flow(spacing=0).put(part)
    flow.addItem(counted)
    for _ in range(4):
        flow = Flow(spacing=0).put(flow)
    page.setLayout(flow)
    page.resize(300, 100)
    page.show()
    assert 0 < counted.asked < 20, "each of the flows that asked anew would double it"
    part.setText("Longer than before " * 3)
    qtbot.waitUntil(lambda: part.width() > 150)
