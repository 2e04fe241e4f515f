"""Train: trainings side by side, what stands behind More, and pausing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PySide6.QtCore import QProcess, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QScrollArea

from core.devices import Device
from core.known_models import known_models
from core.library.library import Library
from core.library.runs import CANCELLED, DONE, FAILED, INTERRUPTED, create_run, current_run, set_current_run, update_run
from core.training.messages import TrainRequest
from core.training.presets import PRESETS
from core.training.runfolder import RunFolder
from gui import device_list, methods, train_words, words
from gui.history import RunLine
from gui.widgets import history as history_widget
from gui.widgets.model_choice import ModelChoice
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, settle

BEFORE, AFTER = {"cider": 20.0, "r1": 30.0}, {"cider": 61.25, "r1": 48.4}


def write_run(library: Library, kept: str, *, preset: str = "recommended", status: str = DONE) -> str:
    """A training as ``train`` leaves it."""
    run = create_run(library, preset, {})
    folder = RunFolder(run.folder)
    folder.write_config({"data": {"seeds": 20, "held_out_seeds": 5}})
    if status == DONE:
        results = {"before": {"values": BEFORE}, kept: {"values": AFTER if kept != "before" else BEFORE}}
        folder.write_report({"kept": kept, "start": "starter", "results": results})
        (run.folder / kept).mkdir(exist_ok=True)
    update_run(library, run.id, status=status)
    return run.id


@pytest.fixture
def train(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("train")
    settle(qtbot, window)
    return window.view("train")


def shown(train) -> list[list[str]]:
    table = train.history.table
    return [[table.item(at, place).text() for place in range(7)] for at in range(table.rowCount())]


def read_again(qtbot, train) -> None:
    train._history_of = ()
    train._session.refresh()
    settle(qtbot, train.window())


def test_a_library_without_trainings_shows_no_empty_table(train):
    assert train.history.isHidden()


def test_trainings_are_shown_side_by_side_with_what_they_brought(qtbot, train):
    with Library.open(train._session.service.path) as library:
        write_run(library, "before", preset="two-stage")
        newest = write_run(library, "stage2")
        set_current_run(library, newest)
    read_again(qtbot, train)
    rows = sorted(shown(train)[:2], key=lambda row: row[1])
    assert [row[1:3] for row in rows] == [["Recommended", "25"], ["Two stages, similarity alone", "25"]]
    assert rows[0][4:] == ["In use", "20.0 → 61.2", "30% → 48%"]
    assert rows[1][4:] == ["No better", "20.0", "30%"]
    assert shown(train)[2][1] == "Starter model"
    assert "a few seconds" in train.options.about_preset.text(), "how long it took here"


def test_each_method_has_a_short_title_that_is_translated_as_a_whole(monkeypatch):
    """Colons are not the same in all languages, so none is cut at."""

    def backwards(_context, text, *_):
        return text[::-1]

    monkeypatch.setattr(words, "QCoreApplication", SimpleNamespace(translate=backwards))
    titles = {name: history_widget._texts(RunLine("1", name, created_at=None))[1] for name in PRESETS}
    assert titles["recommended"] == "dednemmoceR"
    assert len(set(titles.values())) == len(PRESETS) and not set(titles.values()) & set(PRESETS)
    assert history_widget._texts(RunLine("1", "a-preset-of-old"))[1] == "a-preset-of-old"


def test_any_model_that_is_there_can_be_taken_again_by_keyboard(qtbot, train):
    with Library.open(train._session.service.path) as library:
        new = write_run(library, "stage1")
        set_current_run(library, new)
    read_again(qtbot, train)
    history = train.history
    assert not history.take.isEnabled() and "in use" in history.take.toolTip()
    history.table.setFocus()
    QTest.keyClick(history.table, Qt.Key.Key_Down)
    assert history.take.isEnabled()
    history.take.setFocus()
    QTest.keyClick(history.take, Qt.Key.Key_Space)
    settle(qtbot, train.window())
    with Library.open(train._session.service.path) as library:
        assert current_run(library) is None
    assert [row[4] for row in shown(train)] == ["New model", "In use"]


def test_a_training_that_left_no_model_cannot_be_taken(qtbot, train):
    with Library.open(train._session.service.path) as library:
        write_run(library, "before")
    read_again(qtbot, train)
    train.history.table.setCurrentCell(0, 0)
    assert not train.history.take.isEnabled() and "no model" in train.history.take.toolTip()


def test_the_page_of_any_training_opens_from_its_row(qtbot, train, monkeypatch):
    opened = []
    monkeypatch.setattr(train, "_show_page", opened.append)
    train.history.report.connect(opened.append)
    with Library.open(train._session.service.path) as library:
        page = library.runs_dir / write_run(library, "stage1") / "report.html"
        page.write_text("<p>")
    read_again(qtbot, train)
    train.history.table.setCurrentCell(0, 0)
    train.history.open.click()
    assert opened and set(opened) == {page}
    train.history.table.setCurrentCell(1, 0)
    assert not train.history.open.isEnabled()


@pytest.mark.parametrize("said", ["{", json.dumps([]), json.dumps({"kept": "stage1", "start": "x", "results": [1]})])
def test_a_damaged_report_costs_its_figures_alone(qtbot, train, said):
    with Library.open(train._session.service.path) as library:
        run_id = write_run(library, "stage1")
        (library.runs_dir / run_id / "report.json").write_text(said)
        (library.runs_dir / run_id / "config.toml").write_text("= no toml")
    read_again(qtbot, train)
    assert shown(train)[0][5:] == ["", ""] and shown(train)[0][2] == ""


def test_how_a_training_ended_is_told_in_a_word(qtbot, train):
    with Library.open(train._session.service.path) as library:
        for status in (CANCELLED, INTERRUPTED, FAILED):
            write_run(library, "", status=status)
    train._session.write(lambda service: service.history(), lambda lines: lines_of.extend(lines))
    lines_of: list = []
    settle(qtbot, train.window())
    words = {line.status: history_widget.outcome(line) for line in lines_of if line.run_id}
    assert words["failed"] == "Failed"
    newest = next(line for line in lines_of if line.newest)
    told = {"cancelled": "Paused", "interrupted": "Interrupted", "failed": "Failed"}
    assert history_widget.outcome(newest) == told[newest.status]
    older = [line for line in lines_of if line.run_id and not line.newest and line.status != "failed"]
    assert {history_widget.outcome(line) for line in older} == {"Stopped"}, "they cannot be gone on with any more"


def test_every_method_and_model_says_what_it_does_and_costs():
    told = [methods.method(name) for name in PRESETS]
    told += [methods.model(one.kind, one.name) for one in known_models()]
    assert all(one.sentence.endswith(".") and one.cost.endswith(".") for one in told)
    assert methods.OWN in methods.models("encoder") and methods.OWN in methods.models("language_model")


def test_what_is_chosen_behind_more_is_what_is_trained(qtbot, train, tmp_path):
    options = train.options
    library = train._session.service.path
    assert options.request(library, {}) == TrainRequest(library)
    options.more.set_open(True)
    options.encoder.box.setCurrentIndex(1)
    options.lm.box.setCurrentIndex(options.lm.box.count() - 1)
    assert options.lm.other.isVisible() and options.lm.value == "starter", "not named yet"
    QTest.keyClicks(options.lm.other, " dir:/models/lm ")
    options.minutes.setCurrentIndex(options.minutes.findData(15.0))
    file = tmp_path / "words.txt"
    options.choose_text.click()
    train.findChild(QFileDialog).fileSelected.emit(str(file))
    asked = options.request(library, {"stage1.steps": 3})
    assert (asked.encoder, asked.lm) == (options.encoder.box.itemData(1), "dir:/models/lm")
    assert (asked.text_file, asked.limit_minutes, asked.overrides) == (file, 15.0, {"stage1.steps": 3})
    for dialog in train.findChildren(QFileDialog):
        dialog.close()


def test_sentences_are_given_only_to_methods_that_read_them(train):
    options = train.options
    options.set_text_file(Path("words.txt"))
    options.preset.setCurrentIndex(options.preset.findData("clipcap-mlp"))
    assert not options.choose_text.isEnabled() and "alone" in options.about_text.text()
    assert options.request(Path("lib"), {}).text_file is None
    options.preset.setCurrentIndex(options.preset.findData("capdec"))
    assert options.request(Path("lib"), {}).text_file == Path("words.txt")


def test_no_time_is_promised_for_models_whose_time_is_not_known(qtbot, train):
    ids = train.window().view("library").grid.photos.ids
    for image_id in ids[:6]:
        train._session.write(lambda service, i=int(image_id): service.write_seed(i, None, f"words {i}"), lambda _: None)
    train._session.after_writes(train._session.refresh)
    settle(qtbot, train.window())
    assert "minutes" in train.estimate.text()
    train.options.lm.box.setCurrentIndex(1)
    assert "minutes" not in train.estimate.text() and "depends on the models" in train.estimate.text()


def test_a_model_choice_speaks_of_what_is_chosen(qtbot):
    choice = ModelChoice("encoder", "Encoder")
    qtbot.addWidget(choice)
    first = choice.about.text()
    choice.box.setCurrentIndex(choice.box.findData("open_clip:ViT-B-32/laion2b_s34b_b79k"))
    assert "605 MB" in choice.about.text() and choice.about.text() != first


def test_pausing_says_so_and_offers_to_go_on(qtbot, train):
    session = train._session
    with Library.open(session.service.path) as library:
        create_run(library, "recommended", {"request": {}})
    train.watch(session.start(session.heavy, toy_jobs.endless, None, title="Training", kind="train"))
    assert train.stop.text().strip() == "Pause"
    train.window().go("library")
    assert train.window().job_bar.stop.text().strip() == "Pause"
    train.window().go("train")
    train.stop.click()
    said = []
    session.said.connect(said.append)
    qtbot.waitUntil(lambda: bool(said), timeout=WAIT)
    assert "paused" in said[0]
    settle(qtbot, train.window())
    assert session.overview.stopped is not None and shown(train)[0][4] == "Interrupted"


def test_the_page_scrolls_no_further_than_what_is_on_it(qtbot, train):
    train.options.more.set_open(True)
    train.window().resize(1180, 740)
    settle(qtbot, train.window())
    page = train.findChild(QScrollArea).widget()
    height = page.heightForWidth(page.width())
    assert page.minimumSizeHint().height() <= height, "it would scroll through room that nothing is in"


def test_on_the_battery_a_long_training_waits_for_a_second_press(train, monkeypatch):
    begun: list[object] = []
    monkeypatch.setattr(train._session, "start", lambda _runner, _job, request, **_: begun.append(request))
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(percent=40, power_plugged=False), raising=False
    )
    known = lambda _here, request, _photos: (60.0, 300.0) if request.lm == methods.OWN else None  # noqa: E731
    monkeypatch.setattr(train_words, "expected", known)
    train.begin()
    assert len(begun) == 1, "where it is known not to take long nobody asks"
    train.options.lm.box.setCurrentIndex(1)
    train.begin()
    assert len(begun) == 1 and "on its battery (40%)" in train.estimate.text()
    train.begin()
    assert len(begun) == 2
    train.begin()
    assert len(begun) == 2, "the next training is asked about anew"
    train.options.minutes.setCurrentIndex(1)
    assert train.options.minutes.currentData() < 10
    train._asked = False
    train.begin()
    assert len(begun) == 3


CARDS = [Device("cuda:0", "Small card", 8_000_000_000, 7_600_000_000), Device("cuda:1", "Large card", None, None)]
PROCESSOR = Device("cpu", "Chip", 16_000_000_000, 9_000_000_000)


def in_place_of_torch(monkeypatch, code: str) -> None:
    monkeypatch.setattr(device_list, "module_command", lambda _module: [sys.executable, "-I", "-S", "-c", code])


def test_with_several_devices_one_can_be_chosen(qtbot, train, tmp_path, monkeypatch):
    said = json.dumps([asdict(one) for one in (*CARDS, PROCESSOR)])
    in_place_of_torch(monkeypatch, f"print({said!r})")
    options = train.options
    with qtbot.waitSignal(options.device_list.found, timeout=WAIT):
        qtbot.mouseClick(options.more.toggle, Qt.MouseButton.LeftButton)
    box = options.device.box
    assert box.isVisible() and options.request(tmp_path, {}).device == "auto"
    titles = ["Whatever is fastest", "Small card: 8 of 8 GB free", "Large card", "Processor: Chip"]
    assert [box.itemText(at) for at in range(box.count())] == titles
    QTest.keyClick(box, Qt.Key.Key_Down)
    assert options.request(tmp_path, {}).device == "cuda:0"


@pytest.mark.parametrize(
    "code", [f"print({json.dumps([asdict(PROCESSOR)])!r})", "print('oops')", "raise SystemExit(1)"]
)
def test_with_a_single_device_there_is_nothing_to_choose(qtbot, train, tmp_path, monkeypatch, code):
    in_place_of_torch(monkeypatch, code)
    options = train.options
    qtbot.mouseClick(options.more.toggle, Qt.MouseButton.LeftButton)
    process = options.device_list.findChild(QProcess)
    qtbot.waitUntil(lambda: process.state() == QProcess.ProcessState.NotRunning, timeout=WAIT)
    assert options.preset.isVisible() and not options.device.box.isVisible()
    assert options.request(tmp_path, {}).device == "auto"


def test_who_leaves_does_not_wait_for_the_answer(qtbot, train, monkeypatch):
    in_place_of_torch(monkeypatch, "import time; time.sleep(600)")
    options = train.options
    qtbot.mouseClick(options.more.toggle, Qt.MouseButton.LeftButton)
    process = options.device_list.findChild(QProcess)
    qtbot.waitUntil(lambda: process.state() == QProcess.ProcessState.Running, timeout=WAIT)
    options.device_list.stop()
    assert process.state() == QProcess.ProcessState.NotRunning
