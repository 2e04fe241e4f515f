"""What training runs on, whether the models fit there, and what is asked on a battery; no device of this machine."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import psutil
import pytest
import torch

from core import cli, devices
from core.batch.library_runner import photos_left
from core.batch.pace import keep_pace
from core.batch.records import PhotoRecord, RecordWriter
from core.batch.requests import LibraryCaptionRequest
from core.children import child_environment, module_command
from core.cli_flags import with_flags
from core.devices import Device, choose_device, fit
from core.encoders.load import load_encoder
from core.errors import UserError
from core.jobs import QuietContext
from core.library import ledger
from core.library.library import Library
from core.library.queries import images_of
from core.library.runs import runs
from core.power import battery_percent
from core.running_out import is_out_of_memory
from core.training.job import train_job
from core.training.presets import find_preset, with_overrides
from core.training.room import needed_bytes, parameters_of
from tests.core.test_train_job import library, request

__all__ = ["library"]

SMALL, LARGE = Device("cuda:0", "Small", 8_000, 7_000), Device("cuda:1", "Large", 24_000, 20_000)
PROCESSOR = Device("cpu", "A processor", 16_000, 9_000)


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(devices, "devices", lambda: (SMALL, LARGE, PROCESSOR))


def test_every_card_is_listed_but_those_that_do_not_answer(monkeypatch):
    def memory(at):
        if at == 1:
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable")
        return 10 + at, 100 + at

    def use(card):
        if card.name == "cuda:3":
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with …")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda at: f"Card {at}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_use", use)
    found = devices.devices()
    assert [one.name for one in found] == ["cuda:0", "cuda:2", "mps", "cpu"]
    assert found[1] == Device("cuda:2", "Card 2", 102, 12)
    assert found[-1].instead_of == (
        "The graphics card 1 cannot be used: CUDA error: all CUDA-capable devices are busy or unavailable. "
        "The graphics card 3 cannot be used: CUDA error: no kernel image is available for execution on the device."
    )


def test_another_process_says_what_there_is():
    said = subprocess.run(module_command("core.devices"), env=child_environment(), capture_output=True, check=True)
    assert [one["name"] for one in json.loads(said.stdout)][-1] == "cpu"


def test_the_card_with_most_free_memory_is_taken_unless_somebody_chose(two_cards, monkeypatch):
    assert choose_device() == LARGE
    assert choose_device("cuda") == choose_device("cuda:0") == SMALL
    monkeypatch.setenv("SEEDCAP_DEVICE", "cpu")
    assert choose_device() == PROCESSOR and choose_device("cuda:0") == SMALL
    with pytest.raises(UserError, match="no device 'cuda:7'") as refused:
        choose_device("cuda:7")
    assert refused.value.next_step == "Here are: cuda:0 (Small); cuda:1 (Large); cpu (A processor)."


def test_what_ranks_and_searches_goes_where_the_variable_says(two_cards, monkeypatch):
    went = []
    monkeypatch.setattr("core.encoders.open_clip_encoder.load_encoder", lambda _name, device: went.append(device))
    load_encoder("starter")
    monkeypatch.setenv("SEEDCAP_DEVICE", "cuda:0")
    load_encoder("starter")
    load_encoder("starter", "cpu")
    assert went == ["cuda:1", "cuda:0", "cpu"]
    monkeypatch.setenv("SEEDCAP_DEVICE", "cuda:7")
    with pytest.raises(UserError, match="no device 'cuda:7'"):
        load_encoder("starter")


@pytest.mark.parametrize(("here", "name"), [((PROCESSOR,), "cpu"), ((Device("mps", "Apple GPU"), PROCESSOR), "mps")])
def test_without_a_card_it_is_apples_chip_or_the_processor(here, name, monkeypatch):
    monkeypatch.setattr(devices, "devices", lambda: here)
    assert choose_device().name == name


def test_what_fits_is_said_in_words():
    card = Device("cuda:0", "Card", 8_000_000_000, 5_000_000_000)
    assert fit(card, 3_000_000_000) == (
        "Training these models takes about 3.0 GB of memory; cuda:0 (Card) has 5.0 GB free."
    )
    assert "close other programs" in fit(card, 6_000_000_000)
    assert "is not known" in fit(Device("cpu", "Chip"), 6_000_000_000)
    with pytest.raises(UserError, match=r"about 9\.0 GB of memory; cuda:0 \(Card\) has 8\.0 GB in all") as refused:
        fit(card, 9_000_000_000)
    assert "lm.train=lora" in with_flags(refused.value) and "--set" not in str(refused.value)


def test_what_is_needed_follows_from_what_learns(tiny_starter):
    vit, gpt2, recommended = (
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "hf:openai-community/gpt2",
        find_preset("recommended"),
    )
    encoder, lm = 4 * 151_300_000, 124_400_000
    assert needed_bytes(vit, gpt2, recommended, 20) == encoder + 4 * lm  # a handful teaches the mapper alone
    assert needed_bytes(vit, gpt2, recommended, 150) == encoder + 8 * lm
    everything = with_overrides(recommended, {"lm.train": "all"})
    assert needed_bytes(vit, gpt2, everything, 20) == encoder + 20 * lm
    assert needed_bytes(vit, "gguf:model.gguf", recommended, 20) is None
    stored = sum(p.numel() for p in _model(tiny_starter / "lm").parameters())
    assert parameters_of("language_model", f"dir:{tiny_starter / 'lm'}") == stored
    assert parameters_of("language_model", "dir:/nowhere") is None


def _model(folder):
    from core.captioner.language_model import load_model_folder

    return load_model_folder(folder)


def test_models_that_do_not_fit_are_refused_before_they_are_loaded(library, monkeypatch):
    monkeypatch.setattr(devices, "devices", lambda: (Device("cpu", "A chip", 1_000_000, 1_000_000),))
    monkeypatch.setattr("core.encoders.open_clip_encoder.load_encoder", lambda *_: pytest.fail("loaded"))
    with pytest.raises(UserError, match=r"this computer has 0\.0 GB in all"):
        train_job(QuietContext(), request(library))
    with Library.open(library) as opened:
        assert runs(opened) == []


def test_memory_of_apples_chips_runs_out_in_words_of_its_own():
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"))
    assert not is_out_of_memory(RuntimeError("MPS does not support this"))


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (SimpleNamespace(percent=53.6, power_plugged=False), 54),
        (SimpleNamespace(percent=53.6, power_plugged=True), None),
        (SimpleNamespace(percent=100.0, power_plugged=None), None),
        (None, None),
    ],
)
def test_what_is_left_in_the_battery(found, left, monkeypatch):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found, raising=False)
    assert battery_percent() == left


def test_a_computer_without_such_sensors_is_on_mains(monkeypatch):
    def odd():
        raise FileNotFoundError("/sys/class/power_supply")

    monkeypatch.setattr(psutil, "sensors_battery", odd, raising=False)
    assert battery_percent() is None
    monkeypatch.delattr(psutil, "sensors_battery")
    assert battery_percent() is None


def test_on_the_battery_somebody_who_is_there_is_asked_before_a_long_training(library, monkeypatch, capsys):
    begun = []

    def train(ctx, wanted):
        begun.append(wanted)
        raise UserError("Enough.", "Stop.")

    monkeypatch.setattr("core.training.job.train_job", train)
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(percent=40, power_plugged=False), raising=False
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert cli.main(["train", str(library)]) == 0
    said = capsys.readouterr()
    assert "on its battery (40%)" in said.err and "Nothing was trained." in said.out and not begun
    for options in (["--yes"], ["--limit-minutes", "5"], ["--device", "cuda:1", "--yes"]):
        assert cli.main(["train", str(library), *options]) == 2
    assert len(begun) == 3 and begun[-1].device == "cuda:1"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert cli.main(["train", str(library)]) == 2 and len(begun) == 4  # a script gets no answer, so it gets no question


@pytest.mark.parametrize("source", ["library", "folder"])
def test_on_the_battery_somebody_who_is_there_is_asked_before_many_photos(source, library, monkeypatch, capsys):
    begun = []

    def caption(_ctx, wanted):
        begun.append(wanted)
        raise UserError("Enough.", "Stop.")

    for name in ("caption_library", "caption_folder"):
        monkeypatch.setattr(f"core.batch.runner.{name}", caption)
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(percent=40, power_plugged=False), raising=False
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    out = library.parent / "out.jsonl"
    command = ["caption", str(library)]
    number = 21  # without the ten that have a caption
    if source == "folder":
        command, number = ["caption", str(library.parent / "photos"), "--out", str(out)], 32
    keep_pace("any", 20, 20 * 60.0)  # twenty minutes
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert f"on its battery (40%), and to caption {number} photos" in said.err
    assert "Nothing was captioned." in said.out and not begun and not out.exists()
    assert cli.main([*command, "--yes"]) == 2 and len(begun) == 1
    with RecordWriter(out) as writer:
        writer.write([PhotoRecord(f"{i:02}.png", "A.") for i in range(25)])
    if source == "folder":
        assert cli.main(command) == 2 and len(begun) == 2, "it refuses to begin: nobody is asked"
        assert cli.main([*command, "--resume"]) == 2 and len(begun) == 3, "seven are left"
    keep_pace("any", 20, 20 * 1.0)
    out.unlink()
    begun.clear()
    assert cli.main(command) == 2 and len(begun) == 1  # half a minute
    keep_pace("any", 20, 20 * 60.0)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert cli.main(command) == 2 and len(begun) == 2  # a script gets no answer, so it gets no question


def test_of_a_captioning_gone_on_with_what_is_left_is_counted(library):
    with Library.open(library) as opened:
        ids = [row.id for row in images_of(opened)]
        job = ledger.start_job(opened, "caption", {}, ids[10:])
        ledger.finish_items(opened, job, {**dict.fromkeys(ids[10:18]), ids[18]: "It is damaged."})
        for options, left in (({}, 21), ({"resume": True}, 12), ({"resume": True, "retry_failed": True}, 13)):
            assert photos_left(opened, LibraryCaptionRequest(library, **options)) == left
