"""From a folder to delivered captions in the real window: real jobs in worker processes, tiny models, no display."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library import queries
from core.library.library import Library
from core.training.messages import TrainReport
from tests.gui.conftest import open_window, settle  # noqa: F401 - a fixture
from tests.tiny import SENTENCES

WAIT = 180_000
CTRL = Qt.KeyboardModifier.ControlModifier
FEW_STEPS = {
    "stage1.steps": 6,
    "stage1.minimum_steps": 2,
    "stage1.fresh_steps": 0,
    "stage1.evaluate_every": 3,
    "stage2.steps": 4,
    "stage2.photos": 4,
    "stage2.samples": 2,
    "stage2.evaluate_every": 2,
}


@pytest.fixture
def scenes(tmp_path):
    from core.starter.scenes_library import write_sample_library

    folder = tmp_path / "scenes"
    write_sample_library(folder, 14, size=64, seed=11)
    return folder


@pytest.fixture
def window(qtbot, open_window, tiny_starter, scenes, request, monkeypatch):  # noqa: F811
    """Jobs run in threads (torch is imported once), but for the journey, which is as the app is started on a machine
    without a graphics card."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = open_window(scenes, in_process=request.node.name != "test_from_a_folder_to_text_files")
    made.go("seed")
    settle(qtbot, made)
    return made


def write_captions(qtbot, window, number: int) -> None:
    seed = window.view("seed")
    for at in range(number):
        QTest.keyClicks(seed.editor, f"{SENTENCES[at % len(SENTENCES)]} {at}")
        QTest.keyClick(seed.editor, Qt.Key.Key_Return, CTRL)
        settle(qtbot, window)
    assert window.session.overview.counts.seeds == number


def test_from_a_folder_to_text_files(qtbot, window, scenes):
    write_captions(qtbot, window, 6)
    window.go("train")
    train = window.view("train")
    train.overrides = FEW_STEPS
    reports: list[TrainReport] = []
    QTest.keyClick(train, Qt.Key.Key_Return, CTRL)
    assert train.running.isVisible() and train._job is not None
    train._job.finished.connect(reports.append)
    qtbot.waitUntil(lambda: train._job is None, timeout=WAIT)
    assert reports, window.messages.message
    assert train.verdict.isVisible() and train.kept.text() and train.because.text()
    assert [x for x, _ in train.loss.points], "the curve has grown"
    assert any(tile.caption for tile in train.samples.tiles)
    settle(qtbot, window)
    assert (window.session.overview.run_id is None) == (reports[0].kept == "before")

    window.go("deliver")
    deliver = window.view("deliver")
    settle(qtbot, window)
    assert "8 photos" in deliver.left_to_do.text()
    deliver.begin()
    qtbot.waitUntil(lambda: deliver._job is None, timeout=WAIT)
    assert "8 photos captioned" in deliver.result.text(), window.messages.message
    settle(qtbot, window)
    assert window.session.overview.to_review == 8

    window.go("review")
    settle(qtbot, window)
    review = window.view("review")
    first = review.model.caption(0)
    assert first.score is not None and first.score.gallery_size > 1
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Return, CTRL)
    settle(qtbot, window)
    assert window.session.overview.to_review == 7

    window.go("deliver")
    settle(qtbot, window)
    assert deliver.exporting.preview.rowCount() == 7
    deliver.exporting.run_export()
    qtbot.waitUntil(lambda: window.session.light.current is None, timeout=WAIT)
    assert len(list(scenes.glob("*.txt"))) == 7
    with Library.open(window.session.service.path) as library:
        accepted = next(iter(queries.image_rows(library, [first.image_id])))
    assert accepted.path.with_suffix(".txt").read_text("utf-8").strip() == " ".join(first.text.split())
    assert "onnxruntime" not in set(sys.modules) - ALREADY, "the work was done elsewhere"


def test_search_and_suggest(qtbot, window):
    seed, library = window.view("seed"), window.view("library")
    seed.suggest()
    qtbot.waitUntil(lambda: seed.strip.photos.rowCount() == 14, timeout=WAIT)  # all: twenty make a good beginning
    settle(qtbot, window)
    assert seed.current_id == seed.strip.photos.id_at(0)
    window.go("library")
    library.search_box.setText(SENTENCES[0])
    library.search()
    qtbot.waitUntil(lambda: library._query.found is not None, timeout=WAIT)
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == list(library._query.found)
    assert library.sort.currentText() == "Best match first"
    library.search_box.clear()
    settle(qtbot, window)
    assert library.sort.currentText() == "By file name"
    assert library.grid.photos.rowCount() == 14


def test_cancelled_training_changes_nothing_and_can_go_on(qtbot, window):
    write_captions(qtbot, window, 6)
    window.go("train")
    train = window.view("train")
    train.overrides = {**FEW_STEPS, "stage1.steps": 5_000, "stage1.minimum_steps": 5_000, "stage1.patience": 5_000}
    train.begin()
    qtbot.waitUntil(lambda: len(train.loss.points) > 3 or train._job is None, timeout=WAIT)
    assert train._job is not None, window.messages.message
    train.cancel()
    assert not train.stop.isEnabled()
    qtbot.waitUntil(lambda: train._job is None, timeout=10_000)
    settle(qtbot, window)
    assert window.session.overview.run_id is None
    assert train.idle.isVisible() and train.go_on.isVisible()
    assert "has not changed" in window.toast.message


ALREADY = set(sys.modules)
