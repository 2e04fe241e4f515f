"""The functions that queries use beyond SQLite's own: comparing words and names where no index helps."""

from __future__ import annotations

import sqlite3

from core.library.columns import path_from_stored
from core.library.filters.evaluator import folder_has
from core.library.words import contains, has_words, words

HAS_WORDS, NAME_HAS, FOLDER_HAS = "seedcap_has_words", "seedcap_name_has", "seedcap_folder_has"


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection. They look at their arguments and nothing else."""
    connection.create_function(HAS_WORDS, 4, _has_words, deterministic=True)
    connection.create_function(NAME_HAS, 2, _name_has, deterministic=True)
    connection.create_function(FOLDER_HAS, 3, _folder_has, deterministic=True)


def _has_words(text: str, search_text: str | None, wanted: str, prefix: int) -> bool:
    found = words(text) if search_text is None else search_text.split(" ")
    return has_words(found, wanted.split(" "), bool(prefix))


def _name_has(path: str | bytes, text: str) -> bool:
    return contains(path_from_stored(path), text)


def _folder_has(root: str | bytes, path: str | bytes, text: str) -> bool:
    return folder_has(path_from_stored(root), path_from_stored(path), text)
