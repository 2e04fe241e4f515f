"""What a benchmark says of its figures."""

from __future__ import annotations

import pytest

from core.bench.result import BenchResult, Measure


@pytest.mark.parametrize(
    ("measure", "met"),
    [
        (Measure("r1", 30.0, "%", 30.0), True),
        (Measure("r1", 29.9, "%", 30.0), False),
        (Measure("minutes", 6.0, "min", 6.0, higher_is_better=False), True),
        (Measure("minutes", 6.1, "min", 6.0, higher_is_better=False), False),
        (Measure("gain", 0.0, "", 0.0, beyond=True), False),
        (Measure("gain", 0.01, "", 0.0, beyond=True), True),
        (Measure("cider", 12.0, ""), None),
    ],
)
def test_an_aim_is_met_on_its_own_side(measure: Measure, met: bool | None) -> None:
    assert measure.met is met
    assert measure.to_dict()["met"] is met


def test_the_table_says_what_was_missed_and_by_what_rule() -> None:
    measures = (Measure("gain", 0.0, "", 0.0, low=-0.1, high=0.1, beyond=True), Measure("minutes", 5.0, "min", 6.0))
    first, second = BenchResult("one-button", measures).table().splitlines()[1:3]
    assert first.split() == ["gain", "0.00", "[-0.10,", "0.10]", ">", "0", "missed"]
    assert second.split()[-3:] == [">=", "6", "missed"]
