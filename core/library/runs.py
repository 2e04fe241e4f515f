"""Trainings of a library: a row each, and a folder each under ``runs/``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.disk import sync_folder
from core.errors import UserError
from core.library import meta
from core.library.columns import now
from core.library.library import Library
from core.library.records import RunRow
from core.library.tables import Run

__all__ = ["RunRow", "create_run", "current_run", "encoder_name", "find_run", "runs", "set_current_run", "update_run"]

RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED = "running", "done", "failed", "cancelled", "interrupted"
_STATUSES = {RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED}
_CHANGEABLE = {"data_hash", "encoder_fingerprint", "metrics", "gates", "checkpoint_hash", "message", "config"}


def create_run(
    library: Library,
    preset: str,
    config: Mapping[str, Any],
    *,
    seed: int = 0,
    data_hash: str | None = None,
    encoder_fingerprint: str | None = None,
) -> RunRow:
    """A new run with status ``running``; its folder is made. ``config`` holds plain JSON values."""
    moment = now()
    run_id = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    run = Run(
        id=run_id, preset=preset, config=dict(config), seed=seed, data_hash=data_hash, status=RUNNING,
        encoder_fingerprint=encoder_fingerprint, metrics={}, gates=[], created_at=moment,
    )  # fmt: skip
    (library.runs_dir / run_id).mkdir(parents=True)
    sync_folder(library.runs_dir)
    with library.writing() as session:
        session.add(run)
        session.flush()
        return _row(library, run)


def update_run(library: Library, run_id: str, *, status: str | None = None, **values: Any) -> RunRow:
    """Change a run: its status, data_hash, encoder_fingerprint, metrics, gates, checkpoint_hash, message or config.

    A status other than ``running`` also sets the time it finished.
    """
    unknown = set(values) - _CHANGEABLE
    if unknown or (status is not None and status not in _STATUSES):
        raise ValueError(f"A run has no {sorted(unknown) or status}")
    if status is not None:
        values |= {"status": status, "finished_at": None if status == RUNNING else now()}
    with library.writing() as session:
        if values:
            session.execute(update(Run).where(Run.id == run_id).values(**values))
        return _row(library, require_run(session, run_id))


def find_run(library: Library, run_id: str) -> RunRow:
    """The run with this id; a ``UserError`` names it when there is none."""
    with library.session() as session:
        return _row(library, require_run(session, run_id))


def runs(library: Library) -> list[RunRow]:
    """Every run, newest first."""
    with library.session() as session:
        return [
            _row(library, run) for run in session.scalars(select(Run).order_by(Run.created_at.desc(), Run.id.desc()))
        ]


def current_run(library: Library) -> RunRow | None:
    """The run whose model captions this library; ``None``: the starter does."""
    with library.session() as session:
        run_id = meta.get(session, meta.CURRENT_RUN)
        run = session.get(Run, run_id) if run_id else None
        return None if run is None else _row(library, run)


def encoder_name(run: RunRow | None) -> str:
    """The name of the encoder that a run was trained with; without a run the ``starter``'s."""
    config = run.config if run else {}
    return str(config.get("encoder") or config.get("request", {}).get("encoder") or "starter")


def set_current_run(library: Library, run_id: str | None) -> None:
    """Make this run's model the library's; ``None`` goes back to the starter."""
    with library.writing() as session:
        if run_id is not None:
            require_run(session, run_id)
        meta.put(session, meta.CURRENT_RUN, run_id)


def require_run(session: Session, run_id: str) -> Run:
    """The row of a run; ``UserError`` where the library has none of this name."""
    run = session.get(Run, run_id)
    if run is None:
        raise UserError(f"The library has no run {run_id!r}.", "Look at its list of runs.")
    return run


def _row(library: Library, run: Run) -> RunRow:
    return RunRow(
        id=run.id, preset=run.preset, config=run.config, seed=run.seed, status=run.status,
        folder=library.runs_dir / run.id, data_hash=run.data_hash, encoder_fingerprint=run.encoder_fingerprint,
        metrics=run.metrics, gates=run.gates, checkpoint_hash=run.checkpoint_hash, message=run.message,
        created_at=run.created_at, finished_at=run.finished_at,
    )  # fmt: skip
