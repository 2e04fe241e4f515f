"""Bringing the library up to date with a folder: what is new, changed, renamed, missing, or cannot be used and why."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.jobs import Cancelled, JobContext
from core.library.examine import Examined, examine
from core.library.intake import Finding, Gone, Intake, Known, batches
from core.library.leaving import Followed, follow_moved_folders
from core.library.library import Library, absolute
from core.library.roots import forget_left_folders, place_of, require_readable
from core.library.walk import FoundFile, Trouble, walk

_LOOK_UP = 256
_PROGRESS_EVERY_S = 1 / 30
_WRITE_EVERY_S = 1.0
_READERS = max(2, min(4, os.cpu_count() or 2))
_AHEAD = 64
_MESSAGE = "Looking through the folder"


@dataclass(frozen=True)
class FileError:
    """Something in the folder that cannot be used, and why, in words."""

    path: Path
    reason: str


@dataclass(frozen=True)
class ScanReport:
    """``found``: usable photos seen; since the last scan ``added``, ``changed``, ``missing``, ``renamed`` or moved, and
    ``returned``: missing until now. ``removed``: so many files are of photos that a person took out of the library."""

    found: int
    added: int
    changed: int
    missing: int
    errors: tuple[FileError, ...]
    renamed: int = 0
    returned: int = 0
    removed: int = 0


def scan(library: Library, folder: Path, ctx: JobContext) -> ScanReport:
    """Look through ``folder`` and everything below it, and bring the library up to date with it.

    A file whose size and time have not changed is not read again (unless it could not be used last time). Nothing
    found in the folder stops the scan; only the folder itself not being there is a ``UserError``. A cancelled scan
    keeps what it has found so far.
    """
    folder = absolute(folder)
    require_readable(folder)
    place = place_of(library, folder, ctx)
    intake = Intake(library, place)
    survey = _Survey(intake, ctx)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="scan") as pool:
        try:
            for batch in batches(walk(place.root, place.start), _LOOK_UP):
                survey.look_at(batch, pool)
            survey.finish()
        except Cancelled:
            pool.shutdown(cancel_futures=True)
            survey.keep()
            raise
    gone = intake.mark_missing(ctx.check_cancelled)
    followed = Followed()
    if gone.renamed or survey.count["renamed"]:
        followed = follow_moved_folders(library, place, intake.origins, intake.last_id, ctx)
        forget_left_folders(library)
    survey.say(done=True)
    return survey.report(gone, followed)


def scan_all(library: Library, folders: Sequence[Path], ctx: JobContext) -> ScanReport:
    """Scan each of ``folders`` in turn. One that is not there (a drive that is not plugged in) is listed as an error,
    its photos stay as they are, and the others are looked through; with one folder it is a ``UserError``, as in
    :func:`scan`."""
    reports: list[ScanReport] = []
    for folder in folders:
        try:
            reports.append(scan(library, folder, ctx))
        except UserError as error:
            if len(folders) == 1:
                raise
            reports.append(ScanReport(0, 0, 0, 0, (FileError(folder, error.message),)))
    return ScanReport(
        found=sum(one.found for one in reports),
        added=sum(one.added for one in reports),
        changed=sum(one.changed for one in reports),
        missing=sum(one.missing for one in reports),
        errors=tuple(error for one in reports for error in one.errors),
        renamed=sum(one.renamed for one in reports),
        returned=sum(one.returned for one in reports),
        removed=sum(one.removed for one in reports),
    )


@dataclass
class _Survey:
    """One scan under way: files are read in threads a little ahead, and written down some at a time."""

    intake: Intake
    ctx: JobContext
    found: int = 0
    errors: list[FileError] = field(default_factory=list)
    count: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("same", "added", "changed", "renamed", "returned"), 0)
    )
    _reading: deque[tuple[FoundFile, Known | None, Future[Examined]]] = field(default_factory=deque)
    _to_write: list[Finding] = field(default_factory=list)
    _put_off: list[Finding] = field(default_factory=list)
    _written_at: float = field(default_factory=time.monotonic)
    _said_at: float = 0.0

    def look_at(self, batch: Sequence[FoundFile | Trouble], pool: ThreadPoolExecutor) -> None:
        known = self.intake.known([item.relative for item in batch])
        self.ctx.check_cancelled()
        for item in batch:
            row = known.get(item.relative)
            if isinstance(item, Trouble):
                self._note(Finding(item, row))
            elif _must_read(item, row):
                self._reading.append((item, row, pool.submit(examine, item)))
                if len(self._reading) > _AHEAD:
                    self._take_oldest()
            elif row is not None and row.missing:
                self._note(Finding(item, row))
            elif row is not None:
                self.intake.saw(row)
                self.found += 1
        self.say()

    def finish(self) -> None:
        while self._reading:
            self._take_oldest()
        self._write()
        for batch in batches(self._put_off, self.intake.pace.rows):
            self.ctx.check_cancelled()
            self._to_write = batch
            self._write(all_met=True)

    def keep(self) -> None:
        """Of a scan that was cancelled, what has been read; files that have changed are left to the next one."""
        for item, row, future in self._reading:
            if future.done() and not future.cancelled():
                self._to_write.append(Finding(item, row, future.result()))
        self._reading.clear()
        self._write()

    def report(self, gone: Gone, followed: Followed) -> ScanReport:
        return ScanReport(
            found=self.found,
            added=self.count["added"] - gone.not_added - followed.changed,
            changed=self.count["changed"] + followed.changed,
            missing=gone.missing + followed.missing,
            errors=tuple(self.errors),
            renamed=self.count["renamed"] + gone.renamed,
            returned=self.count["returned"],
            removed=self.intake.removed(),
        )

    def say(self, *, done: bool = False) -> None:
        number = self.found + len(self.errors)
        expected = number if done else self.intake.known_photos or -1
        if done or time.monotonic() - self._said_at >= _PROGRESS_EVERY_S:
            self._said_at = time.monotonic()
            self.ctx.progress(number, expected if number <= expected else None, _MESSAGE)

    def _take_oldest(self) -> None:
        item, row, future = self._reading.popleft()
        while not wait([future], timeout=0.2).done:
            self._check_cancelled_keeping(item, row, future)
        self._check_cancelled_keeping(item, row, future)
        read = future.result()
        if not read.gone:
            self._note(Finding(item, row, read))
        self.say()

    def _check_cancelled_keeping(self, item: FoundFile, row: Known | None, future: Future[Examined]) -> None:
        try:
            self.ctx.check_cancelled()
        except Cancelled:
            self._reading.appendleft((item, row, future))
            raise

    def _note(self, finding: Finding) -> None:
        reason = finding.item.reason if isinstance(finding.item, Trouble) else finding.read and finding.read.error
        if reason is None:
            self.found += 1
        else:
            self.errors.append(FileError(finding.item.path, reason))
        if finding.row is not None and reason is not None and _says_so_already(finding, reason):
            self.intake.saw(finding.row)
            self.intake.note_hidden(finding.item)
            return
        self._to_write.append(finding)
        if len(self._to_write) >= self.intake.pace.rows or time.monotonic() - self._written_at > _WRITE_EVERY_S:
            self._write()

    def _write(self, *, all_met: bool = False) -> None:
        if self._to_write:
            outcomes = self.intake.write(self._to_write, all_met=all_met)
            for finding, outcome in zip(self._to_write, outcomes, strict=True):
                if outcome == "put off":
                    self._put_off.append(finding)
                    continue
                usable = finding.read is None or finding.read.error is None
                self.count[outcome] += outcome != "added" or usable
            self._to_write = []
        self._written_at = time.monotonic()


def _must_read(item: FoundFile, row: Known | None) -> bool:
    if row is None or row.error is not None:
        return True
    return (row.size, row.mtime_ns) != (item.size, item.mtime_ns)


def _says_so_already(finding: Finding, reason: str) -> bool:
    """Whether the library holds this very trouble, so that a folder of bad files is not written again each time."""
    row, read = finding.row, finding.read
    if row is None or row.missing or row.error != reason:
        return False
    return read is None or not read.content_hash or read.content_hash == row.content_hash
