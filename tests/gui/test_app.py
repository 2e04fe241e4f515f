"""What the app opens at the start, as the command line says."""

from __future__ import annotations

import csv

import core.cli
from gui.app import show_first
from tests.gui.conftest import WAIT, settle


def _show(window, *argv: str) -> None:
    show_first(window, vars(core.cli.parse(argv)[1]))


def test_demo_with_photos_takes_their_captions_in(qtbot, open_window, photos):
    with (photos / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *((f"photo{n}.png", f"disc {n}") for n in range(8))])
    window = open_window()
    _show(window, "demo", "--photos", str(photos), "--seeds", "3")
    qtbot.waitUntil(lambda: window.place == "train", timeout=WAIT)
    settle(qtbot, window)
    counts = window.session.overview.counts
    assert (counts.photos, counts.seeds) == (8, 3)


def test_demo_with_photos_that_nobody_captioned_opens_them(qtbot, open_window, photos):
    window = open_window()
    _show(window, "demo", "--photos", str(photos))
    qtbot.waitUntil(lambda: bool(window.session.overview and window.session.overview.counts.photos == 8), timeout=WAIT)
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 0


def test_captions_that_make_no_sense_are_said(qtbot, open_window, photos):
    (photos / "captions.csv").write_text("picture,words\nphoto0.png,a disc\n", encoding="utf-8")
    window = open_window()
    _show(window, "demo", "--photos", str(photos))
    qtbot.waitUntil(lambda: "which column is the photo" in window.messages.message, timeout=WAIT)
    settle(qtbot, window)


def test_the_last_library_is_opened_only_when_nothing_is_named(qtbot, open_window, photos, tmp_path):
    window = open_window()
    show_first(window, {}, str(tmp_path / "gone"))
    assert window.session.service is None
    show_first(window, {}, str(photos))
    qtbot.waitUntil(lambda: bool(window.session.overview and window.session.overview.counts.photos == 8), timeout=WAIT)
    settle(qtbot, window)
