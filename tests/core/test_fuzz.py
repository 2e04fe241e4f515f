"""The bench that reads broken files: a short run of it, and that it would notice what it looks for."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from core.bench import fuzz, fuzz_child
from core.bench.fuzz_mutate import mutate
from core.bench.fuzz_seeds import KINDS, make_case, write_seeds
from core.errors import UserError
from core.jobs import QuietContext
from core.library import queries
from core.library.library import Library
from core.onnx.bundle import BundleError
from core.onnx.session import open_bundle


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "seeds"
    write_seeds(folder)
    return folder


def _measures(result) -> dict[str, float]:
    return {measure.name: measure.value for measure in result.measures}


def test_a_short_run_finds_nothing(tmp_path):
    result = fuzz.run(QuietContext(), fuzz.FuzzRequest(cases=150, seed=7, workers=1, keep=tmp_path / "kept"))
    found = _measures(result)
    assert (found["cases"], found["crashes"], found["hangs"]) == (150, 0, 0), result.notes
    assert found["peak_mb"] <= 1000
    assert all(f" {kind}" in result.notes[0] and f" 0 {kind}" not in result.notes[0] for kind in KINDS)


def test_a_case_is_the_same_each_time_and_broken(seeds, tmp_path):
    for number in range(12):
        one, two = (make_case(seeds, number, 3, tmp_path / name / str(number)) for name in ("a", "b"))
        assert one[0] == two[0] and one[1].name == two[1].name
        if one[1].is_file():
            assert one[1].read_bytes() == two[1].read_bytes()
    rng = random.Random(1)
    content = bytes(range(256)) * 4
    assert sum(mutate(content, rng, "captions") != content for _ in range(50)) > 45
    assert mutate(b"", random.Random(0), "xmp") is not None


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, "read"), (UserError("case.csv is wrong."), "refused"), (UserError("Something is wrong."), "crash"),
        (ValueError("a bug"), "crash"), (RecursionError(), "crash"), (MemoryError(), "crash"),
    ],
)  # fmt: skip
def test_only_reading_and_a_refusal_that_names_the_file_are_right(tmp_path, monkeypatch, error, verdict):
    def read(path):
        if error is not None:
            raise error

    monkeypatch.setitem(fuzz_child._READERS, "captions", read)
    outcome = fuzz_child.judge(5, "captions", tmp_path / "case.csv")
    assert outcome.verdict == verdict and bool(outcome.crash) == (verdict == "crash")


def serve_badly(connection, seeds, seed, scratch):
    """Stands in for the process that reads: dies of case 1, hangs in case 2, reads everything else."""
    connection.send("ready")
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        kind, _ = make_case(seeds, number, seed, scratch)
        connection.send(kind)
        if number == 1:
            os._exit(11)
        while number == 2:
            time.sleep(0.001)
        crash = "Traceback: a bug" if number == 3 else ""
        connection.send(fuzz_child.Outcome(number, kind, "crash" if crash else "read", crash, 50.0))


def test_deaths_hangs_and_bugs_are_counted_and_kept_to_be_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "serve", serve_badly)
    monkeypatch.setattr(fuzz, "HANG_S", 0.5)
    monkeypatch.setattr(fuzz, "_ON_THE_CLOCK_S", 1.0)
    result = fuzz.run(QuietContext(), fuzz.FuzzRequest(cases=5, workers=1, keep=tmp_path / "kept"))
    found = _measures(result)
    assert (found["cases"], found["crashes"], found["hangs"]) == (5, 2, 1)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["seed0-case1", "seed0-case2", "seed0-case3"]
    again = fuzz.run(QuietContext(), fuzz.FuzzRequest(replay=tmp_path / "kept" / "seed0-case3"))
    assert _measures(again) == {"crashes": 0.0} and again.notes[0].startswith("case3")
    with pytest.raises(UserError, match="no kept case"):
        fuzz.run(QuietContext(), fuzz.FuzzRequest(replay=tmp_path))


# -- what the bench has found ----------------------------------------------------------------------------------------


def test_a_time_that_is_none_is_refused_naming_the_library(seeds, tmp_path):
    target = tmp_path / "mine.seedcap"
    shutil.copytree(seeds / "library" / "small.seedcap", target)
    with closing(sqlite3.connect(target / "library.db")) as connection, connection:
        connection.execute("UPDATE caption SET created_at = '-0.0-11-21'")
    with Library.open(target) as library, pytest.raises(UserError, match=r"mine.*where a time belongs"):
        queries.captions_of(library, [1])


def test_a_graph_that_fails_while_it_runs_is_refused_naming_it(seeds):
    bundle = open_bundle(seeds / "bundle" / "small", threads=1, provider="cpu")
    bundle.encoder._tokenizer._pad = 2**31
    with pytest.raises(BundleError, match=r"text_encoder\.onnx could not be run"):
        bundle.encoder.encode_texts(["a", "a red kite"])


def test_decoding_settings_that_make_no_sense_name_the_bundle(seeds):
    bundle = open_bundle(seeds / "bundle" / "small", threads=1, provider="cpu")
    with pytest.raises(BundleError, match=r"small: The bundle's decoding settings"):
        bundle.decoding(max_tokenethod=3)
