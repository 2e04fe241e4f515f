"""Files and folders that are written whole or not at all, and waiting until the disk has them; and for nothing else."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_DAY_S = 86_400


def is_pipe_or_device(path: Path) -> bool:
    """Whether opening ``path`` might wait for ever, as for somebody to write into a pipe. Raises ``OSError``."""
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def sync_file(path: Path) -> None:
    """Wait until the disk has what the file says."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a power cut, where the system has a way (Windows does it by itself)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has every file below ``folder``, and every name; not the name of ``folder`` itself."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(root, name))
        sync_folder(Path(root))


def temporary_beside(path: Path) -> Path:
    """A name in the folder of ``path`` that nothing has, and that says whose it is."""
    return path.parent / f".seedcap-{secrets.token_hex(6)}.part"


def open_beside(path: Path) -> tuple[Path, BinaryIO]:
    """A new file in the folder of ``path``, opened like any new file, so that its rights are those the person has set
    for new files. Raises ``OSError``."""
    temporary = temporary_beside(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    return temporary, os.fdopen(handle, "wb")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file for what ``path`` shall hold: it takes that name when the block ends, and not at all when it raises.

    It has the rights of the file whose place it takes, else those of any new file. ``durable``: wait until the disk
    has it, so that a power cut leaves the old content or all of the new one. Raises ``OSError``.
    """
    temporary, opened = open_beside(path)
    try:
        with opened as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        with suppress(OSError):  # some file systems cannot; the file is written either way
            sync_folder(path.parent)


@contextmanager
def new_folder_beside(folder: Path) -> Iterator[Path]:
    """A temporary folder for what ``folder`` shall hold, under a name that says which process made it.

    It vanishes at the end unless it was moved; where the process is ended before, see :func:`clear_beside`.
    Raises ``OSError``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}-", dir=folder.parent))
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def clear_beside(folder: Path, process: int | None = None) -> None:
    """Remove the temporary folders that the ended ``process`` has left beside ``folder``; without one, those of any
    process that are older than a day."""
    long_ago = time.time() - _DAY_S
    for left in folder.parent.glob(f".{folder.name}.{'*' if process is None else process}-*"):
        with suppress(OSError):
            if process is not None or left.stat().st_mtime < long_ago:
                shutil.rmtree(left)


def put_folder_in_place(new: Path, folder: Path) -> None:
    """Let ``new``, beside ``folder``, take its name, once the disk has all of it: a power cut leaves no part of it.

    A crash between the two moves leaves what was there before under a dotted name beside it.
    """
    sync_tree(new)
    if not folder.exists():
        new.replace(folder)
        sync_folder(folder.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.replace(old / folder.name)
    new.replace(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old)
