"""The process in which a person's regular expression is tried; it knows nothing of the program, so it starts at once.

Run as a script: a JSON object on standard input, ``{"replaced": {place of the text: new text}}`` on standard output, or
``{"failed": "memory"}``. See :mod:`core.library.expressions`.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def replaced(order: dict[str, Any]) -> dict[int, str]:
    """The texts that change, without white space around them and no longer than ``most`` characters."""
    sub, by, most = re.compile(order["pattern"], order["flags"]).sub, order["by"], order["most"]
    found = {}
    for place, text in enumerate(order["texts"]):
        after = sub(by, text).strip()
        if after != text:
            found[place] = after[:most]
    return found


def limit_memory(size: int) -> None:
    """No more than ``size`` bytes for this process, where the system can be asked for that."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, ValueError, OSError):
        pass


def main() -> None:
    order = json.load(sys.stdin)
    limit_memory(order["memory"])
    try:
        answer: dict[str, Any] = {"replaced": replaced(order)}
    except MemoryError:
        answer = {"failed": "memory"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
