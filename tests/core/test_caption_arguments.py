"""``caption`` with lists: which arguments go together, and what a list may name. Nothing is captioned."""

from __future__ import annotations

import os
import threading

import pytest

from core.batch.listing import Item
from core.batch.pipeline import prepare
from core.batch.requests import CaptionOptions
from core.batch.runner import decoding_options
from core.cli import main
from core.images.preprocess import Preprocess
from core.onnx.session import open_bundle


def test_photos_that_lie_beside_their_library_are_captioned_by_a_list(tmp_path, capsys):
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip.seedcap").mkdir()
    (tmp_path / "trip.seedcap" / "library.db").touch()
    out = tmp_path / "part.jsonl"
    out.touch()
    assert main(["caption", str(tmp_path / "trip"), "--list", "todo.jsonl", "--out", str(out)]) == 2
    assert "part.jsonl is there already" in capsys.readouterr().err  # so it looked at the folder


@pytest.mark.parametrize(
    "more", [["--resume"], ["--resume", "--retry-failed"], ["--out", "o"], ["--bundle", "b"], ["--list", "l"]]
)
def test_what_a_written_list_would_ignore_is_refused(more, tmp_path, capsys):
    assert main(["caption", str(tmp_path), "--write-list", str(tmp_path / "todo.jsonl"), *more]) == 2
    assert f"so {more[0]} has no meaning" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_listed_pipe_is_a_failure_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    item = Item("a.jpg", tmp_path / "a.jpg", content="aa" * 32)
    found: list[str | None] = []
    spec = Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    thread = threading.Thread(target=lambda: found.append(prepare(item, spec).error), daemon=True)
    thread.start()
    thread.join(30)
    assert len(found) == 1 and "pipe" in (found[0] or "")


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--seed", "-1"], "--seed must be 0 or more"), (["--beams", "8", "--method", "sample"], "has no meaning")],
)
def test_numbers_that_make_no_sense_are_refused(more, said, tmp_path, capsys):
    assert main(["caption", str(tmp_path), "--out", str(tmp_path / "o.jsonl"), *more]) == 2
    assert said in capsys.readouterr().err


def test_beams_alone_ask_for_beam_search(tiny_bundle):
    assert decoding_options(open_bundle(tiny_bundle), CaptionOptions(beams=8)).method == "beam"
