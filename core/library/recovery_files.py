"""Putting a recovered database in the place of a damaged one, so that a crash at any moment leaves one of the two.

A database is up to three files (``library.db``, ``-wal``, ``-shm``), and no system moves three files at once. A note
says what is under way; whoever opens the library next finishes it.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from core.disk import sync_file, sync_folder
from core.errors import UserError
from core.library.columns import now

DATABASE = "library.db"
NOTE = "recovering.json"
_BESIDE = ("-wal", "-shm", "-journal")


def keep_damaged(folder: Path) -> Path:
    """Copy the database with what belongs to it to a new name beside it; on the disk when this returns."""
    stem, number = f"library-damaged-{now():%Y%m%d-%H%M%S}", 1
    kept = folder / f"{stem}.db"
    while kept.exists():
        number += 1
        kept = folder / f"{stem}-{number}.db"
    for beside in ("-wal", "-journal", ""):  # the database last: where it is there, the copy is whole
        source = folder / (DATABASE + beside)
        if source.exists():
            target = kept.with_name(kept.name + beside)
            shutil.copyfile(source, target)
            sync_file(target)
    sync_folder(folder)
    return kept


def swap_in(folder: Path, recovered: Path) -> None:
    """Make ``recovered``, a whole database file in ``folder`` with nothing beside it, the library's database."""
    sync_file(recovered)
    note, partial = folder / NOTE, folder / f"{NOTE}.part"
    partial.write_text(json.dumps({"recovered": recovered.name}), encoding="utf-8")
    sync_file(partial)
    partial.replace(note)
    sync_folder(folder)
    finish_swap(folder)


def finish_swap(folder: Path) -> None:
    """Finish a swap that was cut off; does nothing when there is none. Raises ``UserError`` when it cannot."""
    note = folder / NOTE
    if not note.is_file():
        return
    try:
        name = _recovered_name(note)
        recovered = folder / name if name else None
        if recovered is not None and recovered.is_file() and not recovered.is_symlink():
            for beside in _BESIDE:  # of the damaged one: they would be taken for the new one's
                with suppress(FileNotFoundError):
                    (folder / (DATABASE + beside)).unlink()
            sync_folder(folder)
            recovered.replace(folder / DATABASE)
            sync_folder(folder)
        note.unlink()
    except OSError as error:
        raise UserError(
            f"The recovered database of {folder.name} cannot be put in its place ({error.strerror or error}).",
            f"Check the rights of {folder}, then open the library again.",
        ) from error


def _recovered_name(note: Path) -> str | None:
    """The plain file name that the note gives, or ``None`` for a note that says anything else."""
    try:
        name = json.loads(note.read_text(encoding="utf-8"))["recovered"]
    except (ValueError, KeyError, TypeError):
        return None
    plain = isinstance(name, str) and name.startswith("library-recovered-") and name == os.path.basename(name)  # noqa: PTH119
    return name if plain else None
