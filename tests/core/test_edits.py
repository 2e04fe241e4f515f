"""What people do to captions: kept at once, undoable, and never lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from core.errors import UserError
from core.library import edits, queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.tables import Caption, Edit
from tests.core.photos import copy_of_library, library_with


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


@pytest.mark.parametrize("text", ["", "   \n\t", "\x00", "x" * (edits.MAX_LENGTH + 1)])
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

    def fails(self):
        raise RuntimeError("disk full")

    monkeypatch.setattr(edits._Step, "write", fails)
    for action in (lambda: edits.edit_caption(library, candidate, "x"), lambda: edits.accept(library, [candidate])):
        with pytest.raises(RuntimeError):
            action()
    assert _shown(library) == before and edits.can_undo(library) is None


def test_a_photo_that_is_gone_is_said(library):
    with pytest.raises(UserError, match="no longer in the library"):
        edits.add_seed(library, 999, "x")


class EditingMachine(RuleBasedStateMachine):
    """Any order of steps, undos and redos agrees with a plain list of states."""

    template: Path  # set by the fixture

    @initialize()
    def start(self):
        self._folder = tempfile.TemporaryDirectory()
        self.library = copy_of_library(self.template, Path(self._folder.name))
        self.states = [self._state()]
        self.at = 0

    def _state(self):
        return {one: sorted(_shown(self.library, one)) for one in (1, 2)}

    def _live(self) -> list[int]:
        return [caption.id for rows in queries.captions_of(self.library, [1, 2]).values() for caption in rows]

    def _done(self):
        if self._state() != self.states[self.at]:
            del self.states[self.at + 1 :]
            self.states.append(self._state())
            self.at += 1
        else:
            with self.library.session() as session:
                steps = session.scalar(select(func.count()).select_from(Edit).where(~Edit.undone))
            assert steps == self.at  # a step that changes nothing is no step

    @rule(image=st.sampled_from([1, 2]), text=st.sampled_from(["a", "b", "c"]))
    def write(self, image, text):
        edits.add_seed(self.library, image, text)
        self._done()

    @precondition(lambda self: self._live())
    @rule(data=st.data(), action=st.sampled_from(["accept", "reject", "remove", "edit", "draft"]))
    def act(self, data, action):
        caption = data.draw(st.sampled_from(self._live()))
        if action == "remove":
            edits.remove_caption(self.library, caption)
        elif action in ("accept", "reject"):
            getattr(edits, action)(self.library, [caption])
        else:
            edits.edit_caption(self.library, caption, data.draw(st.sampled_from("abcd")), accept=action == "edit")
        self._done()

    @rule()
    def undo(self):
        label = edits.undo(self.library)
        assert (label is None) == (self.at == 0)
        self.at = max(0, self.at - 1)

    @rule()
    def redo(self):
        label = edits.redo(self.library)
        assert (label is None) == (self.at == len(self.states) - 1)
        self.at = min(len(self.states) - 1, self.at + 1)

    @invariant()
    def agrees(self):
        assert self._state() == self.states[self.at]

    def teardown(self):
        if hasattr(self, "library"):
            self.library.close()
            self._folder.cleanup()


def test_any_order_of_steps_agrees_with_a_list_of_states(tmp_path):
    with library_with(tmp_path, 2) as library:
        EditingMachine.template = library.path
    few = settings(max_examples=12, stateful_step_count=12, deadline=None)
    run_state_machine_as_test(EditingMachine, settings=few)
