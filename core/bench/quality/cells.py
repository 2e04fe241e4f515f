"""Results that take minutes or hours are kept one by one, so that a bench that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.training.runfolder import write_text


class Cells:
    """A folder of results: a JSON file each, an array each, named by what they are of and a hash of their settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def value(self, name: str, settings: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """The value of this cell (anything JSON holds), made now if it is not there."""
        file = self.path(name, settings, ".json")
        if not file.is_file():
            value = make()
            write_text(file, json.dumps({"settings": settings, "value": value}, indent=1, ensure_ascii=False))
        return json.loads(file.read_text(encoding="utf-8"))["value"]

    def array(self, name: str, settings: Mapping[str, Any], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The same for an array."""
        file = self.path(name, settings, ".npy")
        if not file.is_file():
            partial = file.with_suffix(".partial.npy")
            np.save(partial, make())
            partial.replace(file)
        return np.load(file)

    def path(self, name: str, settings: Mapping[str, Any], suffix: str = "") -> Path:
        """The place of a cell: another setting is another cell."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
        return self._folder / f"{name}-{digest}{suffix}"
