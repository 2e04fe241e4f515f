"""What exports did to files, kept inside the library, so that it can be undone.

``LIB/exports/<name>/journal.jsonl`` says for each file what was there before and what was written, and is on the disk
before the file changes. Old texts and dates lie in the journal itself; of a photo, whose bytes an export changes in one
place only, just that place is kept (``splice``). Undoing touches no file that has changed since, and obeys only what
was noted here: a journal that came with a stranger's library could name any file (:mod:`core.exchange.signature`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import UserError
from core.exchange.files import digest, sync_folders, write_atomically
from core.exchange.signature import is_signed, own_key, own_or_new_key, sign
from core.jobs import JobContext

KEPT_EXPORTS = 20
_JOURNAL, _UNDONE = "journal.jsonl", "undone"


@dataclass(frozen=True)
class UndoReport:
    """``restored``: files that say again what they said; ``removed``: files that the export had made; ``kept``: files
    that were left as they are, and why."""

    name: str
    restored: tuple[Path, ...]
    removed: tuple[Path, ...]
    kept: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class LastExport:
    """The export that undoing takes back: when it was ``made``, how many files it ``changed`` and how many are
    ``new``. Those that somebody has changed since are among them."""

    name: str
    made: datetime
    changed: int
    new: int


class ExportLog:
    """The journal of one export; the folder is made with the first entry."""

    def __init__(self, library: Path, format: str) -> None:
        now = datetime.now(UTC)
        self.name = f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"  # sorts by time
        self._folder = library / "exports" / self.name
        self._header = {"version": 1, "format": format, "created": now.isoformat(timespec="seconds")}
        self._file: BinaryIO | None = None
        self._key: bytes | None = None
        self._named = False

    @property
    def used(self) -> bool:
        return self._file is not None

    def record(self, path: Path, before: bytes | None, after: bytes, *, splice: bool = False) -> None:
        """Note what is about to happen to ``path``; call :meth:`sync` before it does. Raises ``OSError``."""
        entry: dict[str, Any] = {
            "path": str(path.absolute()),
            "before": None if before is None else digest(before),
            "after": digest(after),
        }
        if before is not None:
            head, tail = _common(before, after) if splice else (0, 0)
            middle = before[head : len(before) - tail]
            entry |= {"head": head, "tail": tail, "middle": base64.b64encode(middle).decode("ascii")}
            entry["mtime_ns"] = path.stat().st_mtime_ns
        self._write(entry)

    def sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            if not self._named:  # a journal whose folder is lost is none
                sync_folders([self._folder, *list(self._folder.parents)[:2]])
                self._named = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        self._key = self._key or own_or_new_key()
        line = _line(entry | {"signature": sign(self._key, _signed(self.name, entry))})
        if self._file is None:
            _forget_old(self._folder.parent)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / _JOURNAL).open("ab")
            self._file.write(_line(self._header))
        self._file.write(line)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"


def _signed(name: str, entry: dict[str, Any]) -> bytes:
    return json.dumps([name, entry], sort_keys=True).encode("ascii")


def _common(before: bytes, after: bytes) -> tuple[int, int]:
    """How many bytes both have in common at the beginning, and then at the end."""
    most = min(len(before), len(after))
    head = _agree(most, lambda n: before[:n] == after[:n])
    return head, _agree(most - head, lambda n: before[len(before) - n :] == after[len(after) - n :])


def _agree(most: int, same: Callable[[int], bool]) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if same(middle) else (low, middle - 1)
    return low


def _forget_old(exports: Path) -> None:
    """Keep the journals of the last exports only."""
    for folder in _folders(exports)[: -(KEPT_EXPORTS - 1)]:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(exports: Path) -> list[Path]:
    if not exports.is_dir():
        return []
    return sorted(path for path in exports.iterdir() if (path / _JOURNAL).is_file())


def _last(library: Path) -> tuple[Path, list[dict[str, Any]], list[Path]] | None:
    """The folder of the last export of ours that has not been undone, with :func:`_entries`."""
    for folder in reversed(_folders(library / "exports")):
        if not (folder / _UNDONE).exists():
            entries, strange = _entries(folder)
            if entries:
                return folder, entries, strange
    return None


def describe_last(library: Path) -> LastExport | None:
    """What :func:`undo_last_export` would take back; ``None`` when there is nothing to undo. Raises ``OSError``."""
    last = _last(library)
    if last is None:
        return None
    folder, entries, _ = last
    new = sum(entry["before"] is None for entry in entries)
    return LastExport(folder.name, _made(folder / _JOURNAL), len(entries) - new, new)


def _made(journal: Path) -> datetime:
    """As the journal says; a cut-off or strange one is as old as its file."""
    with journal.open("rb") as file:
        header = file.readline()
    try:
        return datetime.fromisoformat(json.loads(header)["created"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return datetime.fromtimestamp(journal.stat().st_mtime, UTC)


def undo_last_export(
    library: Path, ctx: JobContext, *, restored: Callable[[Path], None] = lambda path: None
) -> UndoReport:
    """Put every file of the last export back; ``restored`` is told of each file that has its old bytes again.

    Raises ``UserError`` when there is nothing to undo.
    """
    last = _last(library)
    if last is None:
        hint = f"Of the exports made on this computer the last {KEPT_EXPORTS} can be undone, each once."
        raise UserError("There is no export to undo.", hint)
    folder, entries, strange = last
    back: list[Path] = []
    removed: list[Path] = []
    why = "What was noted about it is damaged, or was not noted here; it is left as it is."
    kept = [(path, why) for path in strange]
    again = False  # what failed by accident may be tried again; what has changed since stays as it is
    for done, entry in enumerate(reversed(entries)):
        ctx.check_cancelled()
        ctx.progress(done, len(entries), "Undoing the export")
        path = Path(entry["path"])
        try:
            outcome = _put_back(path, entry)
        except UserError as error:
            kept.append((path, error.message))
            continue
        except OSError as error:
            again = True
            kept.append((path, f"The file cannot be put back: {error.strerror or error}."))
            continue
        if outcome is not None:
            (back if outcome else removed).append(path)
            if outcome:
                restored(path)
    ctx.progress(len(entries), len(entries), "Undoing the export")
    sync_folders({path.parent for path in back + removed})
    if not again:
        write_atomically(folder / _UNDONE, b"", durable=False)
    return UndoReport(folder.name, tuple(back), tuple(removed), tuple(kept))


def _entries(folder: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """The entries of a journal, and the files named in lines that we did not write, or not like that. The last line may
    be cut off by a crash, and then nothing had happened to its file yet."""
    entries, strange = [], []
    key = own_key() or b""
    for line in (folder / _JOURNAL).read_bytes().split(b"\n")[1:]:
        try:
            entry = json.loads(line)
            signature = entry.pop("signature", None)
            if key and is_signed(key, _signed(folder.name, entry), signature):
                entries.append(entry)
            else:
                strange.append(Path(entry["path"]))
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            continue
    return entries, strange


def _put_back(path: Path, entry: dict[str, Any]) -> bool | None:
    """True: the old bytes are back; False: the file is gone, as it was; ``None``: there was nothing to do."""
    if path.is_symlink():
        raise UserError("There is a link to another place now; it is left as it is.")
    if not path.exists():
        if entry["before"] is None:
            return None
        raise UserError("The file is not there any more.")
    now = path.read_bytes()
    if digest(now) == entry["before"]:
        return None
    if digest(now) != entry["after"]:
        raise UserError("It has changed since the export; it is left as it is.")
    if entry["before"] is None:
        path.unlink()
        return False
    tail = entry["tail"]
    before = now[: entry["head"]] + base64.b64decode(entry["middle"]) + (now[len(now) - tail :] if tail else b"")
    write_atomically(path, before, durable=True, mtime_ns=entry["mtime_ns"])
    return True
