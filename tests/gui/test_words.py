"""What a person reads: rank sentences, times, counts, and the filter box."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.library.records import ScoreRow
from gui import words
from gui.filters import Filter, FilterError, parse
from gui.widgets.job_bar import Eta
from gui.worker import Progress


def score(rank=1.0, gallery=4812, plain=37.0) -> ScoreRow:
    return ScoreRow(fit=0.7, rank=rank, gallery_size=gallery, plain_rank=plain, distinctiveness=None)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (score(), "Finds this photo first of 4,812; the starter's plain caption finds it 37th."),
        (score(rank=22, plain=22), "Finds this photo 22nd of 4,812."),
        (score(rank=2.5, plain=None), "Finds this photo second of 4,812."),
        (score(rank=111, plain=1), "Finds this photo 111th of 4,812; the starter's plain caption finds it first."),
        (score(gallery=1), "The only photo here, so there is nothing to tell it apart from."),
        (None, "Not scored yet."),
    ],
)
def test_the_checkable_sentence(row, sentence):
    assert words.rank_sentence(row) == sentence


def test_the_standing_of_a_caption_is_the_same_for_every_encoder():
    shares = [words.standing(score(rank=rank, gallery=200)) for rank in (1, 2, 12, 200)]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    assert words.standing(score(rank=1, gallery=1)) == 1.0


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "first"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (102, "102nd"), (1013, "1,013th")],
)
def test_ordinals(number, text):
    assert words.ordinal(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "a few seconds"),
        (3, "a few seconds"),
        (32, "30 seconds"),
        (58, "1 minute"),
        (61, "1 minute"),
        (600, "10 minutes"),
        (3600, "1 h"),
        (3_600 * 5 + 1_260, "5 h 20 min"),
    ],
)
def test_durations_are_no_more_exact_than_they_are(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", Filter()),
        (' "" ', Filter()),
        ("state:accepted", Filter(text="state:accepted")),
        (' State:SEED "red  car" beach', Filter(text='State:SEED "red  car" beach')),
        ("state:failed", Filter("failed")),
        ("state:failed OR dog", Filter(text="state:failed OR dog")),
    ],
)
def test_the_filter_box(text, parsed):
    assert parse(text) == parsed
    assert parsed.empty == (not parsed.query)


def test_a_filter_of_a_state_and_a_text_asks_for_both():
    assert Filter("seed", "a OR b").query == "state:seed (a OR b)"


@pytest.mark.parametrize(
    ("text", "marked"),
    [("dog state:done", "done"), ("score:<x", "<x"), ('cat "red car', '"red car'), ("(dog", "(")],
)
def test_a_mistake_is_pointed_at(text, marked):
    parsed = parse(text)
    assert isinstance(parsed, FilterError)
    assert text[parsed.start : parsed.end] == marked
    assert parsed.message.endswith((".", "?")) and "character" in parsed.message


@given(st.text(max_size=60))
def test_whatever_is_typed_is_understood_or_refused(text):
    parsed = parse(text)
    if isinstance(parsed, FilterError):
        assert 0 <= parsed.start < parsed.end <= len(text)
    else:
        assert parse(parsed.query) in (parsed, Filter(text=parsed.query))


def test_time_left_comes_from_the_recent_rate():
    eta = Eta()
    assert eta.left(Progress(0, 100, "captioning"), 0.0) is None
    assert eta.left(Progress(5, 100, "captioning"), 0.5) is None, "half a second says nothing yet"
    assert eta.left(Progress(20, 100, "captioning"), 10.0) == pytest.approx(40.0)
    assert eta.rate() == pytest.approx(2.0)
    for second in range(11, 60):  # twice as slow from here: the old rate is forgotten
        left = eta.left(Progress(20 + (second - 10), 100, "captioning"), float(second))
    assert left == pytest.approx(31.0)


def test_time_left_starts_anew_with_the_next_step():
    eta = Eta()
    eta.left(Progress(0, 10, "embedding"), 0.0)
    assert eta.left(Progress(10, 10, "embedding"), 5.0) == 0.0
    assert eta.left(Progress(0, 500, "stage 1"), 6.0) is None


def test_a_place_below_the_own_folder_is_said_from_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert words.place(tmp_path / "photos" / "trip") == str(Path("~") / "photos" / "trip")
    assert words.place(tmp_path.parent / "drive") == str(tmp_path.parent / "drive")
