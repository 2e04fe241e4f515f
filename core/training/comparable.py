"""Which two models of a library a person may compare."""

from __future__ import annotations

from core.errors import UserError
from core.library.library import Library
from core.library.records import RunRow
from core.library.runs import DONE, current_run, runs
from core.training.runfolder import BEFORE, STARTER, read_report


def models_to_compare(library: Library) -> tuple[str, str] | None:
    """The older and the newer model of a blind round: a run's id, or ``starter``; ``None`` where there is but one.

    One is the model in use, the other the one that a training kept before it, or else the starter. Where the starter is
    in use it is compared with the newest model there is.
    """
    kept = [run for run in runs(library) if run.status == DONE and _kept_its_own(run)]
    if not kept:
        return None
    in_use = current_run(library)
    ids = [run.id for run in kept]
    at = ids.index(in_use.id) if in_use is not None and in_use.id in ids else 0
    before = ids[at + 1] if in_use is not None and at + 1 < len(ids) else STARTER
    return before, ids[at]


def _kept_its_own(run: RunRow) -> bool:
    """Whether the training ended with another model than it began with."""
    try:
        return read_report(run.folder)["kept"] != BEFORE
    except UserError:
        return False
