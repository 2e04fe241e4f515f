"""``doctor`` tells what is there and what is not; no figure of this machine is asserted."""

from __future__ import annotations

import builtins
import json
import sys

import pytest

from core import cli, machine
from core.commands import doctor
from core.devices import Device


@pytest.fixture(autouse=True)
def a_starter(monkeypatch, tmp_path):
    """Models that are there, so that it depends on the test and not on this checkout."""
    (tmp_path / "starter" / "encoder").mkdir(parents=True)
    monkeypatch.setenv("SEEDCAP_STARTER", str(tmp_path / "starter"))


@pytest.fixture
def quick(monkeypatch):
    """A measurement that does not take two seconds."""
    measure = machine.measure_gemm
    monkeypatch.setattr(machine, "measure_gemm", lambda: measure(0.01))


@pytest.fixture
def no_torch(monkeypatch):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "torch" or name.startswith("torch."):
            raise ImportError("libtorch.so: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)


def run(tmp_path, *options):
    out = tmp_path / "doctor.json"
    status = cli.main(["doctor", *options, "--json", str(out)])
    return status, json.loads(out.read_text())


def test_it_measures_and_estimates(quick, tmp_path, capsys):
    status, data = run(tmp_path)
    assert status == 0, data["problems"]
    assert data["gemm"]["gflops"] > 0
    assert data["minutes_500_photos"]["train"] >= machine.LEAST_TRAIN_S / 60
    assert data["cores"] >= 1
    assert data["libraries"]["torch"]
    printed = capsys.readouterr().out
    assert "GFLOP/s" in printed
    assert "to train" in printed


def test_quick_measures_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "measure_gemm", lambda: pytest.fail("measured"))
    status, data = run(tmp_path, "--quick")
    assert status == 0
    assert "gemm" not in data


def test_torch_that_does_not_load_is_said_in_words_and_numpy_measures(quick, no_torch, tmp_path, capsys):
    status, data = run(tmp_path)
    assert status == 1
    assert any("libtorch.so" in problem for problem in data["problems"])
    assert data["gemm"]["library"].startswith("numpy")
    assert "Traceback" not in capsys.readouterr().err


def test_missing_libraries_are_named_with_what_they_are_for(monkeypatch, tmp_path):
    versions = machine.libraries() | {"torch": None, "onnxruntime": None}
    monkeypatch.setattr(machine, "libraries", lambda: versions)
    status, data = run(tmp_path, "--quick")
    assert status == 1
    training, captioning = (next(p for p in data["problems"] if p.startswith(w)) for w in ("Training", "Captioning"))
    assert "torch" in training
    assert "onnxruntime" in captioning


def test_a_missing_starter_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("SEEDCAP_STARTER", str(tmp_path / "nothing"))
    status, data = run(tmp_path, "--quick")
    assert status == 1
    assert any("starter" in problem for problem in data["problems"])


def test_a_faster_machine_is_promised_less_time_down_to_a_floor():
    slow, fast, absurd = (machine.seconds_for_500_photos(machine.GemmRate(r, "x", "y")) for r in (20, 100, 1e9))
    assert slow[0] == pytest.approx(5 * fast[0])
    assert absurd == (machine.LEAST_TRAIN_S, machine.LEAST_CAPTION_S)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0.2, "10 to 15 seconds"), (4, "3 to 6 minutes"), (200, "2.3 to 4.7 hours")],
)
def test_estimates_are_spans(minutes, words):
    assert doctor._about(minutes) == words


def test_memory_and_disk_are_of_this_machine(tmp_path):
    total, available = machine.memory()
    if total is not None and available is not None:
        assert 0 < available <= total
    assert machine.free_disk(tmp_path / "not" / "there" / "yet") > 0


def test_every_device_is_listed_with_what_is_free_there(quick, monkeypatch, tmp_path, capsys):
    cards = (
        Device("cuda:0", "Small card", 8 << 30, 7 << 30),
        Device("cuda:1", "Large card", 24 << 30, 20 << 30),
        Device("cpu", "A processor"),
    )
    monkeypatch.setattr("core.devices.devices", lambda: cards)
    _, data = run(tmp_path)
    assert [one["name"] for one in data["devices"]] == ["cuda:0", "cuda:1", "cpu"]
    printed = capsys.readouterr().out
    assert "Trains on  cuda:0: Small card, 7.0 GB of 8.0 GB free\n" in printed
    assert "Trains on  cuda:1: Large card, 20.0 GB of 24.0 GB free\nTrains on  cpu: A processor\n" in printed
