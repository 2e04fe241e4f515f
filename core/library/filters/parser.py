"""Reading a filter: ``state:accepted score:<0.55 "red car" (folder:2024 OR NOT author:me)``.

::

    filter    = [ either ]
    either    = both { "OR" both }
    both      = one { [ "AND" ] one }
    one       = ( "NOT" | "-" ) one | "(" either ")" | condition
    condition = word | '"' text '"' | name ":" value

``AND``, ``OR`` and ``NOT`` are written in capitals; in small letters they are words like any other.
``-car`` is ``NOT car``; a word that begins with a minus stands in quotes.
"""

from __future__ import annotations

import calendar
import difflib
import math
import re
from datetime import date, timedelta
from typing import Any

from core.library.filters import nodes
from core.library.filters.fields import AUTHORS, OPERATORS, STATES
from core.library.filters.lexer import Token, tokens
from core.library.filters.nodes import Filter
from core.library.filters.problems import FilterError

MAX_CONDITIONS = 100
MAX_DEPTH = 50
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_FIRST_YEAR, _LAST_YEAR = 1971, 2999  # what every system can place on a local calendar


def parse(text: str, *, today: date | None = None) -> Filter:
    """What ``text`` asks for; an empty text asks for everything. ``today``: what that word means.

    Raises :class:`FilterError`, which says where, what stands there and what was expected.
    """
    return _Parser(list(tokens(text)), len(text), today or date.today()).all()


class _Parser:
    def __init__(self, found: list[Token], length: int, today: date) -> None:
        self._tokens = found
        self._at = 0
        self._length = length
        self._today = today
        self._conditions = 0

    def all(self) -> Filter:
        if not self._tokens:
            return nodes.EVERYTHING
        tree = self._either(0)
        token = self._peek()
        if token is not None:  # only a closing bracket ends an expression before its end
            raise _unexpected(token, 'No "(" is open here: a condition, or nothing, is expected.')
        return tree

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, *kinds: str) -> Token | None:
        token = self._peek()
        if token is None or token.kind not in kinds:
            return None
        self._at += 1
        return token

    def _either(self, depth: int) -> Filter:
        items = [self._both(depth)]
        while self._take("OR"):
            items.append(self._both(depth))
        return _joined(nodes.Or, items)

    def _both(self, depth: int) -> Filter:
        items = [self._one(depth)]
        while True:
            joined = self._take("AND")
            token = self._peek()
            if joined is None and (token is None or token.kind in (")", "OR", "AND")):
                return _joined(nodes.And, items)
            items.append(self._one(depth))

    def _one(self, depth: int) -> Filter:
        token = self._peek()
        if token is None:
            raise self._ends_too_early()
        if depth >= MAX_DEPTH:
            raise FilterError(
                f"At character {token.start + 1} the filter is nested {MAX_DEPTH} deep.",
                "Write it with fewer brackets.",
                start=token.start,
                end=token.end,
            )
        self._at += 1
        if token.kind == "NOT":
            item = self._one(depth + 1)
            return nodes.Not(item, start=token.start, end=item.end)
        if token.kind == "(":
            inner = self._either(depth + 1)
            if self._take(")") is None:
                raise FilterError(
                    f'The "(" at character {token.start + 1} is never closed.',
                    'A ")" is expected.',
                    start=token.start,
                    end=token.end,
                )
            return inner
        if token.kind in (")", "AND", "OR"):
            raise _unexpected(
                token, "A condition is expected here: a word, “text in quotes” or for example state:seed."
            )
        return self._condition(token)

    def _ends_too_early(self) -> FilterError:
        last = self._tokens[-1]
        return FilterError(
            f"The filter ends after “{last.text}” at character {last.start + 1}.",
            "A condition is expected after it: a word, “text in quotes” or for example state:seed.",
            start=last.start,
            end=last.end,
        )

    def _condition(self, token: Token) -> Filter:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(
                f"The filter has more than {MAX_CONDITIONS} conditions.",
                "Leave some out.",
                start=token.start,
                end=self._length,
            )
        place: dict[str, Any] = {"start": token.start, "end": token.end}
        if token.kind == "word":
            return nodes.Words(token.text, **place)
        if token.kind == "quoted":
            text = " ".join(token.text.split())
            return nodes.Words(text, True, **place) if text else nodes.And((), **place)
        value = token.text.strip()
        if not value:
            raise _bad_value(token, "nothing", _expected(token.name))
        if token.name == "state":
            return nodes.State(_one_of(token, value, STATES), **place)
        if token.name == "author":
            return nodes.Author(AUTHORS[_one_of(token, value, tuple(AUTHORS))], **place)  # type: ignore[arg-type]
        if token.name == "folder":
            return self._folder(token, value)
        if token.name == "run":
            return nodes.ByRun(value, **place)
        operator, rest = _operator(value)
        if token.name in ("score", "rank"):
            return nodes.Number(token.name, operator, _number(token, rest), **place)  # type: ignore[arg-type]
        first, last = self._days(token, rest)
        return nodes.Date(token.name, operator, first, last, **place)  # type: ignore[arg-type]

    def _folder(self, token: Token, value: str) -> Filter:
        given = value.replace("\\", "/")
        text = given.rstrip("/")
        if not text:
            raise _bad_value(token, value, _expected("folder"))
        text += "/" * given.endswith("/")  # this folder and what is below, not one whose name only begins so
        return nodes.InFolder(text, start=token.start, end=token.end)

    def _days(self, token: Token, value: str) -> tuple[date, date]:
        if value.lower() in ("today", "yesterday"):
            day = self._today - timedelta(days=value.lower() == "yesterday")
            return day, day
        match = _DATE.fullmatch(value)
        if match is None or not _FIRST_YEAR <= int(match.group(1)) <= _LAST_YEAR:
            raise _bad_value(token, value, _expected(token.name))
        year, month, day_of = (int(part) if part else None for part in match.groups())
        assert year is not None
        try:
            first = date(year, month or 1, day_of or 1)
        except ValueError:
            raise _bad_value(token, value, _expected(token.name)) from None
        if day_of:
            return first, first
        last_month = month or 12
        return first, date(year, last_month, calendar.monthrange(year, last_month)[1])


def _joined(kind: type[nodes.And] | type[nodes.Or], items: list[Filter]) -> Filter:
    return items[0] if len(items) == 1 else kind(tuple(items), start=items[0].start, end=items[-1].end)


def _operator(value: str) -> tuple[nodes.Operator, str]:
    for operator in OPERATORS:  # the longer ones first
        if value.startswith(operator):
            return operator, value[len(operator) :].strip()  # type: ignore[return-value]
    return "=", value


def _number(token: Token, value: str) -> float:
    number = float(value) if _NUMBER.fullmatch(value) else math.nan
    if not math.isfinite(number):
        raise _bad_value(token, value or "nothing", _expected(token.name))
    return number


def _one_of(token: Token, value: str, known: tuple[str, ...]) -> str:
    if value.lower() in known:
        return value.lower()
    near = difflib.get_close_matches(value.lower(), known, 1, 0.8)
    raise _bad_value(token, value, _expected(token.name) + (f" Did you mean {near[0]}?" if near else ""))


def _expected(name: str) -> str:
    """What comes after ``name:``, as a sentence."""
    what = {
        "state": f"one of {', '.join(STATES)}",
        "author": f"one of {', '.join(AUTHORS)}",
        "folder": "a part of a folder's name",
        "run": "starter, current, or how the run's name begins",
        "score": "a number, for example 0.55 or <0.55",
        "rank": "a number, for example 1 or <=10",
    }.get(name, f"a date from {_FIRST_YEAR} to {_LAST_YEAR}, for example 2026, 2026-05, >=2026-05-01, or today")
    return f"After “{name}:” comes {what}."


def _bad_value(token: Token, value: str, expected: str) -> FilterError:
    start = token.value_start if token.value_start < token.end else token.start
    said = value if value == "nothing" else f"“{value}”"
    return FilterError(
        f"“{token.name}:” at character {token.start + 1} is followed by {said}.",
        expected,
        start=start,
        end=token.end,
    )


def _unexpected(token: Token, expected: str) -> FilterError:
    return FilterError(
        f"“{token.text}” at character {token.start + 1} stands in the wrong place.",
        expected,
        start=token.start,
        end=token.end,
    )
