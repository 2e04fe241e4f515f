"""Photos whose files a person moves to the system's trash, and has back with undo.

Such a photo is taken out of the library (:mod:`core.library.removing`), and its file lies in the trash. The library's
steps say which photos that holds for (``meta.TRASHED``), so that undo, redo and putting back need nothing of their own;
where a file lies now is kept apart (``meta.TRASH_PLACES``): each throw may give it another name. :func:`settle` makes
the disk agree with the steps. A file is never written over, and one that was emptied from the trash is said to be gone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.library import meta, queries
from core.library.library import Library
from core.library.queries import among
from core.library.steps import Command, Step, perform
from core.library.tables import Image

Throw = Callable[[Path], Path | None]
"""Moves a file to the system's trash; where it lies now, or ``None`` where it could not be moved."""


@dataclass(frozen=True)
class Trashed:
    """``moved``: files that are in the trash now; ``back``: that are where they were; ``failed``: a sentence each."""

    moved: int = 0
    back: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrashPhotos(Command[int]):
    """Photos are out of the library, and their files in the trash. Says how many."""

    kind: ClassVar[str] = "trash_photos"
    places: Mapping[int, Path]
    """Where the file of each lies now."""

    def do(self, step: Step) -> int:
        step.remove_photos(self.places, removed=True)
        number = len(self.places)
        step.set(meta.TRASHED, _listed(wanted(step.session) | set(self.places)))
        _keep_places(step.session, self.places, ())
        step.label = "Move a photo to the trash" if number == 1 else f"Move {number:,} photos to the trash"
        return number


def wanted(session: Session) -> set[int]:
    """The photos whose files are to lie in the trash, by the steps that were done and not undone."""
    return set(json.loads(meta.get(session, meta.TRASHED) or "[]"))


def keep_out_of_trash(step: Step, image_ids: Iterable[int]) -> None:
    """Part of a step: the files of these photos are to be where they were."""
    step.set(meta.TRASHED, _listed(wanted(step.session) - {int(one) for one in image_ids}))


def trash_photos(library: Library, image_ids: Iterable[int], throw: Throw) -> Trashed:
    """Move the files of these photos to the trash; one step, for those that could be moved."""
    places, failed = _throw(library, image_ids, throw)
    if not places:
        return Trashed(failed=tuple(failed))
    try:
        perform(library, TrashPhotos(places))
    except BaseException:
        paths = _paths(library, places)
        for image_id, place in places.items():
            _bring_back(place, paths[image_id])
        raise
    return Trashed(moved=len(places), failed=tuple(failed))


def settle(library: Library, throw: Throw) -> Trashed:
    """After an undo, a redo, or photos put back: files go to the trash or return, as the steps say now."""
    with library.session() as session:
        known, should = _places(session), wanted(session)
    if known.keys() == should:
        return Trashed()
    thrown, failed = _throw(library, should - known.keys(), throw)
    returning = {image_id: place for image_id, place in known.items() if image_id not in should}
    paths, back = _paths(library, returning), list[int]()
    for image_id, place in ((one, returning[one]) for one in paths):
        trouble = _bring_back(place, paths[image_id])
        if trouble is None:
            back.append(image_id)
        else:
            failed.append(trouble)
    with library.writing() as session:
        _keep_places(session, thrown, returning)
        session.execute(update(Image).where(Image.id.in_(among(back))).values(missing_since=None))
    return Trashed(len(thrown), len(back), tuple(failed))


def _throw(library: Library, image_ids: Iterable[int], throw: Throw) -> tuple[dict[int, Path], list[str]]:
    places: dict[int, Path] = {}
    failed: list[str] = []
    for image_id, path in _paths(library, image_ids).items():
        place = throw(path) if path.is_file() else None
        if place is not None:
            places[image_id] = place
        else:
            why = "its folder has no trash, or may not be written to" if path.is_file() else "the file is not there"
            failed.append(f"{path.name} could not be moved to the trash: {why}.")
    return places, failed


def _bring_back(place: Path, path: Path) -> str | None:
    """Have a file back from the trash; what stood in the way, if anything did."""
    if not place.is_file():
        return f"{path.name} is not in the trash any more, or cannot be found there."
    if path.exists():
        return f"{path.name} stays in the trash: there is another file of that name in {path.parent}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place, path)
    except OSError as error:
        return f"{path.name} stays in the trash: {error.strerror or error}."
    # What the desktops of freedesktop.org keep of a file in their trash.
    with contextlib.suppress(OSError):
        (place.parent.parent / "info" / f"{place.name}.trashinfo").unlink(missing_ok=True)
    return None


def _paths(library: Library, image_ids: Iterable[int]) -> dict[int, Path]:
    return {row.id: row.path for row in queries.image_rows(library, sorted(int(one) for one in image_ids))}


def _places(session: Session) -> dict[int, Path]:
    kept: dict[str, str] = json.loads(meta.get(session, meta.TRASH_PLACES) or "{}")
    return {int(image_id): Path(place) for image_id, place in kept.items()}


def _keep_places(session: Session, more: Mapping[int, Path], fewer: Iterable[int]) -> None:
    places = {**_places(session), **more}
    for image_id in fewer:
        places.pop(image_id, None)
    kept = json.dumps({str(image_id): str(place) for image_id, place in places.items()})
    meta.put(session, meta.TRASH_PLACES, kept if places else None)


def _listed(image_ids: set[int]) -> str | None:
    return json.dumps(sorted(image_ids)) if image_ids else None
