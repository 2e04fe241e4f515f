"""Getting models by name from a hub on this machine: whole, checked, pinned, and each failure in a sentence."""

from __future__ import annotations

import errno
import json
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from huggingface_hub import constants

from core import cli, paths
from core.cli_flags import with_flags
from core.errors import UserError
from core.hub import download
from core.hub.cache import bytes_here, find, folder_of, remove, require
from core.hub.get import ask_about, described, get, memory_of, pinned_or_asked
from core.hub.pins import FilePin, ModelPin, PartPin, lock_file, read_pins, read_updates, write_pin
from core.jobs import Cancelled, QuietContext
from tests.hub_server import Repository

LM = "hf:tiny/lm"
WEIGHTS = bytes(range(256)) * 400  # a hundred kilobytes
CTX = QuietContext()


@pytest.fixture(autouse=True)
def tiny_lm(hub):
    """A language model on the hub, as far as names and bytes make one."""
    hub.repositories["tiny/lm"] = Repository(
        {"config.json": b"{}", "tokenizer.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "README.md": b"# Tiny",
         "pytorch_model.bin": b"pickled"},
        parameters=25_000_000,
    )  # fmt: skip


def fetch(name=LM, ctx=CTX, **how):
    get(ctx, pinned_or_asked(name, **how))
    return require(name)


def refused(name=LM, **how):
    with pytest.raises(UserError) as caught:
        fetch(name, **how)
    assert caught.value.message.endswith(".") and caught.value.next_step.endswith(".")
    return with_flags(caught.value)


def files(folder: Path):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def files_of(local):
    return files(local.folder("language_model"))


class Stops(QuietContext):
    """Cancelled at the first byte of the file ``name``."""

    def __init__(self, name):
        self.name, self.stop = name, False

    def progress(self, done, total, message=""):
        self.stop = self.stop or self.name in message

    def check_cancelled(self):
        if self.stop:
            raise Cancelled


def test_what_is_needed_comes_and_no_pickle(hub):
    local = fetch()
    assert files(local.folder("language_model")) == {
        "config.json": b"{}", "tokenizer.json": b'{"a": 1}', "model.safetensors": WEIGHTS
    }  # fmt: skip
    assert not any("pytorch_model" in path for path in hub.asked)
    assert local.folder("language_model").is_relative_to(paths.models_dir())


def test_before_the_download_it_says_size_memory_and_licence(hub):
    pin = pinned_or_asked(LM)
    assert "102 kB to download, 500 MB of memory to train with, licence mit" in described(pin)
    assert pin.size == len(WEIGHTS) + 2 + 8 and bytes_here(pin) == 0
    hub.repositories["tiny/lm"].parameters = 0
    assert "at most" in described(pinned_or_asked(LM)) and memory_of(pinned_or_asked(LM)) == 1
    hub.repositories["tiny/lm"].card = {}
    assert "licence not stated" in described(pinned_or_asked(LM))


def test_the_first_download_pins_the_version_for_the_next(hub):
    commit = fetch().pin.parts[0].commit
    before = dict(hub.repositories["tiny/lm"].files)
    hub.repositories["tiny/lm"].files["model.safetensors"] = WEIGHTS[::-1]
    asked = len(hub.asked)
    assert fetch().pin.parts[0].commit == commit and len(hub.asked) == asked  # all is here: nobody is asked
    assert json.loads(lock_file().read_text())["models"][LM]["parts"][0]["commit"] == commit
    assert lock_file().is_relative_to(paths.config_dir())

    assert cli.main(["models", "remove", LM]) == 0
    assert not list(paths.models_dir().rglob("*.safetensors"))
    assert "its hash is another" in refused()  # what is pinned is wanted, and the server has something else by now
    hub.repositories["tiny/lm"].files = before
    fetch()
    hub.repositories["tiny/lm"].files["config.json"] = b'{"new": 1}'
    updated = fetch(update=True)
    assert updated.pin.parts[0].commit != commit
    assert (updated.folder("language_model") / "config.json").read_bytes() == b'{"new": 1}'


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_hash_is_refused_and_nothing_of_it_kept(hub, name):
    content = hub.repositories["tiny/lm"].files[name]
    hub.sent[name] = content[:-1] + b"!"
    assert f"{name} of tiny/lm is not what the hub said" in refused()
    assert find(LM) is None
    del hub.sent[name]
    assert (fetch().folder("language_model") / name).read_bytes() == content


def test_a_file_longer_than_told_is_refused(hub):
    hub.sent["model.safetensors"] = WEIGHTS + b"and more"
    assert "model.safetensors" in refused()
    assert [file for file in paths.models_dir().rglob("sha256-*") if file.suffix != ".lock"] == []


def test_a_broken_connection_is_taken_up_again(hub):
    hub.breaks_after["model.safetensors"] = 40_000
    assert (fetch().folder("language_model") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.ranges == ["bytes=40000-"]


def test_a_half_download_is_kept_said_and_goes_on(hub):
    hub.breaks_after["model.safetensors"], hub.breaks_always = 0, True
    said = refused()
    assert "could not be reached" in said or "broke" in said
    hub.breaks_after["model.safetensors"] = 40_000
    with pytest.raises(Cancelled):
        fetch(ctx=Stops("model.safetensors"))
    with pytest.raises(UserError, match=r"only \d+ kB of 102 kB are on this computer"):
        require(LM)
    hub.breaks_after.clear()
    hub.status = 503
    said = refused()
    assert "HTTP 503" in said and "of 102 kB of model.safetensors came and are kept" in said
    assert "goes on from there" in said
    hub.status, hub.ranges = 200, []
    assert (fetch().folder("language_model") / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.ranges) == 1 and hub.ranges[0] != "bytes=0-"


def test_a_server_that_knows_no_ranges_begins_anew(hub):
    with pytest.raises(Cancelled):
        fetch(ctx=Stops("model.safetensors"))
    hub.ranged = False
    assert (fetch().folder("language_model") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_was_damaged_here_is_fetched_again(hub):
    file = fetch().folder("language_model") / "model.safetensors"
    file.write_bytes(WEIGHTS[::-1])
    assert fetch() and file.read_bytes() == WEIGHTS
    file.write_bytes(WEIGHTS[:10])
    with pytest.raises(UserError, match="only 0 kB of 102 kB"):
        require(LM)


def test_a_full_disk_is_said_before_and_while(hub, monkeypatch):
    usage = download.shutil.disk_usage(paths.cache_dir().parent)
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        assert "has room for 1 kB" in refused()
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(download, "sync_file", full)
        assert "is full" in refused()
    fetch()


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(hub, gone):
    del hub.repositories["tiny/lm"].files["pytorch_model.bin"]
    kept = hub.repositories["tiny/lm"].files.pop(gone)
    assert "tiny/lm holds no" in refused()
    hub.repositories["tiny/lm"].files[gone] = kept
    pin = pinned_or_asked(LM)
    del hub.repositories["tiny/lm"].files[gone]  # between the question and the download
    with pytest.raises(UserError, match=f"^{gone} of tiny/lm is missing on the server. Where a mirror is set"):
        get(CTX, pin)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "flax_model.msgpack"])
def test_a_pickle_is_refused_before_a_byte_of_it_came(hub, file):
    hub.repositories["tiny/lm"].files = {"config.json": b"{}", "tokenizer.json": b"{}", file: b"pickled"}
    said = refused()
    assert f"{file}, a format that can run code" in said and "Nothing was downloaded" in said
    assert not paths.models_dir().exists() and not any("resolve" in path for path in hub.asked)
    assert read_pins() == {}


def test_weights_in_shards_and_in_gguf(hub):
    shards = {f"model-0000{i}-of-00002.safetensors": bytes([i]) for i in (1, 2)}
    settings = {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin.index.json": b"{}"}
    index = {"model.safetensors.index.json": b"{}"}
    repository = hub.repositories["tiny/lm"]
    repository.files = {**settings, **shards, **index, "onnx/model.safetensors": b"x"}
    assert set(files(fetch().folder("language_model"))) == {"config.json", "tokenizer.json", *shards, *index}
    repository.files = {"config.json": b"{}", "m.gguf": b"GGUF"}
    assert "name it gguf:FILE" in refused(update=True)


@pytest.mark.parametrize("missing", [[1], [2, 3], []])
def test_weights_of_which_a_shard_is_missing_are_refused_before_the_download(hub, missing):
    shards = {f"model-0000{i}-of-00003.safetensors": bytes([i]) for i in (1, 2, 3) if i not in missing}
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": b"{}"}
    hub.repositories["tiny/lm"].files = {**files, **shards}
    if missing:
        assert f"only {len(shards)} of the 3 files that its weights are in" in refused()
        assert not any("resolve" in path for path in hub.asked) and read_pins() == {}
    else:
        assert shards.keys() < files_of(fetch()).keys()


def test_an_adapter_beside_the_weights_is_left_out_and_one_alone_is_refused(hub):
    repository = hub.repositories["tiny/lm"]
    del repository.files["pytorch_model.bin"]
    repository.files["adapter_config.json"] = b"{}"
    assert set(files_of(fetch())) == {"config.json", "tokenizer.json", "model.safetensors"}
    del repository.files["model.safetensors"]
    for weights in ("adapter_model.safetensors", "adapter_model.bin"):
        repository.files[weights] = WEIGHTS
        repository.files["training_args.bin"] = b"pickled"  # is no weights
        asked = len(hub.asked)
        said = refused(update=True)
        assert "tiny/lm holds an adapter for another model" in said and "Merge the adapter" in said
        assert not any("resolve" in path for path in hub.asked[asked:])
        del repository.files[weights]


def test_what_is_not_there_or_not_open_is_said(hub):
    assert "no repository tiny/other" in refused("hf:tiny/other")
    assert "no such revision" in refused("hf:tiny/lm@v7")
    assert "no name of a repository" in refused("hf:a/b/c")
    assert "HTTP 503" in (setattr(hub, "status", 503) or refused())
    for name in ("hf:", "open_clip:hf-hub:", "open_clip:ViT-B-32", "gpt2", "dir:x"):
        assert "does not name a model that can be downloaded" in refused(name)
    assert "'starter' comes with Seedcap" in refused("starter")


def test_a_revision_that_was_asked_for_is_pinned_beside_the_other(hub):
    commit = hub.repositories["tiny/lm"].commit
    fetch(f"{LM}@{commit}")
    assert set(read_pins()) == {f"{LM}@{commit}"} and find(LM) is None
    fetch()
    assert cli.main(["models", "remove", LM]) == 0
    assert find(f"{LM}@{commit}") is not None  # both are the same files, so these stay


def test_offline_nothing_is_asked_and_what_is_here_works(hub, monkeypatch):
    fetch()
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ask_about(CTX, (LM, "starter", "dir:/nowhere")) == {}
    fetch()
    assert "unset HF_HUB_OFFLINE" in refused("hf:tiny/other")
    assert len(hub.asked) == asked


def test_without_a_server_it_says_what_could_be_set(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = refused()
    assert "HTTPS_PROXY" in said and "HF_ENDPOINT" in said


@pytest.mark.parametrize("mirror", ["hub.example", "ftp://hub.example", "https://", "/mirror"])
def test_a_mirror_that_is_no_address_is_named(mirror, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", mirror)
    said = refused()
    assert f"HF_ENDPOINT names the mirror '{mirror}'" in said and "Check the connection" not in said


def test_a_proxy_is_asked_for_everything(hub, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    fetch()
    assert len(hub.asked) == 4 and all(path.startswith("http://mirror.invalid") for path in hub.asked)


def test_a_mirror_that_tells_no_hashes_is_not_believed(hub, monkeypatch):
    plain = Repository.info
    monkeypatch.setattr(
        Repository,
        "info",
        lambda self, name: {**plain(self, name), "siblings": [{"rfilename": file} for file in self.files]},
    )
    assert "could not be checked" in refused()


def test_a_damaged_lock_file_is_named(hub):
    fetch()
    document = json.loads(lock_file().read_text())
    part = document["models"][LM]["parts"][0]
    for spoiled in ("{", json.dumps({"version": 9}), json.dumps(document).replace(part["commit"], "../../out")):
        lock_file().write_text(spoiled)
        assert "models.lock.json" in refused()


def test_what_two_note_at_once_both_keep(monkeypatch):
    from core.hub import pins

    read, both = pins.json.loads, threading.Barrier(2)

    def slowly(text):
        with suppress(threading.BrokenBarrierError):
            both.wait(0.3)  # whoever may read at the same time does
        return read(text)

    part = PartPin("tiny/a", "c" * 40, "language_model", {"a": FilePin(1, "git:a")})
    write_pin(ModelPin("hf:first", "mit", 1, (part,)))
    with monkeypatch.context() as patch:
        patch.setattr(pins.json, "loads", slowly)
        threads = [threading.Thread(target=write_pin, args=(ModelPin(f"hf:{one}", "mit", 1, (part,)),)) for one in "ab"]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert set(read_pins()) == {"hf:first", "hf:a", "hf:b"}


def test_a_lock_file_that_is_being_written_is_waited_for_and_then_named(monkeypatch):
    from huggingface_hub.utils import WeakFileLock

    monkeypatch.setattr("core.hub.pins._WAIT_S", 0.05)
    lock_file().parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(f"{lock_file()}.lock"):
        assert "is being written by another program" in refused()
    fetch()


def test_two_at_once_do_not_mix(hub, monkeypatch):
    from huggingface_hub.utils import WeakFileLock

    pin = pinned_or_asked(LM)
    part = pin.parts[0]
    partial = download.partial_file(part, part.files["config.json"])
    partial.parent.mkdir(parents=True)
    with WeakFileLock(f"{partial}.lock"):
        assert "by another program" in refused()


def test_where_models_are_kept(monkeypatch, tmp_path):
    assert paths.models_dir() == paths.cache_dir() / "models"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "big"))
    assert paths.models_dir() == paths.cache_dir() / "models"  # SEEDCAP_HOME holds everything
    monkeypatch.delenv("SEEDCAP_HOME")
    assert paths.models_dir() == tmp_path / "big"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert paths.models_dir() == tmp_path / "hub"


def test_the_command_asks_first_gets_lists_and_removes(hub, capsys, monkeypatch, tmp_path):
    assert cli.main(["models", "get", LM]) == 2
    said = capsys.readouterr().err
    assert "licence mit" in said and "--yes" in said and not paths.models_dir().exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert cli.main(["models", "get", LM]) == 0
    assert "Nothing was downloaded." in capsys.readouterr().out and find(LM) is None
    monkeypatch.setattr("sys.stdin.readline", lambda: "y\n", raising=False)
    assert cli.main(["models", "get", LM, "--json", str(tmp_path / "get.json")]) == 0
    assert "every file checked" in capsys.readouterr().out
    told = json.loads((tmp_path / "get.json").read_text())
    assert told["downloaded"] and told["licence"] == "mit" and told["parts"][0]["repository"] == "tiny/lm"
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert f"Downloaded models are in {paths.models_dir()}:\n  {LM}: 102 kB\n" in said and str(lock_file()) in said
    assert cli.main(["models", "remove", LM]) == 0
    assert "102 kB" in capsys.readouterr().out and find(LM) is None
    assert cli.main(["models", "remove", LM]) == 2 and cli.main(["models", "remove", "starter"]) == 2
    assert cli.main(["models", "get"]) == 2
    assert "needs a name" in capsys.readouterr().err


def test_what_a_half_downloaded_model_shares_stays_and_what_a_removed_one_shared_goes():
    """Two encoders with a tokenizer from the same repository."""
    for name in ("one", "two"):
        own = PartPin(
            f"tiny/{name}", "c" * 40, "encoder", {"a.json": FilePin(10, f"git:{name}"), "b": FilePin(9, "git:b")}
        )
        tokenizer = PartPin("tiny/words", "d" * 40, "text", {"tokenizer.json": FilePin(5, "git:t")})
        write_pin(ModelPin(f"open_clip:hf-hub:tiny/{name}", "mit", 1, (own, tokenizer)))
        for part, file in ((own, "a.json"), (tokenizer, "tokenizer.json")):
            folder_of(part).mkdir(parents=True, exist_ok=True)
            (folder_of(part) / file).write_bytes(b"x" * part.files[file].size)
    assert remove("open_clip:hf-hub:tiny/one") == 10
    assert remove("open_clip:hf-hub:tiny/two") == 15, "the first is not here any more, and needs nothing"


def test_a_model_works_until_all_of_its_update_has_come_and_then_goes(hub):
    old = fetch()
    folder, repository = old.folder("language_model"), hub.repositories["tiny/lm"]
    repository.files = {**repository.files, "model.safetensors": WEIGHTS[::-1], "config.json": b'{"new": 1}'}
    hub.sent["model.safetensors"] = WEIGHTS  # which is not what the hub says it is
    assert "is not what the hub said" in refused(update=True)
    assert require(LM) == old
    hub.sent.clear()
    with pytest.raises(Cancelled):
        fetch(ctx=Stops("model.safetensors"), update=True)
    assert require(LM) == old and files(folder)["model.safetensors"] == WEIGHTS
    assert fetch().pin == old.pin, "without being told to update it stays what it was"
    new = fetch(update=True)
    assert files_of(new)["model.safetensors"] == WEIGHTS[::-1] and new.pin != old.pin
    assert not folder.exists() and read_updates() == {}
    assert len(list(paths.models_dir().rglob("*.safetensors"))) == 1


def test_an_update_goes_on_where_it_stopped_and_a_newer_one_takes_its_place(hub):
    fetch()
    repository = hub.repositories["tiny/lm"]
    for content in (b'{"v": 1}', b'{"v": 2}'):
        repository.files = {**repository.files, "config.json": content, "model.safetensors": WEIGHTS[::-1]}
        hub.breaks_after["model.safetensors"] = 40_000
        with pytest.raises(Cancelled):
            fetch(ctx=Stops("model.safetensors"), update=True)
    snapshots = [folder.name for folder in paths.models_dir().glob("*/snapshots/*")]
    assert set(snapshots) == {read_pins()[LM].parts[0].commit, repository.commit}, "the update between is gone"
    hub.breaks_after.clear()
    hub.ranges.clear()
    fetch(update=True)
    assert hub.ranges and hub.ranges[0] != "bytes=0-", "the weights are the same: what came of them is not asked anew"


def test_what_another_name_holds_on_to_stays_after_an_update(hub):
    commit = hub.repositories["tiny/lm"].commit
    fetch(), fetch(f"{LM}@{commit}")
    hub.repositories["tiny/lm"].files["config.json"] = b'{"new": 1}'
    fetch(update=True)
    assert files_of(require(f"{LM}@{commit}"))["config.json"] == b"{}"


def test_a_model_is_removed_with_its_update_that_stopped(hub):
    fetch()
    hub.repositories["tiny/lm"].files["config.json"] = b'{"new": 1}'
    with pytest.raises(Cancelled):
        fetch(ctx=Stops("model.safetensors"), update=True)
    assert remove(LM) > len(WEIGHTS) and read_updates() == {}
    assert not [one for one in paths.models_dir().rglob("*") if one.is_file() and one.suffix != ".lock"]
