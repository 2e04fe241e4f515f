"""The system's dictionaries through its library enchant 2, where it is installed: nothing of it comes with Seedcap."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

_NAMES = {
    "darwin": (
        "libenchant-2.2.dylib",
        "/opt/homebrew/lib/libenchant-2.2.dylib",
        "/usr/local/lib/libenchant-2.2.dylib",
    ),
    "win32": ("libenchant-2.dll", "libenchant-2-2.dll"),
}
_ELSEWHERE = ("libenchant-2.so.2",)


class Enchant:
    """Dictionaries that are asked together: a word is known where one of them knows it. For one thread at a time."""

    def __init__(self, library: Any, tags: Sequence[str]) -> None:
        """``tags``: of languages, ``en_US``; those that the system has no dictionary of are passed over."""
        self._library = _declared(library)
        self._broker = library.enchant_broker_init()
        asked = (library.enchant_broker_request_dict(self._broker, tag.encode()) for tag in dict.fromkeys(tags))
        self._dictionaries = [one for one in asked if one]

    @property
    def languages(self) -> int:
        """How many dictionaries there are."""
        return len(self._dictionaries)

    def knows(self, word: str) -> bool:
        text = word.encode()
        # 0: known; above: not; below: this dictionary cannot say, and a word that nobody can judge is not marked.
        return any(self._library.enchant_dict_check(one, text, len(text)) <= 0 for one in self._dictionaries)

    def suggestions(self, word: str) -> list[str]:
        """What may be meant, the likeliest first; of the first dictionary that has an idea."""
        text = word.encode()
        for one in self._dictionaries:
            number = ctypes.c_size_t()
            found = self._library.enchant_dict_suggest(one, text, len(text), ctypes.byref(number))
            if found:
                said = [found[at].decode(errors="replace") for at in range(number.value)]
                self._library.enchant_dict_free_string_list(one, found)
                return said
        return []

    def add(self, word: str) -> None:
        """Into the person's own list, which other programs with enchant heed too."""
        text = word.encode()
        if self._dictionaries:
            self._library.enchant_dict_add(self._dictionaries[0], text, len(text))


def find_enchant(languages: Sequence[str]) -> Enchant | None:
    """The dictionaries of these languages that the system has; ``None`` where it has none, or no enchant."""
    for name in _NAMES.get(sys.platform, _ELSEWHERE):
        try:
            made = Enchant(ctypes.CDLL(name), languages)
        except (OSError, AttributeError):  # not there, or too old
            continue
        return made if made.languages else None
    return None


def _declared(library: Any) -> Any:
    """Say what enchant's functions take and give (its header ``enchant.h``)."""
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ssize_t
    texts = ctypes.POINTER(text)
    for name, gives, takes in (
        ("broker_init", pointer, ()),
        ("broker_request_dict", pointer, (pointer, text)),
        ("dict_check", ctypes.c_int, (pointer, text, size)),
        ("dict_suggest", texts, (pointer, text, size, ctypes.POINTER(ctypes.c_size_t))),
        ("dict_free_string_list", None, (pointer, texts)),
        ("dict_add", None, (pointer, text, size)),
    ):
        function = getattr(library, f"enchant_{name}")
        function.restype, function.argtypes = gives, takes
    return library
