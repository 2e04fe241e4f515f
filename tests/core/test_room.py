"""What is known of models before they are downloaded: whether they fit, and that a person is asked."""

from __future__ import annotations

import shutil

import pytest

from core import cli
from core.captioner.language_model import load_language_model
from core.errors import UserError
from core.hub.cache import find
from core.hub.pins import read_pins
from core.jobs import Cancelled, QuietContext
from core.library.library import Library
from core.library.runs import CANCELLED, create_run, runs, update_run
from core.training.job import train_job
from core.training.presets import find_preset, with_overrides
from core.training.room import needed_bytes, parameters_of
from tests.core.test_models_by_name import as_long_as_gguf_has_it, write_gguf
from tests.core.test_train_job import library, request

__all__ = ["library"]

LM = "hf:tiny/lm"


def test_what_cannot_fit_is_refused_before_any_of_it_is_downloaded(hub, models_on_hub, library):
    hub.repositories["tiny/lm"].parameters = 10**13
    with pytest.raises(UserError, match=r"about 200000\.\d GB of memory; .* GB in all"):
        train_job(QuietContext(), request(library, lm=LM, device="cpu", overrides={"lm.train": "all"}))
    assert hub.asked and not any("/resolve/" in path for path in hub.asked)
    assert read_pins() == {} and find(LM) is None
    with Library.open(library) as opened:
        assert runs(opened) == []


def test_the_numbers_of_a_gguf_file_are_counted_in_its_header(models_on_hub, tmp_path):
    file = write_gguf(tmp_path / "model.gguf", as_long_as_gguf_has_it(models_on_hub[1], tmp_path / "long"))
    name = f"gguf:{file}"
    model = load_language_model(name).model
    stored = sum({one.data_ptr(): one.numel() for one in model.parameters()}.values())
    assert parameters_of("language_model", name) == stored > 0
    (tmp_path / "alone").mkdir()
    shutil.copy(file, tmp_path / "alone")
    assert parameters_of("language_model", f"gguf:{tmp_path / 'alone'}") == stored
    everything = with_overrides(find_preset("recommended"), {"lm.train": "all"})
    assert needed_bytes("starter", name, everything, 20) == parameters_of("encoder", "starter") * 4 + stored * 20
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:30])
    for missing in (tmp_path / "cut.gguf", tmp_path / "nowhere.gguf"):
        assert parameters_of("language_model", f"gguf:{missing}") is None


def test_who_is_at_a_terminal_is_asked_before_a_download(hub, models_on_hub, library, monkeypatch, capsys):
    begun = []

    def train(_ctx, wanted):
        begun.append(wanted.lm)
        raise UserError("Enough.", "Stop.")

    monkeypatch.setattr("core.training.job.train_job", train)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert cli.main(["train", str(library), "--lm", LM]) == 0
    said = capsys.readouterr()
    assert f"{LM}: " in said.err and "of memory to train with, licence mit" in said.err
    assert "Nothing was trained." in said.out and not begun
    monkeypatch.setattr("sys.stdin.readline", lambda: "y\n", raising=False)
    assert cli.main(["train", str(library), "--lm", LM]) == 2 and begun == [LM]
    asked = len(hub.asked)
    for options in (["--lm", LM, "--yes"], []):  # nobody wants to be asked, and nothing is downloaded
        assert cli.main(["train", str(library), *options]) == 2
    assert len(begun) == 3 and len(hub.asked) == asked


def test_a_stopped_training_is_not_dropped_without_a_word(library, monkeypatch, capsys):
    begun = []

    def stop(_ctx, wanted):
        begun.append(wanted.resume)
        with Library.open(library) as opened:
            config = {"request": {"encoder": "starter", "lm": "starter", "preset": "recommended"}}
            run = create_run(opened, "recommended", config, seed=0, data_hash="", encoder_fingerprint="")
            update_run(opened, run.id, status=CANCELLED)
        raise Cancelled

    monkeypatch.setattr("core.training.job.train_job", stop)
    assert cli.main(["train", str(library)]) == cli.STOPPED
    go_on = f"seedcap train {library} --resume"
    assert capsys.readouterr().err.splitlines()[-1] == f"Stopped. What was finished is saved. Go on: {go_on}"
    assert cli.main(["train", str(library)]) == cli.STOPPED, "nobody is there to be asked"
    assert go_on in capsys.readouterr().err.splitlines()[0]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert cli.main(["train", str(library)]) == 0 and begun == [False, False]
    said = capsys.readouterr()
    assert "Begin a new one?" in said.err and "Nothing was trained." in said.out
    assert cli.main(["train", str(library), "--resume"]) == cli.STOPPED and begun[-1] is True


def test_who_goes_on_is_asked_about_the_models_of_the_stopped_training(
    hub, models_on_hub, library, monkeypatch, capsys
):
    monkeypatch.setattr("core.training.job.train_job", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    with Library.open(library) as opened:  # it was killed: it still claims to run
        begun = {"request": {"encoder": "starter", "lm": LM, "preset": "recommended"}}
        create_run(opened, "recommended", begun, seed=0, data_hash="", encoder_fingerprint="")
    assert cli.main(["train", str(library), "--resume"]) == 0
    said = capsys.readouterr()
    assert f"{LM}: " in said.err and "Nothing was trained." in said.out
    asked = len(hub.asked)
    assert cli.main(["train", str(library), "--resume", "--lm", "hf:tiny/other"]) == 2
    assert "with other settings (lm)" in capsys.readouterr().err and len(hub.asked) == asked
