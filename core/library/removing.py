"""Photos that a person takes out of the library, and puts back: commands. Files stay; those that go to the trash as
well are :mod:`core.library.trash`.

Such a photo keeps its row, captions and vectors. A scan goes on following its file, so that it stays out under another
name too; it counts nowhere, and nothing learns from it, captions or exports it. ``state:removed`` finds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from core.library.library import Library
from core.library.steps import Command, Step, perform

PUT_BACK = "put_photos_back"


@dataclass(frozen=True)
class RemovePhotos(Command[int]):
    """Photos are taken out of the library. Says how many were in it."""

    kind: ClassVar[str] = "remove_photos"
    image_ids: tuple[int, ...]

    def do(self, step: Step) -> int:
        number = step.remove_photos(self.image_ids, removed=True)
        step.label = "Remove a photo from the library" if number == 1 else f"Remove {number:,} photos from the library"
        return number


@dataclass(frozen=True)
class PutPhotosBack(Command[int]):
    """Photos that were taken out are in the library again, with all their captions. Says how many were out."""

    kind: ClassVar[str] = PUT_BACK
    image_ids: tuple[int, ...]

    def do(self, step: Step) -> int:
        number = step.remove_photos(self.image_ids, removed=False)
        what = "a photo" if number == 1 else f"{number:,} photos"
        step.label = f"Put {what} back into the library"
        return number


def remove_photos(library: Library, image_ids: Iterable[int]) -> int:
    """See :class:`RemovePhotos`; one step."""
    return perform(library, RemovePhotos(tuple(int(one) for one in image_ids)))


def put_photos_back(library: Library, image_ids: Iterable[int]) -> int:
    """See :class:`PutPhotosBack`; one step."""
    return perform(library, PutPhotosBack(tuple(int(one) for one in image_ids)))
