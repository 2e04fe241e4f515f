"""What an edit changed, word by word; removed and added words are told apart by more than their colour."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|\s+|[^\w\s]")
"""A word, white space, or a mark; a character each where words are not set apart by spaces."""

Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True)
class Piece:
    kind: Kind
    text: str


def word_diff(before: str, after: str) -> tuple[Piece, ...]:
    """``before`` and ``after`` as pieces: those that are same or removed spell the one, same or added the other."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    pieces: list[Piece] = []
    for _, i, i_end, j, j_end in _steps(old, new):
        if old[i:i_end] == new[j:j_end]:
            pieces.append(Piece("same", "".join(old[i:i_end])))
            continue
        pieces += [Piece("removed", "".join(old[i:i_end]))] if i < i_end else []
        pieces += [Piece("added", "".join(new[j:j_end]))] if j < j_end else []
    return tuple(pieces)


def _steps(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """The matcher's steps; a lone blank between two changes is part of them, or every word would change by itself."""
    joined: list[tuple[str, int, int, int, int]] = []
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for at, (tag, i, i_end, j, j_end) in enumerate(steps):
        blank = tag == "equal" and 0 < at < len(steps) - 1 and "".join(old[i:i_end]).isspace()
        here = "change" if blank or tag != "equal" else "equal"
        if joined and here == joined[-1][0] == "change":
            _, start, _, new_start, _ = joined.pop()
            i, j = start, new_start
        joined.append((here, i, i_end, j, j_end))
    return joined


def as_html(pieces: tuple[Piece, ...], removed: str, added: str) -> str:
    """Removed words struck through, added ones underlined and bold, in these colours (``#rrggbb``)."""
    styles = {
        "same": "<span>{}</span>",
        "removed": f'<span style="color:{removed}; text-decoration:line-through">{{}}</span>',
        "added": f'<span style="color:{added}; text-decoration:underline; font-weight:600">{{}}</span>',
    }
    shown = ""
    for before, piece in zip((None, *pieces), pieces, strict=False):
        if before is not None and before.kind == "removed" and piece.kind == "added" and not before.text[-1:].isspace():
            shown += " "  # or the two would read as one word
        shown += _marked(piece.text, styles[piece.kind])
    return shown


def _marked(text: str, style: str) -> str:
    """The words in the style, blanks around them outside of it: a line under nothing is no word."""
    words = text.strip() or text
    before, _, after = text.partition(words)
    shown = [html.escape(part).replace("\n", "<br>") for part in (before, words, after)]
    return shown[0] + style.format(shown[1]) + shown[2]


def words_of(pieces: tuple[Piece, ...], kind: Kind) -> str:
    """All pieces of a kind, for those who hear them."""
    return ", ".join(piece.text.strip() for piece in pieces if piece.kind == kind and piece.text.strip())
