"""Names below a folder, as libraries and lists of photos write them."""

from __future__ import annotations

import os
from typing import Any


def stays_inside(path: Any) -> bool:
    """Whether ``path`` (with ``/`` between its parts) is a name below a folder, wherever that folder is."""
    if not isinstance(path, str) or not path or "\x00" in path:
        return False
    if os.name == "nt":
        path = path.replace("\\", "/")
        if ":" in path:
            return False
    return path[0] != "/" and (".." not in path or ".." not in path.split("/"))
