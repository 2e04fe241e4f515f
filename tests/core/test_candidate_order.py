"""Candidates stand between the likeliest wording and the best score, by stored numbers, as one step that is undone."""

from __future__ import annotations

import pytest

from core.batch.records import Candidate, PhotoRecord
from core.exchange.exports import plan_export
from core.library import edits, queries
from core.library.candidate_order import can_be_ordered
from core.library.candidates import add_candidates
from core.library.records import ScoreRow
from core.library.scores import gallery_version, write_scores
from tests.core.photos import library_with

SAID = {"a dog": (0.50, -0.2), "a dog on sand": (0.60, -0.5), "a wet dog on white sand": (0.65, -0.9)}
WORDING, MIDDLE, APART = "a dog", "a dog on sand", "a wet dog on white sand"


def fill(library, image_id, said, *, likely=True):
    """Candidates with a CLIP-S and a mean log-probability each."""
    numbers = {image_id: {text: mean for text, (_, mean) in said.items()}} if likely else None
    ids = add_candidates(library, None, {image_id: list(said)}, "add", likelihoods=numbers)[image_id]
    return {one: ScoreRow(score, 1, 2, 2.0, 0.1) for one, (score, _) in zip(ids, said.values(), strict=True)}


@pytest.fixture
def library(tmp_path):
    """Photo 1 has candidates that can be ordered, 2 some from before it was kept how likely they were."""
    with library_with(tmp_path, 2) as library:
        rows = fill(library, 1, SAID) | fill(library, 2, {"old one": (0.4, 0), "old two": (0.7, 0)}, likely=False)
        write_scores(library, "e" * 64, rows, gallery_version=gallery_version(library))
        yield library


def texts(library, image_id=1):
    return [one.text for one in queries.captions_of(library, [image_id])[image_id]]


@pytest.mark.parametrize(("wish", "first"), [(0, WORDING), (0.5, MIDDLE), (0.75, MIDDLE), (1, APART)])
def test_the_wish_decides_which_candidate_is_the_best(library, tmp_path, wish, first):
    # CLIP-S + 0.6 (1 - wish) * mean log p: at 0.5 it is 0.44, 0.45 and 0.38; at 0 it is 0.38, 0.30 and 0.11.
    edits.order_candidates(library, wish)
    assert texts(library)[0] == first and sorted(texts(library)) == sorted(SAID)
    assert queries.all_captions(library)[1][0].text == first
    assert first in plan_export(library, "csv", tmp_path / "out.csv", which="best").items[0].content
    assert queries.candidate_order(library) == wish


def test_where_scores_differ_by_less_the_wording_weighs_less(library):
    """The same captions by an encoder that learned with ten times the scale: its CLIP-S differ by a tenth."""
    said = {text: 0.5 + 0.1 * (score - 0.5) for text, (score, _) in SAID.items()}
    ids = {one.text: one.id for one in queries.captions_of(library, [1])[1]}
    rows = {ids[text]: ScoreRow(score, 1, 2, 2.0, 0.1) for text, score in said.items()}
    edits.order_candidates(library, 0.5)
    write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library))
    assert texts(library)[0] == WORDING, "as if by the starter"
    write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library), sharpness=10)
    assert texts(library)[0] == MIDDLE and queries.score_sharpness(library) == 10


def test_captions_with_negative_cosines_do_not_tie_and_are_shown_as_0(library):
    """As SigLIP has them of most true pairs."""
    ids = {one.text: one.id for one in queries.captions_of(library, [1])[1]}
    fits = {WORDING: -0.3, MIDDLE: -0.2, APART: -0.05}
    rows = {ids[text]: ScoreRow(value, 1, 2, 2.0, 0.1) for text, value in fits.items()}
    write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library), sharpness=5.2)
    assert texts(library) == [APART, MIDDLE, WORDING], "where no order was chosen"
    edits.order_candidates(library, 0.99)
    assert texts(library) == [APART, MIDDLE, WORDING]
    stored = [one.score for one in queries.captions_of(library, [1])[1]]
    assert [(one.clip_s, one.fit) for one in stored] == [(0.0, -0.05), (0.0, -0.2), (0.0, -0.3)]
    asked = {text: len(queries.image_ids(library, filter=text)) for text in ("score:0", "score:>=0", "score:<0")}
    assert asked == {"score:0": 1, "score:>=0": 1, "score:<0": 0}


def test_choosing_an_order_is_one_step_and_changes_no_caption(library):
    before = queries.captions_of(library, [1])[1]
    edits.order_candidates(library, 0)
    assert sorted(queries.captions_of(library, [1])[1], key=lambda one: one.id) == sorted(
        before, key=lambda one: one.id
    )
    assert edits.undo(library) == "Change the order of suggestions"
    assert queries.captions_of(library, [1])[1] == before
    assert edits.redo(library) and texts(library)[0] == WORDING
    edits.order_candidates(library, 1)
    assert queries.captions_of(library, [1])[1] == before


def test_accepted_captions_and_rejected_ones_keep_their_places(library):
    by_text = {one.text: one.id for one in queries.captions_of(library, [1])[1]}
    edits.accept(library, [by_text[APART]])
    edits.add_seed(library, 1, "in my words")
    edits.order_candidates(library, 0)
    assert texts(library) == ["in my words", APART, WORDING, MIDDLE]
    edits.reject(library, [by_text[WORDING]])
    assert texts(library) == ["in my words", APART, MIDDLE, WORDING]


def test_what_is_not_known_stays_as_it_was_until_it_is_captioned_again(library):
    edits.order_candidates(library, 0)
    assert texts(library, 2) == ["old two", "old one"]
    assert not can_be_ordered(queries.captions_of(library, [2])[2])
    again = {"old one": -0.1, "old two": -0.9}
    add_candidates(library, None, {2: list(again)}, "add", likelihoods={2: again})
    assert can_be_ordered(queries.captions_of(library, [2])[2]) and texts(library, 2) == ["old one", "old two"]


def test_a_record_keeps_how_likely_a_candidate_was_and_an_older_one_is_read():
    record = PhotoRecord("a.jpg", "a dog", 0.5, (Candidate("a dog", 0.5, -1.2, -0.4),))
    assert PhotoRecord.from_line(record.to_line()) == record
    older = PhotoRecord("a.jpg", "a dog", 0.5, (Candidate("a dog", 0.5, -1.2),))
    assert b"mean_log_prob" not in older.to_line() and PhotoRecord.from_line(older.to_line()) == older
    with pytest.raises(ValueError, match="record"):
        PhotoRecord.from_line(record.to_line().replace(b"-0.4", b"NaN"))
