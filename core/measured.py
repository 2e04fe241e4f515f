"""What was measured on this computer: small JSON files in the cache folder, which may be lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from core.disk import replacing
from core.paths import cache_dir


def measured(name: str) -> Mapping[str, Any]:
    """What was kept as ``name``; empty where it is not there, damaged, or no mapping."""
    try:
        content = json.loads((cache_dir() / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def keep_measured(name: str, values: Mapping[str, Any]) -> None:
    """Keep plain JSON values as ``name``; a full disk, or a cache that cannot be written, costs them alone."""
    with contextlib.suppress(OSError):
        cache_dir().mkdir(parents=True, exist_ok=True)
        with replacing(cache_dir() / f"{name}.json", durable=False) as stream:
            stream.write(json.dumps(values, indent=1).encode())
