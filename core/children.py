"""Processes that this program starts to run parts of itself."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a Python process that imports the same ``core`` as this one; ``more`` is set in it."""
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": search, **more}
