"""The ledger of long work over many photos: what is done, what failed and why, what is left after a crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.orm import Session

from core.library.columns import now
from core.library.library import Library
from core.library.queries import among, image_rows
from core.library.tables import Job, JobItem

TODO, DONE, FAILED = "todo", "done", "failed"
_STOPPED = ("running", "interrupted", "cancelled", "failed")
_ROWS_A_TRANSACTION = 2000


@dataclass(frozen=True)
class JobRow:
    """``state``: running, done, failed, cancelled or interrupted; ``todo``, ``done``, ``failed``: numbers of photos."""

    id: int
    kind: str
    params: dict[str, Any]
    state: str
    created_at: datetime
    todo: int
    done: int
    failed: int


@dataclass(frozen=True)
class FailedItem:
    """A photo that a job could not do: ``error`` in words, after this many ``attempts``.

    ``relative_path``: within its folder, as reports name it.
    """

    image_id: int
    path: Path
    relative_path: str
    error: str
    attempts: int


def start_job(library: Library, kind: str, params: Mapping[str, Any], image_ids: Iterable[int]) -> int:
    """A new running job with an item for each photo; returns its id. ``params``: plain JSON values, to resume with."""
    with library.writing() as session:
        job = Job(kind=kind, params=dict(params), state="preparing", created_at=now())
        session.add(job)
        session.flush()
        job_id = job.id
    ids = iter(dict.fromkeys(int(one) for one in image_ids))
    while batch := list(islice(ids, _ROWS_A_TRANSACTION)):
        with library.writing() as session:
            rows = [{"job_id": job_id, "image_id": one, "state": TODO, "attempts": 0} for one in batch]
            session.execute(insert(JobItem), rows)
    # Only a job whose list is complete can be resumed.
    close_job(library, job_id, "running")
    return job_id


def next_items(library: Library, job_id: int, number: int, only: Iterable[int] | None = None) -> list[int]:
    """Up to ``number`` photos that are left to do, in a stable order; empty when the job has nothing left.

    ``only``: of these photos.
    """
    query = select(JobItem.image_id).where(JobItem.job_id == job_id, JobItem.state == TODO)
    if only is not None:
        query = query.where(JobItem.image_id.in_(among(only)))
    with library.session() as session:
        return list(session.scalars(query.order_by(JobItem.image_id).limit(number)))


def photos_of(library: Library, job_id: int, image_ids: Iterable[int], *, done: bool = True) -> list[int]:
    """Those of these photos that the job is about; ``done=False``: without those it has done."""
    query = select(JobItem.image_id).where(JobItem.job_id == job_id, JobItem.image_id.in_(among(image_ids)))
    if not done:
        query = query.where(JobItem.state != DONE)
    with library.session() as session:
        return list(session.scalars(query.order_by(JobItem.image_id)))


def done_among(library: Library, job_id: int, image_ids: Iterable[int]) -> set[int]:
    """Those of these photos that the job has done."""
    query = select(JobItem.image_id).where(JobItem.job_id == job_id, JobItem.state == DONE)
    with library.session() as session:
        return set(session.scalars(query.where(JobItem.image_id.in_(among(image_ids)))))


def finish_item(library: Library, job_id: int, image_id: int, error: str | None = None) -> None:
    """One photo is done, or has failed with this reason."""
    finish_items(library, job_id, {image_id: error})


def finish_items(library: Library, job_id: int, results: Mapping[int, str | None]) -> None:
    """Several photos at once: ``None`` for done, else the reason in words."""
    with library.writing() as session:
        mark_done(session, job_id, [one for one, error in results.items() if error is None])
        for image_id, error in results.items():
            if error is not None:
                values = {"state": FAILED, "error": error, "attempts": JobItem.attempts + 1}
                session.execute(_item(job_id, image_id).values(values))


def mark_done(session: Session, job_id: int, image_ids: Sequence[int]) -> None:
    """Inside another transaction of the library: these photos are done."""
    found = update(JobItem).where(JobItem.job_id == job_id, JobItem.image_id.in_(among(image_ids)))
    session.execute(found.values(state=DONE, error=None, attempts=JobItem.attempts + 1))


def _item(job_id: int, image_id: int) -> Any:
    return update(JobItem).where(JobItem.job_id == job_id, JobItem.image_id == int(image_id))


def retry_failed(library: Library, job_id: int) -> int:
    """Put the failed photos back on the list; returns how many there are."""
    with library.writing() as session:
        failed = (JobItem.job_id == job_id, JobItem.state == FAILED)
        number = session.scalar(select(func.count()).select_from(JobItem).where(*failed)) or 0
        session.execute(update(JobItem).where(*failed).values(state=TODO))
        session.execute(update(Job).where(Job.id == job_id).values(state="running", finished_at=None))
    return number


def failed_items(library: Library, job_id: int) -> list[FailedItem]:
    """The photos that failed, with their reasons."""
    query = select(JobItem).where(JobItem.job_id == job_id, JobItem.state == FAILED).order_by(JobItem.image_id)
    with library.session() as session:
        items = {item.image_id: (item.error or "", item.attempts) for item in session.scalars(query)}
    return [FailedItem(row.id, row.path, row.relative_path, *items[row.id]) for row in image_rows(library, items)]


def close_job(library: Library, job_id: int, state: str = "done", message: str | None = None) -> None:
    """Say how the job ended: done, failed, cancelled (``running`` opens it again)."""
    finished = None if state == "running" else now()
    with library.writing() as session:
        values = {"state": state, "message": message, "finished_at": finished}
        session.execute(update(Job).where(Job.id == job_id).values(values))


def find_job(library: Library, job_id: int) -> JobRow | None:
    """The job and how far it is."""
    return _newest(library, Job.id == job_id)


def last_job(library: Library, kind: str) -> JobRow | None:
    """The newest job of this kind, whatever became of it."""
    return _newest(library, Job.kind == kind)


def unfinished_job(library: Library, kind: str) -> JobRow | None:
    """The newest job of this kind that was cut off or cancelled with photos left: what "resume" goes on with."""
    left = exists().where(JobItem.job_id == Job.id, JobItem.state == TODO)
    return _newest(library, Job.kind == kind, Job.state.in_(_STOPPED), left)


def failed_ids(library: Library, job_id: int) -> list[int]:
    """The photos that failed, in the order of the job."""
    query = select(JobItem.image_id).where(JobItem.job_id == job_id, JobItem.state == FAILED)
    with library.session() as session:
        return list(session.scalars(query.order_by(JobItem.image_id)))


def _newest(library: Library, *conditions: Any) -> JobRow | None:
    with library.session() as session:
        job = session.scalar(select(Job).where(*conditions).order_by(Job.id.desc()).limit(1))
        if job is None:
            return None
        grouped = select(JobItem.state, func.count()).where(JobItem.job_id == job.id).group_by(JobItem.state)
        numbers = {row[0]: row[1] for row in session.execute(grouped)}
        counts = (numbers.get(state, 0) for state in (TODO, DONE, FAILED))
        return JobRow(job.id, job.kind, job.params, job.state, job.created_at, *counts)
