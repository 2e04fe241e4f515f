"""What the files beside photos are called, so that no two photos ever share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath

from core.errors import UserError
from core.exchange.files import is_below
from core.exchange.plan import SidecarName
from core.library.records import ImageRow

_NOT_PHOTOS = {".txt", ".caption", ".xmp", ".json", ".jsonl", ".csv", ".part", ""}


class SidecarNames:
    """Names for the photos of a library, missing and damaged ones included: they too claim theirs."""

    def __init__(self, photos: Iterable[ImageRow]) -> None:
        photos = list(photos)
        # "A.jpg" and "a.png" claim one file where case does not count.
        stems = Counter(_claim(photo.path, photo.path.stem) for photo in photos)
        self._short = {claim for claim, number in stems.items() if number == 1}
        # A photo called "a.jpg.png" must not get the file of "a.jpg", whose stem somebody else claims.
        full = {
            _claim(photo.path, photo.path.name)
            for photo in photos
            if _claim(photo.path, photo.path.stem) not in self._short
        }
        self._short -= full
        self._listings: dict[Path, _Listing] = {}

    def text(self, photo: Path) -> str:
        """``photo.txt``; but ``photo.jpg.txt`` and ``photo.png.txt`` where both would claim ``photo.txt``."""
        return f"{photo.stem if self._may_be_short(photo) else photo.name}.txt"

    def xmp(self, photo: Path, folder: Path, preferred: SidecarName) -> str:
        """The XMP file that lies in ``folder`` for this photo under either name, else the ``preferred`` one.

        ``photo.xmp`` is never used where another photo, or a raw file, has the same stem: it is theirs as well.
        """
        there = self._look(folder).names
        short, full = f"{photo.stem}.xmp", f"{photo.name}.xmp"
        names = [full]
        if self._may_be_short(photo) and not self._others(photo):
            names.insert(0 if preferred == "stem" else 1, short)
        return next((there[name.casefold()] for name in names if name.casefold() in there), names[0])

    def _may_be_short(self, photo: Path) -> bool:
        return _claim(photo, photo.stem) in self._short

    def _others(self, photo: Path) -> bool:
        """Files with this stem that are neither the photo nor sidecars: a camera's raw file, a film."""
        same_stem = self._look(photo.parent).by_stem.get(photo.stem.casefold(), ())
        mine = photo.name.casefold()
        return any(name != mine and PurePosixPath(name).suffix not in _NOT_PHOTOS for name in same_stem)

    def _look(self, folder: Path) -> _Listing:
        if folder not in self._listings:
            self._listings[folder] = _Listing.of(folder)
        return self._listings[folder]


@dataclass(frozen=True)
class _Listing:
    """What lies in a folder, case aside: ``names`` as they are written, and the names that share a stem."""

    names: dict[str, str]
    by_stem: dict[str, list[str]]

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        try:
            names = {path.name.casefold(): path.name for path in sorted(folder.iterdir())}
        except OSError:
            names = {}
        by_stem: dict[str, list[str]] = {}
        for name in names:
            by_stem.setdefault(PurePosixPath(name).stem, []).append(name)
        return cls(names, by_stem)


def _claim(photo: Path, name: str) -> tuple[Path, str]:
    return photo.parent, name.casefold()


def place_below(photo: ImageRow, out: Path, trees: Mapping[Path, str]) -> Path:
    """The folder for this photo's files below ``out``; with several photo folders, each has one of the ``trees``."""
    relative = PurePosixPath(safe_relative(photo)).parent
    return out / (trees[Path(photo.root)] if len(trees) > 1 else "") / relative


def tree_names(roots: Sequence[Path]) -> dict[Path, str]:
    """A name of its own for each photo folder, case aside: the folder's, with a number where an earlier one has it.

    ``roots`` in the order they were added, so that no later one changes the name of another.
    """
    names: dict[Path, str] = {}
    for number, root in enumerate(roots, 1):
        taken = {name.casefold() for name in names.values()}
        name = root.name or "photos"  # a whole drive has none
        numbered = (f"{name}-{one}" for one in count(number))
        names[root] = next(one for one in chain([name], numbered) if one.casefold() not in taken)
    return names


def safe_relative(photo: ImageRow) -> str:
    """The photo's path below its folder. A library from a stranger must not make us write anywhere else."""
    if not is_below(photo.relative_path):
        raise UserError(
            f"The library names a photo outside its folder: {photo.relative_path}.",
            "Nothing was written. Do not trust this library; make a new one from your photos.",
        )
    return photo.relative_path
