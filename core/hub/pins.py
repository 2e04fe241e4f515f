"""What a model's files must be: noted at the first download in one lock file, and held to ever after.

The lock file lies in the configuration folder and not beside the models, so that emptying the cache changes no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core import paths
from core.disk import replacing
from core.errors import UserError

VERSION = 1
LOCK = "models.lock.json"
_CHUNK = 1 << 20
_WAIT_S = 20.0
"""For another program that writes the same file, which takes it a moment."""


@dataclass(frozen=True)
class FilePin:
    """``size`` in bytes; ``hash``: ``sha256:…`` of a large file, ``git:…`` (git's blob id, SHA-1) of a small one."""

    size: int
    hash: str


@dataclass(frozen=True)
class PartPin:
    """Files of one repository at one commit; ``role``: what they are to the model (``core.hub.names.Role``)."""

    repository: str
    commit: str
    role: str
    files: dict[str, FilePin]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(pin.size for pin in self.files.values())


@dataclass(frozen=True)
class ModelPin:
    """All that a model takes. ``parameters``: how many numbers it has, 0 where nobody said."""

    name: str
    licence: str
    parameters: int
    parts: tuple[PartPin, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(part.size for part in self.parts)

    @property
    def is_encoder(self) -> bool:
        return self.name.startswith("open_clip:")


def lock_file() -> Path:
    return paths.config_dir() / LOCK


def read_pins() -> dict[str, ModelPin]:
    """All pinned models by name.

    Raises:
        UserError: the lock file cannot be read, or says what makes no sense.
    """
    return _read()[0]


def read_updates() -> dict[str, ModelPin]:
    """The versions that models shall have once all of them has come, until when their pins hold; raises as
    :func:`read_pins`."""
    return _read()[1]


def write_pin(model: ModelPin) -> None:
    """Note what this model is from now on; no update of it is under way then."""
    with _changing() as (pins, updates):
        pins[model.name] = model
        updates.pop(model.name, None)


def write_update(model: ModelPin) -> ModelPin | None:
    """Note to which version this model is being updated. Returns that of an earlier update, if it was another."""
    with _changing() as (_, updates):
        before = updates.get(model.name)
        updates[model.name] = model
    return before if before != model else None


def forget_update(name: str) -> None:
    """No update of this model is under way any more."""
    with _changing() as (_, updates):
        updates.pop(name, None)


@contextmanager
def _changing() -> Iterator[tuple[dict[str, ModelPin], dict[str, ModelPin]]]:
    """Pins and updates to change, written when the block ends: what two programs note at once, both keep."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    file = lock_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(f"{file}.lock", timeout=_WAIT_S):
            noted = _read()
            yield noted
            document = {"version": VERSION, "models": _rows(noted[0])}
            if noted[1]:
                document["updates"] = _rows(noted[1])
            with replacing(file) as opened:
                opened.write(json.dumps(document, indent=2, sort_keys=True).encode())
    except Timeout as error:
        raise UserError(
            f"{file}, which says what downloaded models must be, is being written by another program.",
            "Wait until that has ended, and try again.",
        ) from error


def _read() -> tuple[dict[str, ModelPin], dict[str, ModelPin]]:
    """Pins and updates by name."""
    file = lock_file()
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise ValueError(f"it has version {document['version']!r}")
        kinds = (document["models"], document.get("updates", {}))
        pins, updates = ({name: _model(name, row) for name, row in rows.items()} for rows in kinds)
        return pins, updates
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file}, which says what downloaded models must be, cannot be read ({error}).",
            "Put a good copy there. Or move it away: the next download of each model notes it anew.",
        ) from error


def hash_of(path: Path, kind: str, check: Callable[[], None] = lambda: None) -> str:
    """The hash of a file as pins have it, ``kind`` before its colon; ``check`` is called now and then."""
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            check()
    return f"{kind}:{digest.hexdigest()}"


def _rows(models: dict[str, ModelPin]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in asdict(one).items() if key != "name"} for name, one in models.items()}


def _model(name: str, row: dict[str, Any]) -> ModelPin:
    parts = tuple(
        PartPin(_plain(one["repository"], 1), _plain(one["commit"]), one["role"], _files(one["files"]))
        for one in row["parts"]
    )
    if not parts:
        raise ValueError(f"'{name}' has no files")
    return ModelPin(name, str(row["licence"]), int(row["parameters"]), parts)


def _files(rows: dict[str, Any]) -> dict[str, FilePin]:
    return {_plain(name): FilePin(int(row["size"]), str(row["hash"])) for name, row in rows.items()}


def _plain(name: str, slashes: int = 0) -> str:
    """The name, which becomes a part of a path, if it cannot lead anywhere else."""
    if not name or name.count("/") > slashes or "\\" in name or ".." in name or name[0] in "/.":
        raise ValueError(f"{name!r} is no name of a file")
    return name
