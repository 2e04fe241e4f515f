"""The names that a filter may ask by, what may follow each, and words to offer while one is typed."""

from __future__ import annotations

from dataclasses import dataclass

from core.marking import tr

STATES = ("none", "seed", "candidate", "accepted", "rejected", "changed", "failed", "missing", "removed")
AUTHORS = {"human": "human", "me": "human", "run": "run", "model": "run"}
RUNS = ("starter", "current")
DAYS = ("today", "yesterday")
OPERATORS = ("<=", ">=", "<", ">", "=")
KEYWORDS = ("AND", "OR", "NOT")


@dataclass(frozen=True)
class Field:
    """``values``: what may be typed after ``name:``, the most useful first; ``meaning``: one line for a list."""

    name: str
    meaning: str
    values: tuple[str, ...]
    compares: bool = False
    """Whether ``<``, ``>``, ``<=``, ``>=`` may follow."""


FIELDS = {
    field.name: field
    for field in (
        Field("state", tr("photos with a caption in this state"), STATES),
        Field("score", tr("the best CLIP-S of the photo's captions"), ("<0.5", ">0.7"), compares=True),
        Field("rank", tr("the best rank of the photo's captions"), ("1", "<=10", ">100"), compares=True),
        Field("folder", tr("part of the name of the folder"), ()),
        Field("author", tr("who wrote a caption"), tuple(AUTHORS)),
        Field("run", tr("the training whose model wrote a caption"), RUNS),
        Field("written", tr("when a caption was written"), (*DAYS, ">=2026-01", "2026"), compares=True),
        Field("date", tr("the date of the file"), (*DAYS, ">=2026-01", "2026"), compares=True),
    )
}


def completions(text: str, *, folders: tuple[str, ...] = (), runs: tuple[str, ...] = ()) -> list[str]:
    """What the last word of ``text`` could become, most useful first: names of fields, values after a colon, keywords.

    ``folders`` and ``runs`` are what the library at hand has.
    """
    word = text[max(text.rfind(one) for one in " (\t\n") + 1 :].removeprefix("-")
    name, colon, begun = word.partition(":")
    if not colon:
        names = [f"{one}:" for one in FIELDS if word and one.startswith(word.lower())]
        return names + [one for one in KEYWORDS if word and one.startswith(word) and one != word]
    field = FIELDS.get(name.lower())
    if field is None:
        return []
    more = {"folder": folders, "run": runs}.get(field.name, ())
    found = [value for value in (*field.values, *more) if value.lower().startswith(begun.lower()) and value != begun]
    return [f'{name}:"{value}"' if " " in value else f"{name}:{value}" for value in found]
