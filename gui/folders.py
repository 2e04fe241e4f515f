"""The folders that a library's photos lie in, as a tree. Plain data; no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FolderTree:
    """Folders by their full names: the library's own (``roots``), those in each (``below``), and the number of
    ``photos`` in each and below it."""

    roots: tuple[str, ...] = ()
    below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    photos: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def name(folder: str) -> str:
        return folder.rstrip("/").rpartition("/")[2] or folder


def folder_tree(roots: Iterable[str], counts: Iterable[tuple[str, str, int]]) -> FolderTree:
    """``counts``: root, folder below it (empty for the root itself) and photos directly in it."""
    photos = dict.fromkeys(roots, 0)
    below: dict[str, set[str]] = {}
    for root, inside, number in counts:
        path = root
        photos[path] = photos.get(path, 0) + number
        for part in inside.split("/") if inside else ():
            above, path = path, f"{path.rstrip('/')}/{part}"
            below.setdefault(above, set()).add(path)
            photos[path] = photos.get(path, 0) + number
    return FolderTree(tuple(roots), {path: tuple(sorted(inner)) for path, inner in below.items()}, photos)
