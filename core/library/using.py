"""Which model captions come from: a command, when a person chooses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.library import meta
from core.library.library import Library
from core.library.runs import require_run
from core.library.steps import Command, Step, perform


@dataclass(frozen=True)
class UseModel(Command[None]):
    """Captions come from this run's model from now on; ``None``: from the starter's. No caption changes."""

    kind: ClassVar[str] = "use_model"
    run_id: str | None

    def do(self, step: Step) -> None:
        if self.run_id is not None:
            require_run(step.session, self.run_id)
        step.label = "Use the starter model" if self.run_id is None else "Use another model"
        step.set(meta.CURRENT_RUN, self.run_id)


def use_model(library: Library, run_id: str | None) -> None:
    """See :class:`UseModel`; one step."""
    perform(library, UseModel(run_id))
