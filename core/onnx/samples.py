"""The photos on which a bundle is compared with what it was made from: a folder's, a library's, or drawn scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from PIL import Image

from core.errors import UserError
from core.images.decode import ImageError, load_image, probe

if TYPE_CHECKING:
    from core.library.library import Library

MOST = 200
"""Photos: enough for an interval of about two percent of CIDEr-D, and measured in a minute or two."""
_DATABASE = "library.db"
_AT_ONCE = 200
"""Rows of a library read at a time: of a million photos a few hundred are wanted."""


@dataclass(frozen=True)
class Samples:
    """``photos`` that can be opened; what people said of each (``captions``, none: ``()``); ``on``: in words."""

    photos: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    on: str


class Pictures(Sequence[Image.Image]):
    """Photos decoded when they are asked for: hundreds of them decoded at once would fill the memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, at: int) -> Image.Image: ...
    @overload
    def __getitem__(self, at: slice) -> list[Image.Image]: ...
    def __getitem__(self, at: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(at, slice):
            return [load_image(path) for path in self._paths[at]]
        return load_image(self._paths[at])


def rendered_scenes(number: int) -> list[Image.Image]:
    from core.starter.scenes import sample_scene
    from core.starter.scenes_render import render

    return [render(sample_scene(seed), size=160) for seed in range(number)]


def samples_of(place: Path, most: int = MOST, captions: Path | None = None) -> Samples:
    """The first ``most`` photos of a folder, or those of a library with the most to say; see :func:`of_library`.

    ``captions``: a file of captions by people for the photos of a folder. Raises ``UserError`` where there is no photo,
    or the file is of other photos.
    """
    found = of_library(place, most) if is_library(place) else _of_folder(place, most, captions)
    if not found.photos:
        raise UserError(f"There is no photo in {place}.", "Name a folder of photos with --photos, or leave it out.")
    return found


def is_library(folder: Path) -> bool:
    return (folder / _DATABASE).is_file()


def library_of(source: str) -> Path | None:
    """The library in whose ``runs`` folder the run ``source`` lies, or the stage of one."""
    folder = Path(source).expanduser().absolute()
    parents = [place.parent for place in (folder.parent, folder.parent.parent) if place.name == "runs"]
    return next((place for place in parents if is_library(place)), None)


def of_library(folder: Path, most: int = MOST) -> Samples:
    """Photos with captions by people first, then others, each content once; read as they are needed."""
    from core.library.library import Library
    from core.library.queries import image_ids

    with Library.open(folder) as library:
        described = image_ids(library, filter="author:human state:accepted")
        ids = np.concatenate([described, np.setdiff1d(image_ids(library), described)])
        captions: dict[Path, tuple[str, ...]] = {}
        photos = _usable(_of_library(library, ids, captions), most)
    return Samples(photos, tuple(captions[path] for path in photos), "photos of the library")


def _of_library(library: Library, ids: np.ndarray, captions: dict[Path, tuple[str, ...]]) -> Iterator[Path]:
    """The photos ``ids`` without copies; what people said of each is in ``captions`` by then."""
    from core.library.queries import captions_of, image_rows

    seen: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE].tolist()
        said = captions_of(library, some)
        for row in image_rows(library, some):
            if row.content_hash in seen:
                continue
            seen.add(row.content_hash)
            found = said.get(row.id, [])
            captions[row.path] = tuple(one.text for one in found if one.author == "human" and one.state == "accepted")
            yield row.path


def _of_folder(folder: Path, most: int, captions: Path | None) -> Samples:
    from core.library.walk import FoundFile, walk

    photos = _usable((entry.path for entry in walk(folder) if isinstance(entry, FoundFile)), most)
    return Samples(photos, _captions_for(folder, photos, captions), "photos given")


def _captions_for(folder: Path, photos: Sequence[Path], file: Path | None) -> tuple[tuple[str, ...], ...]:
    if file is None:
        return ((),) * len(photos)
    from core.exchange.evaluation_files import pair, read_references

    references = read_references(file)
    names = {path: path.relative_to(folder).as_posix() for path in photos}
    paired = pair(names.values(), references)
    if not paired:
        raise UserError(f"{file} has no caption of a photo in {folder}.", "Give the captions of these photos.")
    return tuple(tuple(references[paired[name]]) if name in paired else () for name in names.values())


def _usable(paths: Iterable[Path], most: int) -> tuple[Path, ...]:
    """The first ``most`` that can be opened."""
    found: list[Path] = []
    for path in paths:
        if len(found) >= most:
            break
        try:
            probe(path)
        except ImageError:
            continue
        found.append(path)
    return tuple(found)
