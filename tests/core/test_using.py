"""Which model captions come from, chosen by a person: a step that undo takes back."""

from __future__ import annotations

import pytest

from core.errors import UserError
from core.library import edits
from core.library.library import Library
from core.library.runs import create_run, current_run, set_current_run
from core.library.steps import Switched
from core.library.using import use_model


@pytest.fixture
def library(tmp_path):
    with Library.create(tmp_path / "some.seedcap") as made:
        yield made


def used(library: Library) -> str | None:
    run = current_run(library)
    return None if run is None else run.id


def test_the_choice_of_a_model_is_undone_and_done_again(library):
    first, second = (create_run(library, "recommended", {}).id for _ in range(2))
    set_current_run(library, second)
    use_model(library, first)
    use_model(library, first)  # no step: it is in use already
    use_model(library, None)
    assert used(library) is None
    assert edits.undo(library) == "Use the starter model" and used(library) == first
    assert edits.undo(library) == "Use another model" and used(library) == second
    assert edits.undo(library) is None
    edits.redo(library)
    assert used(library) == first


def test_what_a_training_has_decided_since_stays(library):
    first, second, newest = (create_run(library, "recommended", {}).id for _ in range(3))
    set_current_run(library, second)
    use_model(library, first)
    set_current_run(library, newest)
    assert edits.undo_step(library) == Switched("Use another model", (), True, "use_model", undone=True)
    assert used(library) == newest
    assert edits.redo_step(library) == Switched("Use another model", (), True, "use_model", undone=False)
    assert used(library) == newest


def test_a_model_that_is_not_there_is_no_choice(library):
    with pytest.raises(UserError, match="has no run"):
        use_model(library, "nowhere")
    assert edits.can_undo(library) is None
