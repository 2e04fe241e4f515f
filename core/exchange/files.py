"""Files of other people's folders: read without surprise, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path, PurePath

MAX_COMPARED = 512 * 1024 * 1024
"""A larger file is never compared: it counts as one with other words."""


def is_below(name: str) -> bool:
    """Whether a relative path from a file or a database stays in the folder it is meant for."""
    path = PurePath(name)
    return not ("\x00" in name or path.is_absolute() or path.drive or path.root or ".." in path.parts)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def existing_bytes(path: Path) -> bytes | None:
    """What the file holds, ``None`` when there is none. Raises ``OSError``, also for a link and for a huge file."""
    if path.is_symlink():
        raise OSError(0, "it is a link to another place")
    try:
        if path.stat().st_size > MAX_COMPARED:
            raise OSError(0, f"it has more than {MAX_COMPARED >> 20} MB")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_atomically(path: Path, content: bytes, *, durable: bool) -> None:
    """Write ``content`` through a temporary file in the same folder; ``durable``: wait until the disk has it.

    Raises ``OSError``; then nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    # Opened like any new file, so that the rights are those the person has set for new files.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    return path.parent / f".seedcap-{secrets.token_hex(6)}.part"


def put_in_place(temporary: Path, path: Path) -> None:
    """Let ``temporary``, in the same folder, take the place and the rights of ``path``."""
    if path.exists():
        temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)
