"""``models get`` where something goes wrong: a sentence on stderr, exit status 2, and nothing half done that counts."""

from __future__ import annotations

import errno

import pytest

from core import cli
from core.hub import download
from core.hub.cache import find
from tests.hub_server import Repository

LM = "hf:tiny/lm"
WEIGHTS = bytes(range(256)) * 400


@pytest.fixture
def repository(hub):
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}
    hub.repositories["tiny/lm"] = Repository(files)
    return hub.repositories["tiny/lm"]


def wrong_hash(hub, _repository, _monkeypatch):
    hub.sent["model.safetensors"] = WEIGHTS[:-1] + b"!"


def half_download(hub, _repository, _monkeypatch):
    hub.breaks_after["model.safetensors"], hub.breaks_always = 40_000, True
    hub.ranged = False  # so that trying again brings no more


def full_disk(_hub, _repository, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "sync_file", full)


def missing_file(_hub, repository, monkeypatch):
    fetch = download.fetch_files

    def gone(files, ctx):
        repository.files.pop("model.safetensors", None)  # after the question, before the download
        fetch(files, ctx)

    monkeypatch.setattr(download, "fetch_files", gone)


def pickle(_hub, repository, _monkeypatch):
    repository.files["pytorch_model.bin"] = repository.files.pop("model.safetensors")


FAULTS = {
    wrong_hash: ("model.safetensors of tiny/lm is not what the hub said", "seedcap models get NAME --update"),
    half_download: ("40 kB of 102 kB of model.safetensors came and are kept", "goes on from there"),
    full_disk: ("is full; config.json could not be written", "HF_HUB_CACHE"),
    missing_file: ("model.safetensors of tiny/lm is missing on the server", "take another"),
    pickle: ("pytorch_model.bin, a format that can run code", "'seedcap models' lists some"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_a_sentence_and_the_next_try_succeeds(fault, hub, repository, monkeypatch, capsys):
    whole = dict(repository.files)
    with monkeypatch.context() as patch:
        fault(hub, repository, patch)
        assert cli.main(["models", "get", LM, "--yes"]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in FAULTS[fault]) and "Traceback" not in said
    assert find(LM) is None
    hub.sent.clear()
    hub.breaks_after.clear()
    hub.ranged, repository.files = True, whole
    assert cli.main(["models", "get", LM, "--yes"]) == 0
    found = find(LM)
    assert found is not None and (found.folder("language_model") / "model.safetensors").read_bytes() == WEIGHTS
