"""Finding the photo that a captions file means by a name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.library.records import ImageRow


@dataclass(frozen=True)
class Match:
    """``way``: how far from the exact path the name had to be read, 0 for not at all; ``ids`` of the photos it fits."""

    way: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Resolved:
    """``ids``: the photo of each name that means one; ``unmatched``: names of none; ``ambiguous``: names of several."""

    ids: dict[str, int]
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]


class PhotoNames:
    """Looks photos up by name: by whole path, path below their folder, file name, or any of these without the ending.

    The first way that finds anything decides; if it finds several photos the name says too little. Names that differ
    only in case or in how accents are composed match when nothing matches exactly.
    """

    def __init__(self, photos: Iterable[ImageRow]) -> None:
        self._ways: list[tuple[Callable[[str], str], dict[str, list[int]]]] = []
        photos = list(photos)
        for fold in (_exact, _folded):
            for key in (_whole, _relative, _name, _relative_stem, _stem):
                table: dict[str, list[int]] = {}
                for photo in photos:
                    table.setdefault(fold(key(photo)), []).append(photo.id)
                asked = _last_part if key in (_name, _stem) else _exact
                self._ways.append((_both(fold, asked), table))

    def match(self, name: str) -> Match:
        """The photos that ``name`` may mean."""
        plain = name.replace("\\", "/").removeprefix("./")
        for way, (ask, table) in enumerate(self._ways):
            for candidate in dict.fromkeys((name, plain)):
                if found := table.get(ask(candidate)):
                    return Match(way, tuple(found))
        return Match(len(self._ways), ())

    def resolve(self, names: Iterable[str]) -> Resolved:
        """Which photo each of these names means, taken together.

        Two names never mean one photo: the closer one has it. So ``b/1.jpg`` in a captions file is not taken for
        ``a/1.jpg`` in the library while the file names that one too.
        """
        matches = {name: self.match(name) for name in dict.fromkeys(names)}
        claims: dict[int, list[str]] = {}
        for name, match in matches.items():
            if len(match.ids) == 1:
                claims.setdefault(match.ids[0], []).append(name)
        ids: dict[str, int] = {}
        ambiguous = [name for name, match in matches.items() if len(match.ids) > 1]
        unmatched = [name for name, match in matches.items() if not match.ids]
        for image_id, claimants in claims.items():
            closest = min(matches[name].way for name in claimants)
            winners = [name for name in claimants if matches[name].way == closest]
            unmatched.extend(name for name in claimants if name not in winners)
            if len(winners) == 1:
                ids[winners[0]] = image_id
            else:
                ambiguous.extend(winners)
        return Resolved(ids, tuple(unmatched), tuple(ambiguous))


def _both(outer: Callable[[str], str], inner: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: outer(inner(text))


def _exact(text: str) -> str:
    return text


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold().strip()


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _whole(photo: ImageRow) -> str:
    return str(photo.path)


def _relative(photo: ImageRow) -> str:
    return photo.relative_path


def _name(photo: ImageRow) -> str:
    return photo.path.name


def _relative_stem(photo: ImageRow) -> str:
    return str(PurePosixPath(photo.relative_path).with_suffix(""))


def _stem(photo: ImageRow) -> str:
    return photo.path.stem
