"""From an empty window to delivered captions, by keyboard and mouse alone: real jobs in worker processes, tiny models,
no display."""

from __future__ import annotations

import json
import sys
from textwrap import dedent

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from core.library import queries
from core.library.library import Library
from core.starter.scenes_library import write_sample_library
from core.training.messages import TrainReport
from gui.services import sample_folder
from tests.gui.conftest import open_window, settle  # noqa: F401 - a fixture
from tests.tiny import SENTENCES

WAIT = 180_000
PHOTOS, WRITTEN = 14, 6
CTRL = Qt.KeyboardModifier.ControlModifier
FEW_STEPS = {
    "stage1.steps": 6,
    "stage1.folds": 0,
    "stage1.minimum_steps": 2,
    "stage1.fresh_steps": 0,
    "stage1.evaluate_every": 3,
    "stage2.steps": 4,
    "stage2.photos": 4,
    "stage2.samples": 2,
    "stage2.evaluate_every": 2,
}
PLACES = {"library": "1", "seed": "2", "train": "3", "review": "4", "deliver": "5"}
BROKEN_CARD = """
    def claim():
        import torch

        def fail():
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

        torch.cuda.is_available = lambda: True
        torch.cuda.device_count = lambda: 1
        torch.cuda.get_device_name = lambda at=0: "An old card"
        torch.cuda.mem_get_info = lambda at=0: (8_000_000_000, 8_000_000_000)
        torch.cuda._lazy_init = fail
        torch.accelerator.is_available = lambda *_, **__: False  # or optimisers of the processor's ask the card, too
"""


@pytest.fixture
def card_that_fails(tmp_path, monkeypatch):
    """In worker processes torch claims a graphics card, which fails when it is first used: torch itself loads what
    says that it is an extension of it."""
    folder = tmp_path / "extension"
    (folder / "broken_card-1.dist-info").mkdir(parents=True)
    (folder / "broken_card.py").write_text(dedent(BROKEN_CARD), "utf-8")
    (folder / "broken_card-1.dist-info" / "METADATA").write_text("Name: broken-card\nVersion: 1\n", "utf-8")
    (folder / "broken_card-1.dist-info" / "entry_points.txt").write_text(
        "[torch.backends]\nbroken_card = broken_card:claim\n", "utf-8"
    )
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def window(qtbot, open_window, tiny_starter, tmp_path):  # noqa: F811
    """On scenes, with jobs in threads: torch is imported once."""
    write_sample_library(tmp_path / "scenes", PHOTOS, size=64, seed=11)
    made = open_window(tmp_path / "scenes")
    go(qtbot, made, "seed")
    return made


def press(window, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """A key, where the focus is."""
    QTest.keyClick(window.focusWidget() or window, key, modifier)


def click(button: QPushButton) -> None:
    assert button.isVisible() and button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def go(qtbot, window, place: str):
    press(window, Qt.Key(ord(PLACES[place])), CTRL)
    assert window.place == place
    settle(qtbot, window)
    return window.view(place)


def write_captions(qtbot, window, number: int) -> None:
    seed = window.view("seed")
    for at in range(number):
        assert window.focusWidget() is seed.editor
        QTest.keyClicks(seed.editor, f"{SENTENCES[at % len(SENTENCES)]} {at}")
        press(window, Qt.Key.Key_Return)
        settle(qtbot, window)
    assert window.session.overview.counts.seeds == number


def test_from_an_empty_window_to_captions_in_three_formats(
    qtbot,
    open_window,  # noqa: F811
    tiny_starter,
    card_that_fails,
):
    write_sample_library(sample_folder(), PHOTOS, size=64, seed=11)  # few: painting all of them takes long
    window = open_window(in_process=False)
    texts = [one for one in window.view("library").findChildren(QPushButton) if "sample scenes" in one.text()]
    click(texts[0])
    qtbot.waitUntil(lambda: bool((now := window.session.overview) and now.counts.photos == PHOTOS), timeout=WAIT)
    settle(qtbot, window)

    go(qtbot, window, "seed")
    write_captions(qtbot, window, WRITTEN)
    report = learn(qtbot, window)
    assert [note for note in report.notes if "graphics card 0 cannot be used: CUDA error: no kernel" in note]
    assert "The processor trains instead" in window.view("train").because.text()
    caption(qtbot, window)
    accepted = review_one(qtbot, window)
    written = deliver_all(qtbot, window)
    assert accepted in written and len(written) == WRITTEN + 1
    assert "onnxruntime" not in set(sys.modules) - ALREADY, "the work was done elsewhere"


def learn(qtbot, window) -> TrainReport:
    train = go(qtbot, window, "train")
    train.overrides = FEW_STEPS  # of a tiny model; as it is set, a training takes minutes
    reports: list[TrainReport] = []
    press(window, Qt.Key.Key_Return, CTRL)
    assert train.running.isVisible() and train._job is not None
    train._job.finished.connect(reports.append)
    qtbot.waitUntil(lambda: train._job is None, timeout=WAIT)
    assert reports, window.messages.message
    assert train.verdict.isVisible() and train.kept.text() and train.because.text()
    assert [x for x, _ in train.loss.points], "the curve has grown"
    assert any(tile.caption for tile in train.samples.tiles)
    settle(qtbot, window)
    assert (window.session.overview.run_id is None) == (reports[0].kept == "before")
    return reports[0]


def caption(qtbot, window) -> None:
    deliver = go(qtbot, window, "deliver")
    assert f"{PHOTOS - WRITTEN} photos" in deliver.left_to_do.text()
    click(deliver.caption)
    qtbot.waitUntil(lambda: deliver._job is None, timeout=WAIT)
    assert f"{PHOTOS - WRITTEN} photos captioned" in deliver.result.text(), window.messages.message
    settle(qtbot, window)
    assert window.session.overview.to_review == PHOTOS - WRITTEN


def review_one(qtbot, window) -> str:
    review = go(qtbot, window, "review")
    first = review.model.caption(0)
    assert first.score is not None and first.score.gallery_size > 1
    press(window, Qt.Key.Key_Return, CTRL)
    settle(qtbot, window)
    assert window.session.overview.to_review == PHOTOS - WRITTEN - 1
    return " ".join(first.text.split())


def deliver_all(qtbot, window) -> set[str]:
    """Text files, then JSON Lines, then XMP; returns the captions, which all of them hold."""
    panel = go(qtbot, window, "deliver").exporting
    for kind in ("txt", "jsonl", "xmp"):
        panel.format.setFocus()
        while panel.format.currentData() != kind:
            press(window, Qt.Key.Key_Down)
        settle(qtbot, window)
        click(panel.export)
        qtbot.waitUntil(lambda: window.session.light.current is None, timeout=WAIT)
        settle(qtbot, window)
    folder = sample_folder()
    with Library.open(window.session.service.path) as library:
        said = queries.all_captions(library, states=("accepted",))
        rows = {row.id: row.path for row in queries.image_rows(library, list(said))}
    texts = {rows[one]: " ".join(captions[0].text.split()) for one, captions in said.items()}
    assert {path: path.with_suffix(".txt").read_text("utf-8").strip() for path in texts} == texts
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert sorted(line["text"] for line in lines) == sorted(texts.values())
    assert all(text in path.with_name(f"{path.name}.xmp").read_text("utf-8") for path, text in texts.items())
    assert len(list(folder.glob("*.txt"))) == len(list(folder.glob("*.xmp"))) == len(texts)
    return set(texts.values())


def test_search_and_suggest(qtbot, window):
    seed, library = window.view("seed"), window.view("library")
    click(seed.suggest_button)
    qtbot.waitUntil(lambda: seed.strip.photos.rowCount() == PHOTOS, timeout=WAIT)  # twenty make a good beginning
    settle(qtbot, window)
    assert seed.current_id == seed.strip.photos.id_at(0)
    go(qtbot, window, "library")
    press(window, Qt.Key.Key_K, CTRL)
    assert window.focusWidget() is library.search_box
    QTest.keyClicks(library.search_box, SENTENCES[0])
    press(window, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: library._query.found is not None, timeout=WAIT)
    settle(qtbot, window)
    assert library.grid.photos.ids.tolist() == list(library._query.found)
    assert library.sort.currentText() == "Best match first"
    library.search_box.setFocus()
    press(window, Qt.Key.Key_A, CTRL)
    press(window, Qt.Key.Key_Backspace)
    settle(qtbot, window)
    assert library.sort.currentText() == "By file name"
    assert library.grid.photos.rowCount() == PHOTOS


def test_cancelled_training_changes_nothing_and_can_go_on(qtbot, window):
    write_captions(qtbot, window, WRITTEN)
    train = go(qtbot, window, "train")
    train.overrides = {**FEW_STEPS, "stage1.steps": 5_000, "stage1.minimum_steps": 5_000, "stage1.patience": 5_000}
    press(window, Qt.Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: len(train.loss.points) > 3 or train._job is None, timeout=WAIT)
    assert train._job is not None, window.messages.message
    click(train.stop)
    assert not train.stop.isEnabled()
    qtbot.waitUntil(lambda: train._job is None, timeout=10_000)
    settle(qtbot, window)
    assert window.session.overview.run_id is None
    assert train.idle.isVisible() and train.go_on.isVisible()
    assert "has not changed" in window.toast.message


ALREADY = set(sys.modules)
