"""Cutting a filter into pieces: brackets, keywords, words, quoted text, and ``name:value``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.library.filters.fields import FIELDS, KEYWORDS, OPERATORS
from core.library.filters.problems import FilterError

Kind = Literal["(", ")", "AND", "OR", "NOT", "word", "quoted", "field"]

_WORD = re.compile(r'[^\s()"]+')
_COMPARING = "|".join(name for name, field in FIELDS.items() if field.compares)
_COMPARED = re.compile(rf"({_COMPARING})({'|'.join(OPERATORS)})", re.IGNORECASE)
_NEGATED = re.compile(r'[\w"(]')
"""What a minus may stand before, as a short NOT."""
_MOST = 10_000


@dataclass(frozen=True)
class Token:
    """``text``: the word, what is in the quotes, or the field's value; ``name``: the field."""

    kind: Kind
    text: str
    start: int
    end: int
    name: str = ""
    value_start: int = 0
    quoted: bool = False


def tokens(text: str) -> Iterator[Token]:
    """The pieces of ``text`` in order. Raises :class:`FilterError` for an open quote or an unknown name."""
    if len(text) > _MOST:
        raise FilterError(
            f"The filter has {len(text):,} characters.", f"Keep it below {_MOST:,}.", start=_MOST, end=len(text)
        )
    at = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
            continue
        if character in "()":
            yield Token("(" if character == "(" else ")", character, at, at + 1)
            at += 1
        elif character == '"':
            content, end = _quoted(text, at)
            yield Token("quoted", content, at, end, quoted=True)
            at = end
        elif character == "-" and _NEGATED.match(text, at + 1):
            yield Token("NOT", character, at, at + 1)
            at += 1
        else:
            token = _word(text, at)
            yield token
            at = token.end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands between the quote at ``at`` and the closing one (``\\"`` is a quote itself), and where it ends."""
    content: list[str] = []
    position = at + 1
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in ('"', "\\"):
            content.append(text[position + 1])
            position += 2
        elif text[position] == '"':
            return "".join(content), position + 1
        else:
            content.append(text[position])
            position += 1
    raise FilterError(
        f"The quote at character {at + 1} is never closed.", 'A closing " is expected.', start=at, end=len(text)
    )


def _word(text: str, at: int) -> Token:
    compared = _COMPARED.match(text, at)
    if compared is not None:  # score<0.5 means score:<0.5
        name, start = compared.group(1).lower(), compared.start(2)
        end = _WORD.match(text, start)
        stop = end.end() if end else compared.end()
        return Token("field", text[start:stop], at, stop, name, start)
    match = _WORD.match(text, at)
    assert match is not None  # neither white space nor bracket nor quote begins here
    word = match.group()
    name, colon, value = word.partition(":")
    if colon and name.isalpha():
        return _field(text, match, name, value)
    for keyword in KEYWORDS:
        if word == keyword:
            return Token(keyword, word, at, match.end())  # type: ignore[arg-type]
    return Token("word", word, at, match.end())


def _field(text: str, match: re.Match[str], name: str, value: str) -> Token:
    at, end = match.span()
    if name.lower() not in FIELDS:
        raise FilterError(
            f"“{name}:” at character {at + 1} is not known.",
            f"Known are {', '.join(f'{one}:' for one in FIELDS)} – or put the text in quotes.",
            start=at,
            end=at + len(name) + 1,
        )
    start = at + len(name) + 1
    if not value and text[end : end + 1] == '"':
        content, end = _quoted(text, end)
        return Token("field", content, at, end, name.lower(), start, quoted=True)
    return Token("field", value, at, end, name.lower(), start)
