"""Asking the person at the terminal, where one is."""

from __future__ import annotations

import sys


def somebody_is_there() -> bool:
    """Whether there is a terminal to ask at."""
    return sys.stdin.isatty()


def agreed(question: str, *, nobody: bool = False) -> bool:
    """Whether somebody says yes to ``question``; ``nobody``: the answer where there is no terminal to ask at."""
    if not somebody_is_there():
        return nobody
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
