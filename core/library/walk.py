"""Finding photo files below a folder. Never raises for what it meets there: trouble is one of the things it yields."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.images.decode import SUFFIXES

_SKIPPED_SUFFIXES = (".seedcap",)
# What systems put between photos: previews of a network drive, leftovers of archives, waste baskets.
_SKIPPED_FOLDERS = frozenset({"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


@dataclass(frozen=True)
class FoundFile:
    """A file that by its name is a photo. ``relative`` to the root, with ``/`` between the parts."""

    path: Path
    relative: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Trouble:
    """Something below the folder that cannot be used. ``hides_content``: what lies below it could not be seen."""

    path: Path
    relative: str
    reason: str
    hides_content: bool = False


def walk(root: Path, start: str = "") -> Iterator[FoundFile | Trouble]:
    """Every photo file and every trouble below ``root/start``, folder by folder, names in order.

    Hidden files and folders (a dot first), libraries and the system's own folders are passed over. Linked folders are
    entered after the real ones, and no folder twice, so links that lead in circles end.
    """
    pending = deque([start])
    linked: deque[str] = deque()
    visited: set[tuple[int, int]] = set()
    while pending or linked:
        is_link = not pending
        relative = linked.popleft() if is_link else pending.popleft()
        folder = root / relative
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                if is_link:
                    yield Trouble(folder, relative, "The link leads to a folder that has been looked at already.")
                continue
            with os.scandir(folder) as entries:
                names = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield Trouble(folder, relative, _folder_reason(error), hides_content=True)
            continue
        visited.add((status.st_dev, status.st_ino))
        inner: list[str] = []
        while names:  # an entry remembers what was asked about it: none is kept longer than it is needed
            yield from _look_at(names.pop(), relative, inner, linked)
        pending.extendleft(reversed(inner))


def is_passed_over(folder: str) -> bool:
    """Whether a folder of this name is never looked into."""
    return folder.startswith(".") or folder.endswith(_SKIPPED_SUFFIXES) or folder in _SKIPPED_FOLDERS


def is_photo_name(name: str) -> bool:
    """Whether a file of this name is looked at."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - a path is slow


def _look_at(
    entry: os.DirEntry[str], parent: str, folders: list[str], linked: deque[str]
) -> Iterator[FoundFile | Trouble]:
    name = entry.name
    if name.startswith("."):
        return
    relative = f"{parent}/{name}" if parent else name
    like_a_photo = is_photo_name(name)
    try:
        status = entry.stat()
    except OSError as error:
        hides_content = entry.is_dir(follow_symlinks=False)
        if hides_content or like_a_photo:
            yield Trouble(Path(entry.path), relative, _link_reason(error, entry.is_symlink()), hides_content)
        return
    if stat.S_ISDIR(status.st_mode):
        if is_passed_over(name):
            return
        (linked if entry.is_symlink() else folders).append(relative)
        if like_a_photo:
            yield Trouble(
                Path(entry.path), relative, "This is a folder named like a photo; what is in it was looked at."
            )
    elif like_a_photo and stat.S_ISREG(status.st_mode):
        yield FoundFile(Path(entry.path), relative, status.st_size, status.st_mtime_ns)
    elif like_a_photo:
        yield Trouble(Path(entry.path), relative, "This is not a file but a pipe, a socket or a device.")


def _folder_reason(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "The folder may not be opened (permission denied)."
    if error.errno == errno.ENOENT:
        return "The folder disappeared while it was being read."
    return f"The folder cannot be read: {error.strerror or error}."


def _link_reason(error: OSError, is_link: bool) -> str:
    if error.errno == errno.ENOENT and is_link:
        return "The link points to a file that is not there."
    if error.errno == errno.ELOOP:
        return "The link points to itself."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "The file may not be looked at (permission denied)."
    if error.errno == errno.ENAMETOOLONG:
        return "The name with all its folders is too long to open; move it to a folder further up."
    return f"It cannot be looked at: {error.strerror or error}."
