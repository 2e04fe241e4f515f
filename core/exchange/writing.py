"""Writing the files of a plan: each one whole or not at all, undoable, and none that has changed since the plan."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.exchange.files import (
    digest,
    existing_bytes,
    make_folder,
    put_in_place,
    sync_files,
    sync_folders,
    write_temporary,
)
from core.exchange.history import ExportLog
from core.exchange.plan import Action, ExportItem, ExportPlan, ExportReport
from core.jobs import JobContext

_CHUNK = 64
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class _Outcome:
    """``folders``: those with new names in them, which must be synced before anything is said to be written."""

    written: int = 0
    same: int = 0
    kept: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    full: str = ""
    folders: set[Path] = field(default_factory=set)

    def fail(self, item: ExportItem, error: OSError | UserError) -> None:
        if isinstance(error, UserError):
            self.failed.append((item.path, error.message))
            return
        reason = f"The file cannot be written: {error.strerror or error}."
        self.failed.append((item.path, reason))
        if error.errno in _FULL:
            self.full = reason


def write_export(plan: ExportPlan, ctx: JobContext) -> ExportReport:
    """Write the files of a plan; one that cannot be written keeps what it said and does not stop the others.

    A file that has changed since the plan was made is kept. What each file said before is noted in the library first
    (see :mod:`core.exchange.history`). When this returns, all that was written survives a power cut. On a full disk
    nothing more is tried, and the rest is listed as failed.
    """
    outcome = _Outcome(failed=list(plan.refused))
    log = ExportLog(plan.library, plan.format)
    try:
        done = (_write_photos if plan.format == "metadata" else _write_files)(plan, log, outcome, ctx)
    finally:
        log.close()
        sync_folders(outcome.folders)
    for item in plan.items[done:]:
        if item.action not in ("same", "keep"):
            outcome.failed.append((item.path, outcome.full))
    ctx.progress(len(plan.items), len(plan.items), "Writing captions")
    undo = log.name if log.used else None
    return ExportReport(outcome.written, outcome.same, tuple(outcome.kept), tuple(outcome.failed), undo)


def _write_files(plan: ExportPlan, log: ExportLog, outcome: _Outcome, ctx: JobContext) -> int:
    """Returns how many items were tried."""
    for start in range(0, len(plan.items), _CHUNK):
        if outcome.full:
            return start
        ctx.progress(start, len(plan.items), "Writing captions")
        ctx.check_cancelled()
        _chunk(plan.items[start : start + _CHUNK], log, outcome)
    return len(plan.items)


def _write_photos(plan: ExportPlan, log: ExportLog, outcome: _Outcome, ctx: JobContext) -> int:
    from core.exchange.embedded import EmbeddedWriter  # Pillow and ExifTool, only where they are wanted

    with EmbeddedWriter(plan.library, log) as writer:
        for at, item in enumerate(plan.items):
            if outcome.full:
                return at
            ctx.progress(at, len(plan.items), "Writing captions into photos")
            ctx.check_cancelled()
            if item.action in ("same", "keep"):
                outcome.same += item.action == "same"
                outcome.kept += [item.path] if item.action == "keep" else []
                continue
            try:
                if writer.write(item):
                    outcome.written += 1
                    outcome.folders.add(item.path.parent)
                else:
                    outcome.kept.append(item.path)
            except (OSError, UserError) as error:
                outcome.fail(item, error)
    return len(plan.items)


def _chunk(items: Sequence[ExportItem], log: ExportLog, outcome: _Outcome) -> None:
    """Some files at a time, so that the disk is waited for once: the journal must be there before they change."""
    ready: list[tuple[ExportItem, bytes]] = []
    for item in items:
        try:
            content = item.content.encode(item.encoding, errors="surrogateescape")
            action, before = _now(item, content)
            if action == "same":
                outcome.same += 1
            elif action == "keep":
                outcome.kept.append(item.path)
            else:
                log.record(item.path, before, content)
                ready.append((item, content))
        except OSError as error:
            outcome.fail(item, error)
    try:
        log.sync()
    except OSError as error:
        for item, _ in ready:
            outcome.fail(item, error)
        return
    _put(ready, outcome)


def _put(ready: Sequence[tuple[ExportItem, bytes]], outcome: _Outcome) -> None:
    """Write the files beside their places, wait for the disk once for all of them, and move them there."""
    beside: list[tuple[ExportItem, Path]] = []
    try:
        for item, content in ready:
            try:
                outcome.folders |= make_folder(item.path.parent)
                beside.append((item, write_temporary(item.path, content)))
            except OSError as error:
                outcome.fail(item, error)
        for (item, temporary), error in zip(beside, sync_files([one for _, one in beside]), strict=True):
            try:
                if error is not None:
                    raise error
                put_in_place(temporary, item.path)
            except OSError as wrong:
                outcome.fail(item, wrong)
            else:
                outcome.written += 1
                outcome.folders.add(item.path.parent)
    finally:
        for _, temporary in beside:
            temporary.unlink(missing_ok=True)


def _now(item: ExportItem, content: bytes) -> tuple[Action, bytes | None]:
    """What is to be done with the file as it is now, and what it holds."""
    present = existing_bytes(item.path)
    if present is None:
        return "create", None
    if present == content:
        return "same", present
    if digest(present) != item.expected:
        return "keep", present
    return item.action, present
