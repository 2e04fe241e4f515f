"""Noticing that something changes in the photo folders, by looking again now and then.

Polling, since it works on every system and drive: the time of a folder tells of files that came, went or were renamed
in it, and asking it for every folder is cheap. What is found has come to rest: while files are still being copied
into a folder, nothing is reported. Whoever uses this calls :meth:`FolderWatch.poll` off the window's own thread.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.library.walk import is_passed_over, is_photo_name

_WARM_S = 60.0
"""How long after a report the files in a folder are looked at one by one: a copy may have stopped only for a while."""
_SWEEP_FILES = 500
"""How many files a poll looks at beyond the folders that changed: a photo that is saved in place changes no folder."""
_SLACK_S = 2.0


@dataclass
class _Warm:
    mark: int
    until: float


class FolderWatch:
    """Looks after ``folders`` and everything below them.

    ``since``: a time (seconds since 1970) at which the library was up to date, or about to be brought there: folders
    that have changed after it are reported, too. Not safe to share between threads.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        since: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._roots = [str(folder) for folder in folders]
        self._times: dict[str, int] = {}
        self._links: dict[tuple[int, int], str] = {}
        self._restless: dict[str, int | None] = {}
        self._warm: dict[str, _Warm] = {}
        self._marks: dict[str, int] = {}
        self._sweep: Iterator[str] = iter(())
        for root in self._roots:
            self._begin(root, None if since is None else since - _SLACK_S)

    def poll(self) -> tuple[Path, ...]:
        """Folders in which something has changed and come to rest since the last call; each stands for all below it.

        A folder that is not there at the moment (a drive that was unplugged) has not changed.
        """
        for root in self._roots:
            if os.path.isdir(root):  # noqa: PTH112 - thousands of path objects a minute for nothing
                self._notice(root)
        settled = self._settle()
        self._look_at_warm()
        self._look_at_a_few()
        return _topmost(settled)

    @property
    def folder_count(self) -> int:
        """How many folders are looked at."""
        return len(self._times)

    def _begin(self, folder: str, since: float | None) -> None:
        """Take a folder and all below it as they are now; what is newer than ``since`` counts as changed."""
        pending = [folder]
        while pending:
            current = pending.pop()
            if current in self._times:
                continue
            try:
                status = os.stat(current)  # noqa: PTH116
            except OSError:
                continue
            if self._links.setdefault((status.st_dev, status.st_ino), current) != current:
                continue  # a link to what is looked after under another name
            self._times[current] = status.st_mtime_ns
            if since is not None and status.st_mtime > since:
                self._restless[current] = None
            pending.extend(_folders_in(current))

    def _notice(self, root: str) -> None:
        inside = root + os.sep
        for folder in [one for one in self._times if one == root or one.startswith(inside)]:
            try:
                changed = os.stat(folder).st_mtime_ns  # noqa: PTH116
            except OSError:
                self._forget(folder)  # the folder it was in has changed, and is reported
                continue
            if changed != self._times[folder]:
                self._times[folder] = changed
                self._restless[folder] = None
        if root not in self._times:
            self._begin(root, 0.0)

    def _settle(self) -> list[str]:
        """The restless folders that are the same as at the last look."""
        settled: list[str] = []
        for folder in list(self._restless):
            for inner in _folders_in(folder):
                if inner not in self._times:
                    self._begin(inner, 0.0)  # new: whatever is in it is news
        for folder, before in list(self._restless.items()):
            mark = _mark_of(folder)
            if mark is None:
                del self._restless[folder]
            elif mark == before:
                del self._restless[folder]
                self._marks[folder] = mark
                self._warm[folder] = _Warm(mark, self._clock() + _WARM_S)
                settled.append(folder)
            else:
                self._restless[folder] = mark
        return settled

    def _look_at_warm(self) -> None:
        for folder, warm in list(self._warm.items()):
            if self._clock() > warm.until:
                del self._warm[folder]
            elif folder not in self._restless:
                mark = _mark_of(folder)
                if mark is not None and mark != warm.mark:
                    self._restless[folder] = mark
                    del self._warm[folder]

    def _look_at_a_few(self) -> None:
        """Go round all folders, some files at a time, in search of photos that were changed in place."""
        left = _SWEEP_FILES
        while left > 0:
            folder = next(self._sweep, None)
            if folder is None:
                self._sweep = iter(list(self._times))
                return
            if folder in self._restless or folder not in self._times:
                continue
            counted: list[int] = []
            mark = _mark_of(folder, counted)
            left -= 1 + sum(counted)
            if mark is not None and self._marks.setdefault(folder, mark) != mark:
                self._marks[folder] = mark
                self._restless[folder] = mark

    def _forget(self, folder: str) -> None:
        for held in (self._times, self._restless, self._warm, self._marks):
            held.pop(folder, None)
        self._links = {key: path for key, path in self._links.items() if path != folder}


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if not is_passed_over(entry.name) and entry.is_dir())
    except OSError:
        return []


def _mark_of(folder: str, counted: list[int] | None = None) -> int | None:
    """A number that another set of photo files in the folder, or another state of one of them, would not give.

    ``None`` for a folder that cannot be looked into now. ``counted`` gets the number of its photo files.
    """
    marks = 0
    number = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_photo_name(entry.name):
                    number += 1
                    marks ^= hash((entry.name, *_state(entry)))  # in any order: the system promises none
    except OSError:
        return None
    if counted is not None:
        counted.append(number)
    return marks


def _state(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = entry.stat()
    except OSError:
        return 0, 0
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (0, 0)


def _topmost(folders: Sequence[str]) -> tuple[Path, ...]:
    """Without those that lie below another one of them."""
    top: list[Path] = []
    for path in sorted(Path(folder) for folder in folders):
        if not top or not path.is_relative_to(top[-1]):
            top.append(path)
    return tuple(top)
