"""Replacing by a person's regular expression, within limits of time and memory.

Some expressions take longer than anybody lives ("(a+)+$" on a few dozen letters), and Python's ``re`` can neither be
interrupted nor lets other threads run meanwhile. So they are tried in a process that can be ended: docs/decisions/0024.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from core.children import module_command
from core.errors import UserError

LONGEST_S, LONGEST_S_A_TEXT = 3.0, 20e-6
"""How long all texts together may take: so many seconds, and a little more for each; usual are 2 microseconds."""
MEMORY = 1 << 30
_CHILD = "core.library.expression_child"


def compiled(pattern: str, by: str, flags: int, shown: tuple[str, str]) -> re.Pattern[str]:
    """The expression, if both it and what is put in its place can be understood; nothing is looked for yet.

    ``shown``: what the person typed for both, to be named in the ``UserError``.
    """
    try:
        expression = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"“{shown[0]}” is no regular expression: {error}.", "Mend it, or look for the plain text instead."
        ) from None
    names = {number: name for name, number in expression.groupindex.items()}
    groups = (f"(?P<{names[one]}>)" if one in names else "()" for one in range(1, expression.groups + 1))
    try:
        re.sub("".join(groups), by, "")  # with groups of the same names: the expression itself might not come back
    except (re.error, IndexError) as error:
        raise UserError(
            f"“{shown[1]}” cannot be put in: {error}.",
            r"\1 stands for the first group in round brackets; a backslash itself is written \\.",
        ) from None
    return expression


def replace_all(expression: re.Pattern[str], by: str, texts: Sequence[str], most: int, shown: str) -> list[str]:
    """Each text with every match replaced by ``by``, stripped and cut off after ``most`` characters.

    Raises ``UserError`` when it takes too long or too much memory.
    """
    order = {
        "pattern": expression.pattern, "flags": expression.flags, "by": by, "texts": list(texts), "most": most,
        "memory": MEMORY,
    }  # fmt: skip
    limit = LONGEST_S + LONGEST_S_A_TEXT * len(texts)
    try:
        done = subprocess.run(
            module_command(_CHILD, alone=True),
            input=json.dumps(order), capture_output=True, text=True, encoding="ascii", timeout=limit, check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(
            f"Looking for “{shown}” takes more than {limit:.0f} seconds; nothing was changed.",
            "Make the expression simpler: a repetition inside a repetition, as in (a+)+, is what takes so long.",
        ) from None
    except OSError as error:
        raise UserError(
            f"The process that looks for “{shown}” cannot be started: {error.strerror}.",
            "Look for the plain text instead, or close other programs and try again.",
        ) from error
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"failed": "it ended"}
    if answer.get("failed") == "memory" or "MemoryError" in done.stderr:
        raise UserError(
            f"Looking for “{shown}” takes more than {MEMORY >> 20} MB of memory; nothing was changed.",
            "Make the expression simpler, or what is put in shorter.",
        )
    if "replaced" not in answer:
        raise RuntimeError(f"the process for regular expressions ended with {done.returncode}: {done.stderr}")
    found = {int(place): after for place, after in answer["replaced"].items()}
    return [found.get(place, text) for place, text in enumerate(texts)]
