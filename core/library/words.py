"""How text is cut into words: the same for the word index, for what is asked of it, and for the evaluator in Python.

ASCII is cut into runs of letters and digits, in lower case. Elsewhere accents, Arabic and Hebrew vowel points, the
tatweel and invisible characters do not matter, compatibility forms are unified ("ﬁ" is "fi"), and scripts that are
written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) give one word a character, so that any part of
such a sentence is found as a phrase.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_IGNORED = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]"
)
_ASCII_LOWER = {ord(one): ord(one.lower()) for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


def words(text: str) -> list[str]:
    """The words of ``text`` in order, folded so that words which a person takes for the same are equal."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    current = ""
    alone = False  # whether ``current`` is a character that is a word by itself, with its marks
    for character in _folded(text):
        kind = unicodedata.category(character)
        if kind[0] == "M" and current:
            current += character
        elif kind[0] not in "LNM" and kind != "Co":
            found.append(current)
            current, alone = "", False
        else:
            single = bool(_NO_SPACES.match(character))
            if single or alone:
                found.append(current)
                current = ""
            current, alone = current + character, single
    found.append(current)
    return [word for word in found if word]


def search_text(text: str) -> str | None:
    """What the word index reads instead of ``text``; ``None`` where it cuts ``text`` itself as :func:`words` does."""
    return None if text.isascii() else " ".join(words(text))


def has_words(found: Sequence[str], wanted: Sequence[str], prefix: bool) -> bool:
    """Whether ``wanted`` stand side by side in ``found``; with ``prefix``, the last of them may go on there."""
    if not wanted:
        return False
    *before, last = wanted
    size = len(before)
    for at in range(len(found) - size):
        end = found[at + size]
        if (end.startswith(last) if prefix else end == last) and list(found[at : at + size]) == before:
            return True
    return False


def contains(name: str, text: str) -> bool:
    """Whether the name of a file or folder has ``text`` in it, without regard to case and to how accents are composed.

    For an ASCII text only ASCII letters are alike in both cases, which is what SQLite's LIKE does.
    """
    if text.isascii():
        return text.lower() in ascii_lower(name)
    return _fold_name(text) in _fold_name(name)


def ascii_lower(text: str) -> str:
    """``text`` with the letters A to Z small and everything else as it is."""
    return text.translate(_ASCII_LOWER)


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    text = "".join(c for c in _IGNORED.sub("", text) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", text)
