"""What goes wrong while a person works, in the real window: nothing is lost, and words say what to do."""

from __future__ import annotations

import errno

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.batch import pipeline
from core.exchange import files
from core.images.decode import ImageError
from core.library import queries
from core.library.library import Library
from tests.e2e.test_window_journey import FEW_STEPS, WAIT, write_captions
from tests.gui.conftest import close, open_window, seed_texts, settle  # noqa: F401 - a fixture

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def scenes(tmp_path):
    from core.starter.scenes_library import write_sample_library

    folder = tmp_path / "scenes"
    write_sample_library(folder, 12, size=64, seed=11)
    return folder


@pytest.fixture
def window(qtbot, open_window, outlined_starter, scenes):  # noqa: F811
    made = open_window(scenes)
    made.go("seed")
    settle(qtbot, made)
    return made


def export(qtbot, window, format: str):
    """As a person does: choose the format, look, press the button."""
    window.go("deliver")
    panel = window.view("deliver").exporting
    panel.format.setCurrentIndex(panel.format.findData(format))
    settle(qtbot, window)
    panel.export.click()
    settle(qtbot, window)
    return panel


def test_closed_in_the_middle_of_a_training_it_goes_on_where_it_was(qtbot, window, open_window, scenes):  # noqa: F811
    write_captions(qtbot, window, 6)
    window.go("train")
    train = window.view("train")
    endless = {"stage1.steps": 5_000, "stage1.folds": 0, "stage1.minimum_steps": 5_000, "stage1.patience": 5_000}
    train.overrides = {**FEW_STEPS, **endless}
    QTest.keyClick(train, Qt.Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: len(train.loss.points) > 3 or train._job is None, timeout=WAIT)
    assert train._job is not None, window.messages.message
    drawn = list(train.loss.points)
    close(qtbot, window)

    again = open_window(scenes)
    settle(qtbot, again)
    again.go("train")
    train = again.view("train")
    settle(qtbot, again)
    assert again.session.overview.counts.seeds == 6 and again.session.overview.run_id is None
    stopped = again.session.overview.stopped
    assert stopped is not None and stopped.overrides["stage1.steps"] == 5_000
    assert train.go_on.isVisible()
    train.go_on.click()
    shown = len(train.loss.points)
    assert train.loss.points[: len(drawn)] == drawn, "what was drawn before stays"
    qtbot.waitUntil(lambda: len(train.loss.points) > shown or train._job is None, timeout=WAIT)
    assert train._job is not None, again.messages.message
    steps = [step for step, _ in train.loss.points]
    assert steps == sorted(set(steps)), "it began anew"


def test_a_full_disk_at_export_keeps_what_was_there_and_says_so(qtbot, window, scenes, monkeypatch):
    write_captions(qtbot, window, 5)
    real, made = files.open_beside, []

    def full_after_two(path):
        if path.suffix == ".txt":
            made.append(path)
            if len(made) > 2:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path)

    monkeypatch.setattr(files, "open_beside", full_after_two)
    panel = export(qtbot, window, "txt")
    said = window.messages.accessibleName()
    assert "full" in said or "No space" in said, said
    assert not list(scenes.glob(".seedcap-*")), "half a file was left behind"
    written = sorted(scenes.glob("*.txt"))
    assert len(written) <= 2 and all(path.read_text("utf-8").strip() for path in written)
    assert panel.undo.isEnabled() or not written, "what was written can be taken back"
    monkeypatch.undo()
    export(qtbot, window, "txt")
    assert len(list(scenes.glob("*.txt"))) == 5
    assert sum(map(len, seed_texts(window.session.service.path).values())) == 5


def test_one_photo_that_fails_is_named_and_tried_again(qtbot, window, monkeypatch):
    write_captions(qtbot, window, 2)
    window.go("deliver")
    deliver = window.view("deliver")
    settle(qtbot, window)
    with Library.open(window.session.service.path) as library:
        seeded = {seed.image_id for seed in queries.seeds(library)}
        victim = next(row for row in queries.images_of(library) if row.id not in seeded)
    real = pipeline.load_square

    def load(path, spec):
        if path == victim.path:
            raise ImageError("The photo ends in the middle.")
        return real(path, spec)

    monkeypatch.setattr(pipeline, "load_square", load)
    QTest.mouseClick(deliver.caption, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: deliver._job is None, timeout=WAIT)
    settle(qtbot, window)
    assert "9 photos captioned" in deliver.result.text() and "1 photo could not" in deliver.result.text()
    assert victim.path.name in deliver.failures.item(0).text()
    monkeypatch.undo()
    QTest.mouseClick(deliver.retry, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: deliver._job is None, timeout=WAIT)
    settle(qtbot, window)
    assert "1 photo captioned" in deliver.result.text()
    assert window.session.overview.uncaptioned == 0
