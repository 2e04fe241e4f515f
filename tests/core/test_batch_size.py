"""How many photos at once: halved where memory does not suffice, found by trial where that pays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.batch.batch_size import LARGEST, START, BatchSize
from core.batch.engine import Timers
from core.batch.listing import Item
from core.batch.local import LocalRunner
from core.batch.records import Candidate
from core.errors import UserError
from core.jobs import QuietContext
from core.onnx.bundle import BundleError
from core.onnx.providers import CPU
from core.running_out import is_out_of_memory

ORT = "Non-zero status code returned while running MatMul node. Failed to allocate memory for requested buffer"


class SmallEngine:
    """Has room for ``room`` photos at a time, and says what it was given."""

    def __init__(self, room: int, error: type[Exception] = MemoryError, provider: str = CPU) -> None:
        self.room, self.error, self.given = room, error, []
        encoder = SimpleNamespace(dim=2, preprocess=None)
        self.bundle: Any = SimpleNamespace(encoder=encoder, provider=SimpleNamespace(name=provider))
        self.timers = Timers()

    def embed(self, pixels):
        return np.zeros((len(pixels), 2), np.float32)

    def caption(self, vectors, seeds, ctx):
        self.given.append(len(vectors))
        if len(vectors) > self.room:
            raise self.error(ORT)
        return [(Candidate(f"Seed {seed}.", 0.5, -1.0),) for seed in seeds], vectors


def items(number: int) -> list[Item]:
    """Photos whose vectors are known, so that none is read."""
    return [Item(f"{i}.jpg", Path("none"), content=f"{i:064x}", vector=np.ones(2, np.float32)) for i in range(number)]


@pytest.mark.parametrize("error", [MemoryError, BundleError, RuntimeError])
def test_too_large_a_batch_is_halved_and_nothing_is_lost_or_repeated(error):
    engine: Any = SmallEngine(3, error)
    runner = LocalRunner(engine, 8)
    found = [one for group in runner.run(items(70), QuietContext()) for one in group]
    assert [one.item.file for one in found] == [f"{i}.jpg" for i in range(70)]
    assert all(one.candidates and one.error is None for one in found)
    assert runner.size() <= 3
    tried = engine.given
    assert max(tried[len(tried) // 2 :]) <= 3  # it learned


def test_not_even_one_photo_fits():
    engine: Any = SmallEngine(0)
    with pytest.raises(UserError, match="even one photo at a time") as caught:
        list(LocalRunner(engine, 4).run(items(5), QuietContext()))
    assert "fewer candidates" in caught.value.next_step and engine.given[-1] == 1


def test_another_fault_is_no_lack_of_memory():
    engine: Any = SmallEngine(1, BundleError)
    engine.caption = lambda *_: (_ for _ in ()).throw(BundleError("decoder.onnx could not be run: bad shape"))
    with pytest.raises(BundleError, match="bad shape"):
        list(LocalRunner(engine, 4).run(items(5), QuietContext()))
    assert is_out_of_memory(np._core._exceptions._ArrayMemoryError((1,), np.dtype("f4")))
    assert is_out_of_memory(RuntimeError("CUDA error 2: out of memory")) and not is_out_of_memory(ValueError("x"))


def grown(rate_at, largest: int = LARGEST, wanted: int | None = None) -> list[int]:
    size = BatchSize(wanted, largest)
    seen = [size()]
    for _ in range(40):
        size.took(size(), size() / rate_at(size()))
        seen.append(size())
    return list(dict.fromkeys(seen))


def test_a_size_is_found_by_trial():
    assert grown(lambda photos: photos) == [32, 64, 128, 256]  # twice as many in the same time
    assert grown(lambda photos: min(photos, 64)) == [32, 64, 128]
    size = BatchSize(None, LARGEST)
    for _ in range(40):
        size.took(size(), size() / min(size(), 64))
    assert size() == 64  # 128 were no faster
    assert grown(lambda photos: photos, largest=START) == [32]
    assert grown(lambda photos: photos, wanted=7) == [7]


def test_batches_that_are_not_full_say_nothing_and_a_fault_ends_the_trials():
    size = BatchSize(None, LARGEST)
    for _ in range(9):
        size.took(5, 0.001)
    assert size() == 32
    for _ in range(3):
        size.took(32, 1.0)
    assert size() == 64
    size.too_much(64)
    assert size() == 32
    size.too_much(128)  # a batch that was made before
    assert size() == 16
    size.too_much(32)
    for _ in range(9):
        size.took(size(), 0.001)
    assert size() == 8


def test_only_where_more_at_once_may_be_faster():
    assert LocalRunner(cast_engine(CPU)).size._largest == START
    assert LocalRunner(cast_engine("CUDAExecutionProvider")).size._largest == LARGEST


def cast_engine(provider: str) -> Any:
    return SmallEngine(9, provider=provider)
