"""What people do to captions: kept at once, undoable, and never lost."""

from __future__ import annotations

import re
import sys

import pytest

from core.errors import UserError
from core.library import edits, expressions, history, queries, rewriting, steps
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.rewriting import Around, Replace, Scope
from core.library.tables import Caption
from tests.core.photos import library_with


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 3) as library:
        yield library


def _shown(library, image_id: int = 1) -> list[tuple[str, str, str, bool]]:
    captions = queries.captions_of(library, [image_id])[image_id]
    return [(caption.text, caption.author, caption.state, caption.is_seed) for caption in captions]


def _candidate(library, text: str = "by the model", image_id: int = 1) -> int:
    return add_candidates(library, None, {image_id: [text]}, "add")[image_id][0]


def test_a_seed_is_human_accepted_and_learned_from(library):
    first = edits.add_seed(library, 1, "  a red kite \n")
    edits.add_seed(library, 1, "a kite")
    assert edits.add_seed(library, 1, "a red kite") == first  # once
    assert _shown(library) == [("a red kite", "human", "accepted", True), ("a kite", "human", "accepted", True)]
    assert [(seed.image_id, seed.texts) for seed in queries.seeds(library)] == [(1, ("a red kite", "a kite"))]


@pytest.mark.parametrize("text", ["", "   \n\t", "\x00", "\x01\x7f \u200b", "x" * (edits.MAX_LENGTH + 1)])
def test_a_text_that_is_no_caption_is_refused_and_changes_nothing(library, text):
    caption = edits.add_seed(library, 1, "a kite")
    before = _shown(library)
    for action in (lambda: edits.add_seed(library, 1, text), lambda: edits.edit_caption(library, caption, text)):
        with pytest.raises(UserError):
            action()
    assert _shown(library) == before
    assert edits.undo(library) == "Write a caption"
    assert edits.undo(library) is None


@pytest.mark.parametrize(
    "text", ["naïve café ☕ 写真 🌵", "a ' quote; DROP TABLE caption --", 'a "b" \\ %s {x}', "two\nlines"]
)
def test_a_caption_is_kept_as_it_was_typed(library, text):
    edits.add_seed(library, 1, text)
    assert _shown(library)[0][0] == text


def test_half_a_character_from_an_input_method_does_not_break_saving(library):
    edits.add_seed(library, 1, "kite \ud83c")
    assert _shown(library)[0][0] == "kite ?"


def test_an_edit_takes_the_place_of_the_model_text_and_keeps_it(library):
    candidate = _candidate(library)
    revision = edits.edit_caption(library, candidate, "in my words")
    assert _shown(library) == [("in my words", "human", "accepted", True)]
    with library.session() as session:
        new, old = session.get_one(Caption, revision), session.get_one(Caption, candidate)
        assert (new.supersedes_id, old.text, old.author, old.live) == (candidate, "by the model", "run", False)
    with pytest.raises(UserError, match="replaced or removed"):
        edits.edit_caption(library, candidate, "again")


def test_an_edit_without_accepting_keeps_the_state(library):
    candidate = _candidate(library)
    edits.edit_caption(library, candidate, "a draft", accept=False)
    assert _shown(library) == [("a draft", "human", "candidate", False)]


def test_a_photo_never_has_the_same_caption_twice(library):
    mine = edits.add_seed(library, 1, "a kite")
    draft = edits.edit_caption(library, _candidate(library), "a draft", accept=False)
    assert edits.edit_caption(library, draft, "a kite", accept=False) == mine
    assert _shown(library) == [("a kite", "human", "accepted", True)]
    edits.undo(library)
    _candidate(library, "by the model, too")
    edits.edit_caption(library, mine, "by the model, too")
    assert _shown(library) == [
        ("by the model, too", "human", "accepted", True),
        ("a draft", "human", "candidate", False),
    ]
    edits.share_caption(library, draft, [1], "by the model, too")
    assert _shown(library) == [("by the model, too", "human", "accepted", True)]


def test_seeds_taken_in_are_seeds_whatever_the_photo_had(library):
    _candidate(library, "by the model")
    edits.reject(library, [edits.add_seed(library, 1, "rejected")])
    edits.add_seed(library, 1, "a seed")
    before = _shown(library)
    texts = ["by the model", "rejected", "a seed", "new"]
    assert edits.add_captions(library, {1: texts}, is_seed=True) == 3
    assert sorted(_shown(library)) == sorted((text, "human", "accepted", True) for text in texts)
    edits.undo(library)
    assert _shown(library) == before
    assert edits.add_captions(library, {1: texts}, is_seed=False) == 1
    assert sorted(_shown(library)) == sorted([*before, ("new", "human", "candidate", False)])


def test_an_unchanged_text_is_accepted_as_the_models_own(library):
    candidate = _candidate(library)
    assert edits.edit_caption(library, candidate, " by the model ") == candidate
    assert _shown(library) == [("by the model", "run", "accepted", False)]
    assert queries.seeds(library) == []


def test_accepting_model_text_does_not_make_it_a_seed_but_human_text_it_does(library):
    model = _candidate(library)
    human = edits.edit_caption(library, _candidate(library, "x"), "a draft", accept=False)
    assert edits.accept(library, [model, human]) == 2
    assert _shown(library) == [("a draft", "human", "accepted", True), ("by the model", "run", "accepted", False)]
    assert edits.accept(library, [model, human]) == 0


def test_a_rejected_seed_is_no_longer_learned_from(library):
    caption = edits.add_seed(library, 1, "a kite")
    edits.reject(library, [caption])
    assert queries.seeds(library) == [] and _shown(library) == [("a kite", "human", "rejected", False)]
    edits.undo(library)
    assert len(queries.seeds(library)) == 1


def test_writing_what_the_model_said_makes_it_human(library):
    _candidate(library, "a kite")
    edits.add_seed(library, 1, "a kite")
    assert _shown(library) == [("a kite", "human", "accepted", True)]
    edits.undo(library)
    assert _shown(library) == [("a kite", "run", "candidate", False)]


def test_every_step_is_undone_and_done_again_also_after_a_restart(library):
    one, two = _candidate(library, "one"), _candidate(library, "two")
    states = [_shown(library)]
    steps = [
        lambda: edits.add_seed(library, 1, "mine"),
        lambda: edits.accept(library, [one]),
        lambda: edits.edit_caption(library, two, "two, better"),
        lambda: edits.reject(library, [one]),
        lambda: edits.remove_caption(library, one),
        lambda: edits.add_captions(library, {1: ["a", "b"], 2: ["c"]}, is_seed=False, label="Import"),
    ]
    for step in steps:
        step()
        states.append(_shown(library))
    assert len({tuple(state) for state in states}) == len(states)
    with Library.open(library.path) as again:
        labels = []
        for state in reversed(states[:-1]):
            labels.append(edits.undo(again))
            assert _shown(again) == state
        assert edits.undo(again) is None
    for state, label in zip(states[1:], reversed(labels), strict=True):
        assert edits.can_redo(library) == label
        assert edits.redo(library) == label
        assert _shown(library) == state
    assert edits.redo(library) is None


def test_a_new_step_forgets_what_could_have_been_redone(library):
    edits.add_seed(library, 1, "first")
    edits.undo(library)
    edits.add_seed(library, 1, "second")
    assert edits.can_redo(library) is None and edits.redo(library) is None
    assert edits.undo(library) is not None
    assert _shown(library) == []


def test_a_batch_is_one_step(library):
    captions = [_candidate(library, "x", image) for image in (1, 2, 3)]
    edits.accept(library, captions)
    assert edits.can_undo(library) == "Accept 3 captions"
    edits.undo(library)
    assert queries.counts(library).accepted == 0 and queries.counts(library).candidates == 3


def test_undo_leaves_alone_what_a_job_wrote_meanwhile(library):
    first = _candidate(library, "old")
    edits.reject(library, [first])
    add_candidates(library, None, {1: ["new"]}, "replace-model")
    edits.undo(library)
    assert set(_shown(library)) == {("old", "run", "candidate", False), ("new", "run", "candidate", False)}


def test_a_step_that_fails_leaves_neither_change_nor_undo(library, monkeypatch):
    candidate = _candidate(library)
    before = _shown(library)

    write = steps.Step.write

    def fails(self):
        write(self)
        raise RuntimeError("disk full")

    monkeypatch.setattr(steps.Step, "write", fails)
    for action in (lambda: edits.edit_caption(library, candidate, "x"), lambda: edits.accept(library, [candidate])):
        with pytest.raises(RuntimeError):
            action()
    assert _shown(library) == before and edits.can_undo(library) is None


def test_a_photo_that_is_gone_is_said(library):
    with pytest.raises(UserError, match="no longer in the library"):
        edits.add_seed(library, 999, "x")


def test_a_caption_is_shared_with_near_duplicates_as_one_step(library):
    candidate = _candidate(library)
    edits.add_seed(library, 3, "by the model")
    assert edits.share_caption(library, candidate, [1, 2, 3, 99]) == 3
    assert edits.can_undo(library) == "Accept a caption for 3 photos"
    assert [_shown(library, one) for one in (1, 2, 3)] == [
        [("by the model", "run", "accepted", False)],
        [("by the model", "run", "accepted", False)],
        [("by the model", "human", "accepted", True)],
    ]
    edits.undo(library)
    assert _shown(library, 2) == [] and _shown(library) == [("by the model", "run", "candidate", False)]


def test_an_earlier_text_is_used_again_beside_what_is_there(library):
    first = edits.add_seed(library, 1, "first")
    second = edits.edit_caption(library, first, "second")
    again = edits.use_again(library, first)
    assert again not in (first, second)
    assert sorted(_shown(library)) == [("first", "human", "accepted", True), ("second", "human", "accepted", True)]
    assert edits.undo(library) == "Use an earlier caption again"
    assert _shown(library) == [("second", "human", "accepted", True)]


def test_what_the_model_said_is_used_again_as_its_own(library):
    add_candidates(library, None, {1: ["by the model"]}, "add")
    (candidate,) = [caption.id for caption in queries.captions_of(library, [1])[1]]
    edits.reject(library, [candidate])
    assert edits.use_again(library, candidate) == candidate
    assert _shown(library) == [("by the model", "run", "accepted", False)]
    edits.undo(library)
    edits.remove_caption(library, candidate)
    assert edits.use_again(library, candidate) != candidate
    assert _shown(library) == [("by the model", "run", "accepted", False)]
    with pytest.raises(UserError):
        edits.use_again(library, 999)


def test_what_a_person_made_of_a_caption_is_shared_in_one_step(library):
    add_candidates(library, None, {1: ["by the model"], 2: ["another"]}, "add")
    (candidate,) = [caption.id for caption in queries.captions_of(library, [1])[1]]
    assert edits.share_caption(library, candidate, [1, 2], "by the model and me ") == 2
    assert _shown(library) == [("by the model and me", "human", "accepted", True)]
    shared = ("by the model and me", "human", "accepted", False)
    assert sorted(_shown(library, 2)) == [("another", "run", "candidate", False), shared]
    assert edits.undo(library) == "Accept a caption for 2 photos"
    assert _shown(library) == [("by the model", "run", "candidate", False)]
    assert _shown(library, 2) == [("another", "run", "candidate", False)]


def test_the_log_says_what_was_done(library):
    edits.add_seed(library, 1, "a")
    edits.add_captions(library, {1: ["b"], 2: ["c"]}, is_seed=True, label="Import")
    edits.undo(library)
    assert [(row.kind, row.label, row.captions, row.undone) for row in edits.log(library)] == [
        ("add_captions", "Import", 2, True), ("add_seed", "Write a caption", 1, False),
    ]  # fmt: skip
    assert len(edits.log(library, limit=1)) == 1


def test_a_step_over_very_many_captions_is_undone_at_once(library):
    texts = {1: [f"caption {number}" for number in range(5000)]}
    assert edits.add_captions(library, texts, is_seed=False) == 5000
    done = rewriting.rewrite(library, rewriting.Replace("caption", "picture"))
    assert (done.captions, done.photos, len(done.rows)) == (5000, 1, 200)
    assert edits.can_undo(library) == "Replace “caption” by “picture” in 5,000 captions"
    edits.undo(library)
    assert {caption[0] for caption in _shown(library)} == set(texts[1])
    edits.redo(library)
    assert len(queries.image_ids(library, filter="picture")) == 1
    assert len(queries.image_ids(library, filter="caption")) == 0


# --- find and replace ---


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (Replace("cat", "dog"), "A CAT and a category", "A dog and a dogegory"),
        (Replace("cat", "dog", words=True), "A cat, a category", "A dog, a category"),
        (Replace("cat", "dog", case=True), "Cat cat", "Cat dog"),
        (Replace("a.c", "x"), "abc a.c", "abc x"),
        (Replace("a", r"\1"), "a", r"\1"),
        (Replace(r"(\w+) (\w+)", r"\2 \1", regex=True), "red car", "car red"),
        (Replace(r"(?P<n>\d+)", r"<\g<n>>", regex=True), "7 cars", "<7> cars"),
        (Replace("a|b", "c", regex=True, words=True), "a ab b", "c ab c"),
        (Replace("^", "the ", regex=True), "dog", "the dog"),
        (Replace("é", "e"), "caféÉ", "cafee"),
        (Around("A photo of ", "."), "a dog", "A photo of a dog."),
        (Around("x ", "  "), "y", "x y"),
    ],
)
def test_what_is_replaced(library, change, before, after):
    caption = edits.add_seed(library, 1, before)
    (row,) = rewriting.preview(library, change).rows
    assert (row.caption_id, row.before, row.after, row.refused) == (caption, before, after, None)
    assert _shown(library)[0][0] == before  # looking changes nothing
    rewriting.rewrite(library, change)
    assert _shown(library) == [(after, "human", "accepted", True)]
    edits.undo(library)
    assert _shown(library)[0][0] == before


@pytest.mark.parametrize(
    "change",
    [
        Replace("", "x"),
        Replace("(", "x", regex=True),
        Replace("a", r"\2", regex=True),
        Replace("a", r"\g<no>", regex=True),
        Replace("(a)(?P<n>b)", r"\g<m>", regex=True),
        Replace("a", "x\\", regex=True),
        Around(" ", "\n"),
    ],
)
def test_a_change_that_cannot_be_understood_is_refused(library, change):
    edits.add_seed(library, 1, "b")  # also where nothing would be found
    for action in (rewriting.preview, rewriting.rewrite):
        with pytest.raises(UserError) as caught:
            action(library, change)
        assert caught.value.next_step
    assert _shown(library)[0][0] == "b"


@pytest.mark.parametrize(
    ("find", "by"),
    [
        (r"(a+)+$", "x"),
        (r"(a|aa)+$", "x"),
        (r"(\w+\s?)*!", "x"),
        ("(?:" * 8 + "z?" + "){100}" * 8, "x"),  # also on a text without a letter
    ],
)
def test_an_expression_that_takes_for_ever_is_refused_and_nothing_is_held_up(library, monkeypatch, find, by):
    monkeypatch.setattr(expressions, "LONGEST_S", 0.3)
    edits.add_seed(library, 1, "a" * 60 + "b")
    for action in (rewriting.preview, rewriting.rewrite):
        with pytest.raises(UserError, match="takes more than") as caught:
            action(library, Replace(find, by, regex=True))
        assert "repetition" in caught.value.next_step
    edits.add_seed(library, 1, "the writer is free")
    assert [row[0] for row in _shown(library)] == ["a" * 60 + "b", "the writer is free"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_an_expression_that_takes_too_much_memory_is_refused(library, monkeypatch):
    monkeypatch.setattr(expressions, "MEMORY", 128 << 20)
    edits.add_seed(library, 1, "a" * 10_000)
    with pytest.raises(UserError, match="128 MB"):
        rewriting.rewrite(library, Replace("a", "b" * 100_000, regex=True))
    assert edits.can_undo(library) == "Write a caption"


def test_an_expression_gives_what_re_gives(library):
    texts = ["a cat, a dog", "Straße ÉTÉ", "line\none", "\ud83d\ude00 smile", '"q"\\', "tab\there", "x" * 9_990]
    edits.add_captions(library, {1: texts}, is_seed=True)
    change = Replace(r"(?P<one>\w)\b(.?)", r"\g<one>\2\n", regex=True)
    told = {row.before: row.after for row in rewriting.preview(library, change).rows}
    by_re = {text: re.sub(change.find, change.by, text, flags=re.IGNORECASE).strip() for text in texts}
    assert told == {text: after for text, after in by_re.items() if after != text}


def test_what_an_expression_makes_too_long_is_refused_not_cut_off(library):
    edits.add_seed(library, 1, "x" * 9_000)
    (row,) = rewriting.preview(library, Replace("^(x+)$", r"\1" + " " * 1_000 + r"\1", regex=True)).rows
    assert row.refused == rewriting.TOO_LONG


def test_captions_that_cannot_be_changed_stay_and_are_named(library):
    edits.add_captions(library, {1: ["cat", "dog", "a cat", "x" * 9_999]}, is_seed=True)
    done = rewriting.rewrite(library, Replace("cat|x", "", regex=True))
    assert [(row.after, row.refused) for row in done.rows] == [
        ("a", None), ("", rewriting.EMPTY), ("", rewriting.EMPTY),
    ]  # fmt: skip
    assert (done.captions, done.refused) == (1, 2)
    twice = rewriting.preview(library, Replace("dog", "cat"))
    assert (twice.captions, twice.rows[0].refused) == (0, rewriting.TWICE)
    assert rewriting.preview(library, Around("", " more")).rows[-1].refused is None
    (long,) = [row for row in rewriting.preview(library, Around("", "yy")).rows if len(row.before) > 100]
    assert long.refused == rewriting.TOO_LONG


def test_only_what_was_meant_is_changed(library):
    mine, other = edits.add_seed(library, 1, "a cat"), edits.add_seed(library, 2, "a cat")
    edits.reject(library, [_candidate(library, "no cat")])
    change = Replace("cat", "dog")
    assert rewriting.preview(library, change).captions == 2
    assert rewriting.preview(library, change, Scope(image_ids=(2,))).rows[0].caption_id == other
    assert rewriting.preview(library, change, Scope(caption_ids=(mine,))).rows[0].caption_id == mine
    assert rewriting.preview(library, change, Scope(states=("rejected",))).captions == 1
    assert rewriting.preview(library, change, limit=1).captions == 2
    assert edits.can_undo(library) == "Reject a caption"


# --- history ---


def test_earlier_versions_are_kept(library):
    first = _candidate(library, "one")
    second = edits.edit_caption(library, first, "two")
    rewriting.rewrite(library, Replace("two", "three"))
    third = queries.captions_of(library, [1])[1][0].id
    versions = history.caption_history(library, third)
    assert [(one.id, one.text, one.author, one.live) for one in versions] == [
        (third, "three", "human", True), (second, "two", "human", False), (first, "one", "run", False),
    ]  # fmt: skip
    edits.undo(library)
    edits.remove_caption(library, second)
    assert [(one.text, one.live) for one in history.photo_history(library, 1)] == [
        ("three", False), ("two", False), ("one", False),
    ]  # fmt: skip
    assert history.caption_history(library, 999) == []


def test_typing_over_an_accepted_caption_and_emptying_are_taken_back(library):
    accepted = _candidate(library)
    edits.accept(library, [accepted])
    typed = edits.edit_caption(library, accepted, "a kite")
    assert edits.take_back(library, typed, "") == (False, None), "the accepted one stood there"
    assert edits.take_back(library, typed, "by the model") == (True, accepted)
    assert _shown(library) == [("by the model", "run", "accepted", False)], "it is no seed by that"
    edits.remove_caption(library, accepted)
    assert edits.take_back(library, accepted, "another") == (False, None)
    assert edits.take_back(library, accepted, "by the model") == (True, accepted)
    assert _shown(library) == [("by the model", "run", "accepted", False)]


def test_typing_is_taken_back_only_where_nothing_was_done_since(library):
    suggested = _candidate(library)
    first = edits.edit_caption(library, suggested, "a kite")
    second = edits.edit_caption(library, first, "a red kite")
    assert edits.take_back(library, second, "never said") == (False, None)
    assert edits.take_back(library, second, "a kite") == (True, first)
    second = edits.edit_caption(library, first, "a red kite")
    edits.add_seed(library, 2, "another photo")
    assert edits.take_back(library, second, "") == (False, None)
    assert _shown(library)[0][0] == "a red kite" and edits.can_undo(library) == "Write a caption"
    edits.undo(library)
    assert edits.take_back(library, second, "") == (True, None)
    assert _shown(library) == [("by the model", "run", "candidate", False)]
    assert edits.can_undo(library) is None
