"""Whether more seeds would help, by what trainings with different numbers of them told of the same held-out photos."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from core.library.records import RunRow
from core.metrics.bootstrap import Difference
from core.training.data import CaptionedVectors
from core.training.enough import SEEDS, MoreSeeds, SeedsTold, keys_of, more_seeds, read_told, write_told

HELD = [f"{photo}:a" for photo in range(8)]
SPREAD = np.linspace(-0.5, 0.5, len(HELD))


@pytest.fixture
def trained(tmp_path):
    """Make a finished training that learned from so many seeds, with a mean loss on the held-out photos."""
    number = 0

    def make(seeds, loss, *, held=HELD, lm="starter", status="done", noise=0.0, gain=None):
        nonlocal number
        number += 1
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        drawn = noise * np.random.default_rng(number).normal(size=len(SPREAD))
        losses = dict(zip(held, (loss + SPREAD + drawn).tolist(), strict=False))
        write_told(folder, SeedsTold(seeds, losses, gain))
        config = {"request": {"preset": "recommended", "lm": lm, "overrides": {}}}
        return RunRow(folder.name, "recommended", config, 0, status, folder, None, "f" * 64, {}, [], None, None,
                      datetime.now(UTC), None)  # fmt: skip

    return make


def test_one_training_tells_nothing_yet(trained):
    assert more_seeds([]) is None
    assert more_seeds([trained(16, 3.0)]) == MoreSeeds(16 + len(HELD), None)


@pytest.mark.parametrize(
    ("newest", "noise", "answer"), [(2.0, 0.0, "helps"), (2.995, 0.0, "little"), (3.0, 1.0, "unclear")]
)
def test_two_trainings_with_different_numbers_tell_what_twice_as_many_would(trained, newest, noise, answer):
    told = more_seeds([trained(32, newest, noise=noise), trained(16, 3.0)])
    assert told == MoreSeeds(32 + len(HELD), answer)


def test_the_change_is_of_twice_as_many_not_of_what_was_tried(trained):
    """The same scatter that tells nothing after one doubling is little of each of eight."""
    told = [more_seeds([trained(seeds, 3.0, noise=0.08), trained(16, 3.0, noise=0.08)]) for seeds in (32, 16 * 2**8)]
    assert [one.answer for one in told if one] == ["unclear", "little"]


def test_what_was_measured_by_trainings_with_fewer_counts_more(trained):
    little = Difference(-0.01, -0.015, 0.001, 0.1)
    assert more_seeds([trained(32, 1.0, gain=little), trained(16, 3.0)]) == MoreSeeds(32 + len(HELD), "little")


@pytest.mark.parametrize(
    "other",
    [
        {"seeds": 16, "lm": "hf:another"},  # another language model has other tokens
        {"seeds": 30},  # as many, nearly
        {"seeds": 64},
        {"seeds": 16, "status": "cancelled"},
        {"seeds": 16, "held": [f"{photo}:b" for photo in range(8)]},  # their captions were others
        {"seeds": 16, "held": [*HELD[:3], "x", "y", "z", "v", "w"]},  # three photos in common
    ],
)
def test_what_cannot_be_compared_is_not(trained, other):
    assert more_seeds([trained(32, 2.0), trained(loss=3.0, **other)]) == MoreSeeds(32 + len(HELD), None)


def test_the_same_photo_with_other_captions_has_another_name():
    ids, images = np.array([7, 8]), np.zeros((2, 4), np.float32)
    one, other = (keys_of(CaptionedVectors(ids, images, texts)) for texts in ((("a",), ("b",)), (("a",), ("b", "c"))))
    assert one[0] == other[0] and one[1] != other[1] and one[0].startswith("7:")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seeds": 4, "losses": [1]}', '{"seeds": "x", "losses": {}}'])
def test_a_damaged_file_says_nothing(trained, content):
    run = trained(16, 3.0)
    (run.folder / SEEDS).write_text(content)
    assert read_told(run.folder) is None and more_seeds([run]) is None
