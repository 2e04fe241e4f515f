"""Files of other people's folders: read without surprise, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePath

from core.disk import is_pipe_or_device, open_beside, sync_file, sync_folder

MAX_COMPARED = 512 * 1024 * 1024
"""A larger file is never compared: it counts as one with other words."""

NO_FILE = "it is not a file but a pipe, a socket or a device"

_SYNCING = 16
"""Files that are waited for at once: a file system writes its journal once for all that wait."""


def is_below(name: str) -> bool:
    """Whether a relative path from a file or a database stays in the folder it is meant for."""
    path = PurePath(name)
    return not ("\x00" in name or path.is_absolute() or path.drive or path.root or ".." in path.parts)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def existing_bytes(path: Path) -> bytes | None:
    """What the file holds, ``None`` when there is none. Raises ``OSError``, also for a link, a pipe and a huge file."""
    if path.is_symlink():
        raise OSError(0, "it is a link to another place")
    try:
        if is_pipe_or_device(path):
            raise OSError(0, NO_FILE)
        if path.stat().st_size > MAX_COMPARED:
            raise OSError(0, f"it has more than {MAX_COMPARED >> 20} MB")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_atomically(path: Path, content: bytes, *, durable: bool, mtime_ns: int | None = None) -> None:
    """Write ``content`` through a temporary file in the same folder; ``durable``: wait until the disk has it;
    ``mtime_ns``: when it is to say that it was changed, nanoseconds since 1970, ``None`` for now.

    Raises ``OSError``; then nothing has changed. A new name survives a power cut only after :func:`sync_folders`.
    """
    temporary = write_temporary(path, content)
    try:
        if mtime_ns is not None:
            os.utime(temporary, ns=(mtime_ns, mtime_ns))
        if durable:
            sync_file(temporary)
        put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_temporary(path: Path, content: bytes) -> Path:
    """Write ``content`` to a new file in the folder of ``path``. Raises ``OSError``; then there is none."""
    temporary, opened = open_beside(path)
    try:
        with opened as file:
            file.write(content)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def make_folder(folder: Path) -> set[Path]:
    """Make ``folder`` and those above it; returns the folders that have a new name in them. Raises ``OSError``."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return {one.parent for one in missing}


def sync_files(paths: Sequence[Path]) -> list[OSError | None]:
    """Wait until the disk has what these files say; for each, what went wrong."""
    with ThreadPoolExecutor(max(1, min(_SYNCING, len(paths))), thread_name_prefix="sync") as pool:
        return list(pool.map(_synced, paths))


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in these folders survive a power cut, where the file system can do that."""
    with ThreadPoolExecutor(_SYNCING, thread_name_prefix="sync") as pool:
        list(pool.map(_try_to_sync, sorted(set(folders))))


def _synced(path: Path) -> OSError | None:
    try:
        sync_file(path)
    except OSError as error:
        return error
    return None


def _try_to_sync(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot; the files are written either way
        sync_folder(folder)


def put_in_place(temporary: Path, path: Path) -> None:
    """Let ``temporary``, in the same folder, take the place, the rights and the extended attributes of ``path``."""
    if path.exists():
        take_attributes(temporary, path)
        temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)


def take_attributes(file: Path, other: Path) -> None:
    """Give ``file`` the extended attributes of ``other``: people's comments and tags, access lists.

    Raises ``OSError`` when one of the person's own does not fit. Python knows them on Linux only.
    """
    theirs, own = _attributes(other), _attributes(file)
    missing = {name: value for name, value in theirs.items() if own.get(name) != value}
    if not missing:
        return
    with file.open("rb+") as opened:  # before an access list may forbid it
        for name, value in missing.items():
            try:
                os.setxattr(opened.fileno(), name, value)
            except OSError:
                if name.startswith("user."):  # the others are the system's, which may not let us
                    raise
        os.fsync(opened.fileno())


def _attributes(path: Path) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}
    found = {}
    with suppress(OSError):  # a file system without
        for name in os.listxattr(path):
            with suppress(OSError):
                found[name] = os.getxattr(path, name)
    return found
