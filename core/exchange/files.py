"""Files of other people's folders: read without surprise, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_MAX_COMPARED = 64 * 1024 * 1024


def existing_text(path: Path) -> str | None:
    """What the file says, ``None`` when there is none. What is not UTF-8 still compares as different."""
    try:
        if path.stat().st_size > _MAX_COMPARED:
            return "\x00"
        return path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        return None


def write_atomically(path: Path, text: str, *, durable: bool) -> None:
    """Write ``text`` as UTF-8 through a temporary file in the same folder; ``durable``: wait until the disk has it.

    A file name inside the text that is not valid Unicode keeps its bytes. Raises ``OSError``; then nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".seedcap-{secrets.token_hex(6)}.part"
    # Opened like any new file, so that the rights are those the person has set for new files.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", errors="surrogateescape"))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
