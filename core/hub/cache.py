"""Where downloaded models lie, what of them is here, and how they go again.

One folder in the layout of ``huggingface_hub``'s cache, so that its own tools read it and a cache that is there already
is used (``HF_HUB_CACHE``, ``HF_HOME``). Files are put there only when they are whole and were checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core import paths
from core.errors import UserError
from core.hub.names import is_downloaded
from core.hub.pins import FilePin, ModelPin, PartPin, forget_update, read_pins, read_updates

_PARTIAL = ".seedcap-partial"


@dataclass(frozen=True)
class LocalModel:
    """A model all of whose files are here."""

    pin: ModelPin

    def folder(self, role: str) -> Path:
        """The folder of the first part with this role; ``KeyError`` where there is none."""
        for part in self.pin.parts:
            if part.role == role:
                return folder_of(part)
        raise KeyError(role)

    def repository_folder(self, repository: str) -> Path | None:
        """The folder of a tokenizer or of a text tower's settings, by the repository's name."""
        return next((folder_of(p) for p in self.pin.parts if p.role == "text" and p.repository == repository), None)

    def weights(self) -> Path:
        """The one file of the part ``weights``."""
        part = next(part for part in self.pin.parts if part.role == "weights")
        return folder_of(part) / next(iter(part.files))


@dataclass(frozen=True)
class Downloaded:
    """A model of which something is here: ``bytes_here`` of ``bytes``."""

    name: str
    bytes_here: int
    bytes: int
    licence: str

    @property
    def whole(self) -> bool:
        return self.bytes_here == self.bytes


def downloaded() -> tuple[Downloaded, ...]:
    """What was downloaded and is here, whole or in part, by name.

    Raises:
        UserError: the file that says what models consist of cannot be read.
    """
    rows = (Downloaded(name, bytes_here(pin), pin.size, pin.licence) for name, pin in sorted(read_pins().items()))
    return tuple(one for one in rows if one.bytes_here)


def folder_of(part: PartPin) -> Path:
    return _repository_folder(part) / "snapshots" / part.commit


def partial_file(part: PartPin, pin: FilePin) -> Path:
    """What of a file has come so far; named by its hash, so that bytes of two versions never meet in it."""
    return _repository_folder(part) / _PARTIAL / pin.hash.replace(":", "-")


def is_here(part: PartPin, file: str) -> bool:
    try:
        return (folder_of(part) / file).stat().st_size == part.files[file].size
    except OSError:
        return False


def bytes_here(model: ModelPin) -> int:
    """How many bytes of a model are here, half downloaded files included."""
    return sum(
        pin.size if is_here(part, file) else min(size_of(partial_file(part, pin)), pin.size)
        for part in model.parts
        for file, pin in part.files.items()
    )


def find(name: str) -> LocalModel | None:
    """The model, if all of it is here; no network is asked."""
    pin = read_pins().get(name)
    return LocalModel(pin) if pin is not None and _is_whole(pin) else None


def require(name: str) -> LocalModel:
    """The model, all of it here.

    Raises:
        UserError: it is not, or only half; says how to get it.
    """
    found = find(name)
    if found is not None:
        return found
    pin = read_pins().get(name)
    here = bytes_here(pin) if pin is not None else 0
    if pin is None or here == 0:
        message = f"'{name}' is not on this computer."
    else:
        message = f"Of '{name}' only {megabytes(here)} of {megabytes(pin.size)} are on this computer."
    raise UserError(message, "A training that is given this name downloads it.", topic="get model")


def remove(name: str) -> int:
    """Delete a model's files, except those that another model needs too; what it is stays noted. Bytes set free.

    Raises:
        UserError: nothing of it is here.
    """
    pins, updates = read_pins(), read_updates()
    versions = [one[name] for one in (pins, updates) if name in one]  # an update may have stopped half-way
    if not is_downloaded(name) or not any(map(bytes_here, versions)):
        raise UserError(f"Nothing of '{name}' is in {paths.models_dir()}.", "Check the name.", topic="list models")
    others = [one for one in (*pins.values(), *updates.values()) if one.name != name]
    freed = sum(_delete_unshared(one, others) for one in versions)
    if name in updates:
        forget_update(name)
    return freed


def remove_version(old: ModelPin) -> int:
    """Delete the files of what a model was, except those that a model as noted now needs. Bytes set free."""
    return _delete_unshared(old, [*read_pins().values(), *read_updates().values()])


def _delete_unshared(pin: ModelPin, others: Iterable[ModelPin]) -> int:
    used = [part for other in others if _is_in_use(other, pin) for part in other.parts]
    shared = {(part.repository, part.commit) for part in used}
    going_on = {partial_file(part, one) for part in used for one in part.files.values()}
    before = bytes_here(pin)
    for part in pin.parts:
        if (part.repository, part.commit) not in shared:
            _delete(part, going_on)
    return before - bytes_here(pin)


def _is_in_use(model: ModelPin, removed: ModelPin) -> bool:
    """Whether a model is here, whole or in part; what it shares with the removed one says so only where that is all."""
    theirs = {(part.repository, part.commit) for part in removed.parts}
    own = tuple(part for part in model.parts if (part.repository, part.commit) not in theirs)
    return bytes_here(replace(model, parts=own)) > 0 if own else _is_whole(model)


def _is_whole(pin: ModelPin) -> bool:
    return all(is_here(part, file) for part in pin.parts for file in part.files)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def megabytes(size: int) -> str:
    """A size in bytes, for people, in units of 10⁶ and 10⁹."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _delete(part: PartPin, going_on: set[Path]) -> None:
    """Through the library, as in a shared cache other programs may have put links to their files there. Half downloaded
    files ``going_on`` stay: another version of the model is made of them."""
    from huggingface_hub import scan_cache_dir

    partials = _repository_folder(part) / _PARTIAL
    for file in partials.glob("*"):
        if file.with_suffix("") not in going_on:
            with suppress(OSError):
                file.unlink()
    with suppress(OSError):  # it is not empty, or not there
        partials.rmdir()
    if folder_of(part).is_dir():
        found = scan_cache_dir(paths.models_dir())
        # A copy of a repository has its commits too: deleted is what lies in this one's folder.
        ours = frozenset(one for one in found.repos if one.repo_path.resolve() == _repository_folder(part).resolve())
        replace(found, repos=ours).delete_revisions(part.commit).execute()
    elif _repository_folder(part).is_dir() and not any(_repository_folder(part).iterdir()):
        _repository_folder(part).rmdir()


def _repository_folder(part: PartPin) -> Path:
    return paths.models_dir() / f"models--{part.repository.replace('/', '--')}"
