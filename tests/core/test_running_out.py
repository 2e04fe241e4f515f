"""Memory that does not suffice while models are loaded or photos are looked at; the full graphics card is made up."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest
import torch
from torch import nn

from core import cli, paths
from core.captioner.checkpoint import load_captioner
from core.cli_flags import with_flags
from core.encoders.embed import embed_library
from core.encoders.open_clip_encoder import load_encoder
from core.encoders.store import stored_encoders
from core.errors import UserError
from core.jobs import QuietContext
from core.library.library import Library
from core.library.queries import images_of
from core.library.runs import DONE, current_run, runs
from core.onnx.bundle import BundleError
from core.report import second_judge as judges
from core.running_out import (
    NoRoomError,
    Portion,
    in_portions,
    in_words,
    is_out_of_memory,
    no_room,
    room_for,
    where_it_fits,
)
from core.training.job import train_job
from gui.worker import Failure, perform
from tests.core.test_train_job import library, request

__all__ = ["library"]


def _because(cause: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def _of_windows(number: int) -> OSError:
    """As Windows has them, in whatever language it speaks."""
    error = OSError("Die Auslagerungsdatei ist zu klein")
    error.winerror = number  # pyright: ignore[reportAttributeAccessIssue]
    return error


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("Tried to allocate 2.00 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"), True),
        (BundleError("Failed to allocate memory for requested buffer of size 9"), True),
        (no_room("It", "cuda:0"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (_because(OSError(errno.ENOMEM, "Kein Speicher"), UserError("It could not be loaded: Kein Speicher")), True),
        (_of_windows(1455), True),
        (RuntimeError("unable to mmap 9 bytes: Cannot allocate memory (12)"), True),
        (RuntimeError("The paging file is too small for this operation to complete. (os error 1455)"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "a tale of out of memory.txt"), False),
        (RuntimeError("MPS does not support this"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_it_is_told_from_other_errors(error, is_one):
    assert is_out_of_memory(error) is is_one


@pytest.fixture
def full_card(monkeypatch):
    """Nothing goes onto cuda:0 any more."""
    plain = nn.Module.to

    def to(module, *args, **named):
        if "cuda:0" in map(str, args):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(module, *args, **named)

    monkeypatch.setattr(nn.Module, "to", to)


def test_models_that_do_not_go_onto_the_card_say_what_to_do(tiny_starter, full_card):
    with pytest.raises(NoRoomError, match="The encoder 'starter' does not go into the memory of cuda:0") as refused:
        load_encoder("starter", "cuda:0")
    assert "smaller model, another device or the processor" in refused.value.next_step
    assert "--device cpu" in with_flags(refused.value) and "window" not in with_flags(refused.value)
    with pytest.raises(NoRoomError, match=r"The language model .* memory of cuda:0"):
        load_captioner(paths.starter_dir() / "captioner", device="cuda:0")


def test_a_model_too_large_for_the_computer_is_not_called_damaged(tiny_starter, monkeypatch):
    def read(*_args, **_named):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", read)
    with pytest.raises(NoRoomError, match="does not go into the memory of this computer"):
        load_captioner(paths.starter_dir() / "captioner")


def test_what_does_not_fit_on_a_card_goes_to_the_processor():
    went = []

    def work(device):
        went.append(device)
        if device != "cpu" or len(went) > 2:
            raise no_room("It", device)
        return device

    assert where_it_fits(work, torch.device("cuda:0")) == "cpu"
    with pytest.raises(NoRoomError):
        where_it_fits(work, "cpu")
    assert went == ["cuda:0", "cpu", "cpu"]


class Small:
    """The starter on a card that has room for so many photos."""

    def __init__(self, room):
        self._inner, self._room, self.asked = load_encoder("starter"), room, []
        self.fingerprint, self.dim, self.preprocess = self._inner.fingerprint, self._inner.dim, self._inner.preprocess
        self.id, self.prompt, self.device = "small", "", "cuda:0"

    def encode_images(self, pixels):
        self.asked.append(len(pixels))
        if len(pixels) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._inner.encode_images(pixels)

    def encode_texts(self, texts, prompt=True):
        return self._inner.encode_texts(texts, prompt)


def test_photos_are_looked_at_in_smaller_portions(library):
    with Library.open(library) as opened:
        with pytest.raises(NoRoomError) as refused:
            embed_library(opened, Small(0), QuietContext())
        assert refused.value.message == "Even one photo at a time does not go into the memory of cuda:0."
        small = Small(3)
        report = embed_library(opened, small, QuietContext())
        assert report.embedded == 30 and {one.count for one in stored_encoders(opened)} == {30}
    assert small.asked[0] > 3 and max(small.asked[-8:]) <= 3, "it learned"


def test_captions_are_read_in_smaller_portions(tiny_starter, monkeypatch):
    encoder = load_encoder("starter")
    texts = [f"Dog {i}" for i in range(9)]
    wanted, plain = encoder.encode_texts(texts), encoder.text_embeddings

    def tight(ids):
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(ids)

    monkeypatch.setattr(encoder, "text_embeddings", tight)
    np.testing.assert_allclose(encoder.encode_texts(texts), wanted, atol=1e-5)
    monkeypatch.setattr(encoder, "text_embeddings", lambda _ids: tight(range(3)))
    with pytest.raises(NoRoomError) as refused:
        encoder.encode_texts(texts)
    assert refused.value.message == "Even one caption at a time does not go into the memory of this computer."


def test_the_second_judge_waits_for_the_processor(library, full_card, monkeypatch):
    class Rewarding:
        id, fingerprint, device = "another", "f" * 64, "cuda:0"

    went, plain = [], judges.load_encoder
    monkeypatch.setattr(judges, "load_encoder", lambda name, device: went.append(str(device)) or plain(name, device))
    with Library.open(library) as opened:
        ids = np.array([row.id for row in images_of(opened)[:4]])
        found = judges.second_judge(opened, Rewarding(), ids, QuietContext())  # pyright: ignore[reportArgumentType]
    assert found is not None and found.encoder.id == "starter" and len(found.images) == 4
    assert went == ["cuda:0", "cpu"]


def test_what_was_trained_stays_where_the_memory_does_not_suffice_afterwards(library, monkeypatch):
    def measure(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("core.report.measure.measure", measure)
    report = train_job(QuietContext(), request(library, stages="1"))
    assert report.page is None and "There is no page about this training." in report.notes
    with Library.open(library) as opened:
        assert runs(opened)[0].status == DONE
        assert current_run(opened) is not None or report.kept == "before"


def test_a_training_that_does_not_go_onto_the_card_is_no_fault(library, full_card, monkeypatch):
    monkeypatch.setattr("core.devices.choose_device", lambda _name="auto": _Card())
    with pytest.raises(UserError, match="memory of cuda:0"):
        train_job(QuietContext(), request(library))


def test_what_nobody_foresaw_is_said_in_words_too(library, monkeypatch, capsys):
    def out_of_memory(*_args, **_named):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("core.ranking.rank_job", out_of_memory)
    assert cli.main(["rank", str(library)]) == 2
    assert capsys.readouterr().err.startswith("seedcap: The memory did not suffice for this work.")
    told = perform(out_of_memory, None, lambda _message: None, threading.Event())
    assert isinstance(told, Failure) and not told.details and "Close other programs" in told.next_step


def test_the_system_that_has_no_memory_left_for_a_file_is_no_fault(library, monkeypatch, capsys):
    def mapped(*_args, **_named):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", mapped)
    with pytest.raises(NoRoomError, match="does not go into the memory of this computer"):
        load_captioner(paths.starter_dir() / "captioner")
    monkeypatch.setattr("core.ranking.rank_job", mapped)
    assert cli.main(["rank", str(library)]) == 2
    assert capsys.readouterr().err.startswith("seedcap: The memory did not suffice for this work.")
    with pytest.raises(NoRoomError), room_for("It", "cpu"):
        mapped()
    assert list(in_portions([1, 2, 3], Portion(3), lambda some: some if len(some) < 2 else mapped(), in_words()))


class _Card:
    name, title, total, free, room, instead_of = "cuda:0", "A card", None, None, None, ""
