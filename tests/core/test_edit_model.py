"""Whatever is done to captions in whatever order, undone, done again, cut off and opened again: every row of the
library stands as a small model in plain Python says."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from core.library import edits, rewriting
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.tables import Caption, Edit, EditChange
from tests.core.photos import copy_of_library, library_with

PHOTOS = (1, 2, 3)
TEXTS = st.sampled_from(["a", "b", "a b", "ab", "c"])
WHICH = st.sets(st.integers(0, 11), min_size=1, max_size=4)


class Reference:
    """Captions as ``(photo, text, author)`` that never change; how each stands now, and stood before each step."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, str, str]] = {}
        self.now: dict[int, tuple[str, bool, bool]] = {}
        self.past: list[dict] = []
        self.future: list[dict] = []

    def live(self, photo: int | None = None) -> list[int]:
        return [one for one in sorted(self.now) if self.now[one][2] and photo in (None, self.rows[one][0])]

    def add(self, photo: int, text: str, author: str, state: str, seed: bool) -> int:
        made = len(self.rows) + 1
        self.rows[made] = (photo, text, author)
        self.now[made] = (state, seed, True)
        return made

    def say(self, photo: int, text: str, state: str, seed: bool) -> int:
        """A person's text is one caption of a photo, in the best state that this text has there."""
        same = [one for one in self.live(photo) if self.rows[one][1] == text]
        mine = [one for one in same if self.rows[one][2] == "human"][:1]
        state = min([state, *(self.now[one][0] for one in mine or same)])  # as it happens, in order of the alphabet
        for one in mine:
            self.put(one, state=state, seed=seed or self.now[one][1])
            return one
        for one in same:
            self.put(one, live=False)
        return self.add(photo, text, "human", state, seed)

    def put(self, one: int, *, state: str | None = None, seed: bool | None = None, live: bool = True) -> None:
        old = self.now[one]
        self.now[one] = (state or old[0], old[1] if seed is None else seed, live)

    def step(self, before: dict) -> None:
        if self.now != before:
            self.past.append(before)
            self.future = []

    def go(self, source: list[dict], target: list[dict]) -> bool:
        if not source:
            return False
        target.append(self.now)
        then = source.pop()
        self.now = {one: then.get(one, (*status[:2], False)) for one, status in self.now.items()}
        return True

    def by_job(self, photo: int, texts: list[str]) -> None:
        """Not a step: it stays, however much is undone or done again."""
        present = {self.rows[one][1] for one in self.live(photo)}
        for text in dict.fromkeys(texts):
            if text not in present:
                made = self.add(photo, text, "run", "candidate", False)
                for snapshot in (*self.past, *self.future):
                    snapshot[made] = self.now[made]


class EditingMachine(RuleBasedStateMachine):
    template: Path

    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.library = copy_of_library(self.template, Path(self.folder.name))
        self.model = Reference()

    def chosen(self, which: set[int]) -> list[int]:
        live = self.model.live()
        return [live[one] for one in sorted(which) if one < len(live)]

    @rule(photo=st.sampled_from(PHOTOS), text=TEXTS)
    def write(self, photo, text):
        model, before = self.model, dict(self.model.now)
        made = edits.add_seed(self.library, photo, f" {text}\n")
        assert made == model.say(photo, text, "accepted", True)
        model.step(before)

    @rule(texts=st.dictionaries(st.sampled_from(PHOTOS), st.lists(TEXTS, max_size=3), max_size=3), seed=st.booleans())
    def take_in(self, texts, seed):
        model, before = self.model, dict(self.model.now)
        edits.add_captions(self.library, texts, is_seed=seed)
        for photo, lines in texts.items():
            present = {model.rows[one][1] for one in model.live(photo)}
            for line in dict.fromkeys(lines):
                if seed:
                    model.say(photo, line, "accepted", True)
                elif line not in present:
                    model.add(photo, line, "human", "candidate", False)
        model.step(before)

    @rule(which=st.integers(0, 11), text=TEXTS, accept=st.booleans())
    def edit(self, which, text, accept):
        model, before = self.model, dict(self.model.now)
        for one in self.chosen({which}):
            made = edits.edit_caption(self.library, one, text, accept=accept)
            photo, old, author = model.rows[one]
            state, seed, _ = model.now[one]
            if text != old:
                model.put(one, live=False)
                assert made == model.say(photo, text, "accepted" if accept else state, accept or seed)
            elif accept:
                model.put(one, state="accepted", seed=seed or author == "human")
        model.step(before)

    @rule(which=WHICH, action=st.sampled_from(["accept", "reject", "remove"]))
    def judge(self, which, action):
        model, before, chosen = self.model, dict(self.model.now), self.chosen(which)
        if action == "remove":
            edits.perform(self.library, edits.RemoveCaptions(tuple(chosen)))
        else:
            getattr(edits, action)(self.library, chosen)
        for one in chosen:
            if action == "remove":
                model.put(one, live=False)
            elif action == "reject":
                model.put(one, state="rejected", seed=False)
            else:
                model.put(one, state="accepted", seed=model.now[one][1] or model.rows[one][2] == "human")
        model.step(before)

    @rule(which=st.integers(0, 11), photos=st.sets(st.sampled_from((*PHOTOS, 99))))
    def share(self, which, photos):
        model, before = self.model, dict(self.model.now)
        for one in self.chosen({which}):
            edits.share_caption(self.library, one, sorted(photos))
            photo, text, author = model.rows[one]
            model.put(one, state="accepted", seed=model.now[one][1] or author == "human")
            for other in sorted(photos - {photo, 99}):
                same = [two for two in model.live(other) if model.rows[two][1] == text]
                for two in same:
                    model.put(two, state="accepted")
                if not same:
                    model.add(other, text, author, "accepted", False)
        model.step(before)

    @rule(find=st.sampled_from(["a", "b", "c", "a b"]), by=st.sampled_from(["", "a", "x"]), words=st.booleans())
    def replace(self, find, by, words):
        pattern = rf"\b{find}\b" if words else find
        self.rewrite(rewriting.Replace(find, by, words=words), lambda text: re.sub(pattern, by, text))

    @rule(before=st.sampled_from(["", "a "]), after=st.sampled_from([" c", "!"]))
    def put_around(self, before, after):
        self.rewrite(rewriting.Around(before, after), lambda text: f"{before}{text}{after}")

    def rewrite(self, change, make):
        model, before = self.model, dict(self.model.now)
        plan = rewriting.preview(self.library, change)
        done = rewriting.rewrite(self.library, change)
        assert (done.captions, done.photos, done.refused) == (plan.captions, plan.photos, plan.refused)
        assert sorted(done.rows, key=lambda row: row.caption_id) == sorted(plan.rows, key=lambda row: row.caption_id)
        touched = [one for one in model.live() if model.now[one][0] != "rejected"]
        touched.sort(key=lambda one: (model.rows[one][0], one))  # photo by photo
        new = {one: make(model.rows[one][1]).strip() for one in touched}
        new = {one: text for one, text in new.items() if text != model.rows[one][1]}
        for one, text in new.items():
            photo = model.rows[one][0]
            waiting = list(new)[list(new).index(one) + 1 :]  # those give their text up, or keep it if they are refused
            if text and text not in {model.rows[two][1] for two in model.live(photo) if two not in (one, *waiting)}:
                model.put(one, live=False)
                model.add(photo, text, "human", *model.now[one][:2])
        model.step(before)

    @rule(photo=st.sampled_from(PHOTOS), texts=st.lists(TEXTS, min_size=1, max_size=2))
    def caption(self, photo, texts):
        add_candidates(self.library, None, {photo: texts}, "add")
        self.model.by_job(photo, texts)

    @rule()
    def undo(self):
        assert (edits.undo(self.library) is not None) == self.model.go(self.model.past, self.model.future)

    @rule()
    def redo(self):
        assert (edits.redo(self.library) is not None) == self.model.go(self.model.future, self.model.past)

    @rule()
    def restart(self):
        self.library.close()
        self.library = Library.open(self.library.path)

    @invariant()
    def agrees(self):
        model = self.model
        with self.library.session() as session:
            columns = (Caption.id, Caption.image_id, Caption.text, Caption.author)
            found = session.execute(select(*columns, Caption.state, Caption.is_seed, Caption.live)).all()
            steps = session.scalar(select(func.count()).select_from(Edit).where(~Edit.undone))
            undone = session.scalar(select(func.count()).select_from(Edit).where(Edit.undone))
            lost = select(func.count()).select_from(EditChange).where(EditChange.edit_id.not_in(select(Edit.id)))
            assert session.scalar(lost) == 0
        assert {row[0]: tuple(row[1:]) for row in found} == {
            one: (*model.rows[one], *model.now[one]) for one in model.rows
        }
        assert (steps, undone) == (len(model.past), len(model.future))  # a step that changes nothing is no step

    def teardown(self):
        if hasattr(self, "library"):
            self.library.close()
            self.folder.cleanup()


def test_any_order_of_steps_ends_as_the_model_says(tmp_path):
    with library_with(tmp_path, len(PHOTOS)) as library:
        EditingMachine.template = library.path
    few = settings(max_examples=15, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(EditingMachine, settings=few)
