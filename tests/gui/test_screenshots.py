"""The script that takes the pictures gets through every place and state, here without taking them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from gui.widgets.nav import PLACES
from tests.gui.conftest import settle

DOCS = Path(__file__).parents[2] / "docs"
STEPS = {
    "stage1.steps": 4,
    "stage1.folds": 0,
    "stage1.minimum_steps": 2,
    "stage1.fresh_steps": 0,
    "stage2.steps": 2,
    "stage2.photos": 4,
}


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


class Noting:
    """A Photographer whose pictures are names."""

    def __init__(self, qtbot, window) -> None:
        self.window, self.taken = window, []
        self._qtbot = qtbot

    def wait(self, condition, seconds: float = 600.0) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=1000 * int(seconds))

    def rest(self, seconds: float = 0.0) -> None:
        self._qtbot.wait(10)

    def settle(self) -> None:
        settle(self._qtbot, self.window)

    def take(self, name: str, of=None) -> None:
        self.taken.append(name)


def test_every_place_is_taken_in_every_state(qtbot, open_window, outlined_starter, docs, tmp_path):
    from screenshots_states import STATES, Scenes, states

    at = Noting(qtbot, open_window())
    states(at, tmp_path, Scenes(14, 64, STEPS))
    assert {f"{place}-{state}" for place in PLACES for state in STATES} <= set(at.taken)
    assert len(STATES) == 4 and len(set(at.taken)) == len(at.taken)


@pytest.mark.parametrize("options", [["--quick"], ["--quick", "--all", "--out", str(DOCS / "images")]])
def test_pictures_of_a_few_steps_never_become_those_of_the_pages(docs, monkeypatch, capsys, options):
    import screenshots

    began = time.time()
    monkeypatch.setattr(sys, "argv", ["screenshots.py", *options])
    with pytest.raises(SystemExit):
        screenshots.main()
    assert "--out" in capsys.readouterr().err
    assert all(path.stat().st_mtime <= began for path in (DOCS / "images").iterdir())


def test_both_scales_are_taken_one_after_the_other_into_folders_of_their_own(docs, monkeypatch, tmp_path):
    import screenshots

    asked = []
    monkeypatch.setattr(screenshots, "take_all", lambda options: asked.append((options.scale, options.out)))
    monkeypatch.setattr(screenshots, "in_a_process", lambda options: screenshots.take_all(options))
    monkeypatch.setattr(sys, "argv", ["screenshots.py", "--states", "--both-scales", "--out", str(tmp_path)])
    screenshots.main()
    assert asked == [(1.0, tmp_path / "1x"), (2.0, tmp_path / "2x")]
