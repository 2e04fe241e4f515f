"""Finding the photo that a captions file means by a name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from core.exchange.text import readable
from core.library.records import ImageRow


@dataclass(frozen=True)
class Place:
    """Where names stand: in a file that lies in ``folder``, or, ``sidecars``, as names of files below it. ``folder``
    is written as the library writes it."""

    folder: str
    sidecars: bool = False


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


@dataclass(frozen=True)
class _Way:
    """One way to read a name: ``table`` from what photos are called to them, ``ask`` from a name to what it says there.
    ``loose``: only the last part of the name is looked at."""

    table: dict[str, list[int]]
    ask: Callable[[str, Place | None], str | None]
    loose: bool = False


class PhotoNames:
    """Looks photos up by name: by whole path, path from where the name stands, path below their folder, file name, or
    any of these without the ending.

    The first way that finds anything decides; if it finds several photos the name says too little. Names that differ
    only in case or in how accents are composed match when nothing matches exactly. Where the folder that a name speaks
    of holds photos of the library, the file name alone finds none in other folders: the photo is simply not there.
    """

    def __init__(self, photos: Iterable[ImageRow]) -> None:
        photos = list(photos)
        self._folders = {photo.id: str(photo.path.parent) for photo in photos}
        self._holding = set(self._folders.values())
        self._above = {
            str(one)
            for folder, root in {(self._folders[photo.id], photo.root) for photo in photos}
            for one in PurePath(folder, "_").parents
            if one.is_relative_to(root)
        }
        self._ways = [*self._read(photos, _exact), *self._read(photos, _folded)]

    def _read(self, photos: list[ImageRow], fold: Callable[[str], str]) -> Iterable[_Way]:
        def table(key: Callable[[ImageRow], str]) -> dict[str, list[int]]:
            found: dict[str, list[int]] = {}
            for photo in photos:
                found.setdefault(fold(key(photo)), []).append(photo.id)
            return found

        whole = table(lambda photo: str(photo.path))
        yield _Way(whole, lambda name, _: fold(name))
        for beside in (whole, table(lambda photo: str(photo.path.with_suffix("")))):
            yield _Way(beside, lambda name, place: fold(_below(place, name)) if place else None)
        yield _Way(table(_relative), lambda name, _: fold(name))
        yield _Way(table(_name), lambda name, _: fold(_last_part(name)), loose=True)
        yield _Way(table(_relative_stem), lambda name, _: fold(name))
        yield _Way(table(_stem), lambda name, _: fold(_last_part(name)), loose=True)

    def match(self, name: str, place: Place | None = None) -> Match:
        """The photos that ``name`` may mean."""
        plain = _plain(name)
        for number, way in enumerate(self._ways):
            for candidate in dict.fromkeys((name, plain)):
                asked = way.ask(candidate, place)
                found = way.table.get(asked, ()) if asked is not None else ()
                if place is not None and (way.loose or "/" not in plain):
                    found = self._at_home(found, place, plain)
                if found:
                    return Match(number, tuple(found))
        return Match(len(self._ways), ())

    def resolve(self, names: Iterable[str], place: Place | None = None) -> Resolved:
        """Which photo each of these names means, taken together.

        Two names never mean one photo: the closer one has it. So ``b/1.jpg`` in a captions file is not taken for
        ``a/1.jpg`` in the library while the file names that one too.
        """
        names = list(dict.fromkeys(names))
        if place is not None and not place.sidecars and self._from_above(names, place):
            place = None
        matches = {name: self.match(name, place) for name in names}
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
            if len({_plain(name) for name in winners}) == 1:  # "1.jpg" and "./1.jpg" are one name
                ids |= dict.fromkeys(winners, image_id)
            else:
                ambiguous.extend(winners)
        return Resolved(ids, tuple(unmatched), tuple(ambiguous))

    def _at_home(self, found: Iterable[int], place: Place, name: str) -> list[int]:
        """Those of the photos that lie where the name says, if that folder is known to hold photos at all."""
        home = str(PurePath(_below(place, name)).parent)
        if place.sidecars and home in self._holding:  # a sidecar speaks of the photo beside it
            return [one for one in found if self._folders[one] == home]
        return [one for one in found if home not in self._above or self._is_below(one, home)]

    def _from_above(self, names: Iterable[str], place: Place) -> bool:
        """Whether a file calls photos of its own folder by their way from further up: so an export reads that was
        written into one of the folders it speaks of."""
        whole, relative = self._ways[0].table, self._ways[3].table
        return any(
            self._is_below(photo, place.folder)
            for name in map(_plain, names)
            if _below(place, name) not in whole
            for photo in relative.get(name, ())
        )

    def _is_below(self, photo: int, folder: str) -> bool:
        return PurePath(self._folders[photo]).is_relative_to(folder)


def _below(place: Place, name: str) -> str:
    return os.path.normpath(PurePath(place.folder, name))


def _plain(name: str) -> str:
    return name.replace("\\", "/").strip().removeprefix("./")


def _exact(text: str) -> str:
    return text


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", readable(text)).casefold().strip()


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _relative(photo: ImageRow) -> str:
    return photo.relative_path


def _name(photo: ImageRow) -> str:
    return photo.path.name


def _relative_stem(photo: ImageRow) -> str:
    return str(PurePosixPath(photo.relative_path).with_suffix(""))


def _stem(photo: ImageRow) -> str:
    return photo.path.stem
