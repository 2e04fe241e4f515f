"""Whether an encoder knows a person's photos is told by their own captions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.training import familiar
from core.training.data import CaptionedVectors, TrainingData
from core.training.messages import OwnCaptions

LABELLED, OTHERS, DIM = 20, 80, 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def said(monkeypatch):
    """What is found where captions lie so far (0: on it) from their photo, and there are so many of both."""
    rng = np.random.default_rng(0)
    photos, apart = unit(rng.normal(size=(LABELLED + OTHERS, DIM))), unit(rng.normal(size=(LABELLED, DIM)))

    def say(far: float, labelled: int = LABELLED, others: int = OTHERS) -> str:
        texts = {f"c{i}": unit((1 - far) * photos[i : i + 1] + far * apart[i : i + 1])[0] for i in range(LABELLED)}
        monkeypatch.setattr(familiar, "text_vectors", lambda _, wanted, **__: np.stack([texts[one] for one in wanted]))
        captions = tuple((f"c{i}", "never read") for i in range(labelled))
        held, rest = labelled // 4, photos[LABELLED : LABELLED + others]
        data = TrainingData(
            CaptionedVectors(np.arange(held, labelled), photos[held:labelled], captions[held:]),
            CaptionedVectors(np.arange(held), photos[:held], captions[:held]),
            rest[1:], np.arange(others - 1), rest[:1], np.arange(1),
        )  # fmt: skip
        encoder: Any = SimpleNamespace()
        return familiar.own_captions(encoder, data)

    return say


def test_captions_that_find_their_photos_are_not_few(said):
    assert said(0.0) == OwnCaptions(20, 20, 100)
    assert not said(0.3).few


def test_captions_that_do_not_are(said):
    own = said(1.0)
    assert own.few and own.found < 8


def test_too_few_captions_or_photos_tell_nothing(said):
    assert said(1.0, labelled=8) is None
    assert said(1.0, others=20) is None
