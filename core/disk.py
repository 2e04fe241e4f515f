"""Waiting until the disk has what was written, so that a power cut cannot take it back; and never for anything else."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path


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
