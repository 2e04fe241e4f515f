"""Downloading files of a pinned model: goes on where it stopped, checks every file, keeps apart what is not whole.

``huggingface_hub`` finds the address, authorises, follows redirects and proxies. The loop around its connection is our
own: its downloads begin anew after a stop, are not compared with a hash, and answer a cancel every ten megabytes.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core import paths
from core.disk import sync_file
from core.errors import UserError
from core.hub.ask import endpoint, http_errors, in_words
from core.hub.cache import folder_of, is_here, megabytes, partial_file, size_of
from core.hub.pins import FilePin, ModelPin, PartPin, hash_of
from core.jobs import JobContext
from core.model_folders import refuse_packed

File = tuple[PartPin, str]
TRIES, WAIT_S = 3, 1.0
"""How often a connection that brings nothing more is tried again, and how long after."""
_SPARE = 50_000_000
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_ROOM = "Make room, or keep models on another disk by setting HF_HUB_CACHE to a folder there. What came is kept."


def fetch(model: ModelPin, ctx: JobContext) -> None:
    """Bring every file of the model here; those that are here are checked against their hashes.

    A language model's settings come first: they may say that its weights are of no use.

    Raises:
        UserError: the disk is full, the connection broke, a file is missing or is not what it must be, or the weights
            are packed.
        Cancelled: what has come is kept, and the next call goes on from there.
    """
    files = [(part, name) for part in model.parts for name in part.files]
    for place, (part, name) in enumerate(files):
        ctx.progress(place, len(files), "Checking the files that are here")
        if is_here(part, name) and not _matches(folder_of(part) / name, part.files[name], ctx.check_cancelled):
            (folder_of(part) / name).unlink()
    for part, name in files:
        if (part.role, name) == ("language_model", "config.json"):
            fetch_files([(part, name)], ctx)
            refuse_packed(folder_of(part) / name)
    fetch_files([(part, name) for part, name in files if not is_here(part, name)], ctx)


def fetch_files(files: Sequence[File], ctx: JobContext) -> None:
    """Download these files, the ones that are here already left alone; as :func:`fetch` otherwise."""
    missing = [(part, name, part.files[name]) for part, name in files if not is_here(part, name)]
    total = sum(pin.size for _, _, pin in missing)
    came = sum(min(size_of(partial_file(part, pin)), pin.size) for part, _, pin in missing)
    _refuse_full_disk(total - came)
    before = 0
    for part, name, pin in missing:

        def report(size: int, before: int = before, name: str = name) -> None:
            ctx.check_cancelled()
            ctx.progress((before + size) // 1_000_000, -(-total // 1_000_000), f"Downloading {name}, megabytes")

        try:
            _fetch_file(part, name, pin, report)
        except OSError as error:
            raise _disk_error(error, name) from error
        before += pin.size


def _fetch_file(part: PartPin, name: str, pin: FilePin, report: Callable[[int], None]) -> None:
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    partial, target = partial_file(part, pin), folder_of(part) / name
    partial.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(f"{partial}.lock", timeout=WAIT_S):
            _fill(part, name, pin, report)
            if not _matches(partial, pin, lambda: report(pin.size)):
                partial.unlink()
                raise _wrong(part, name)
            sync_file(partial)
            partial.replace(target)
    except Timeout as error:
        raise UserError(
            f"{name} of {part.repository} is being downloaded by another program.", "Wait until that has ended."
        ) from error
    Path(f"{partial}.lock").unlink(missing_ok=True)


def _fill(part: PartPin, name: str, pin: FilePin, report: Callable[[int], None]) -> None:
    """Append to the partial file until it has its size; tries again as long as more comes."""
    partial = partial_file(part, pin)
    partial.touch()
    most, left = partial.stat().st_size, TRIES
    while partial.stat().st_size != pin.size:
        if partial.stat().st_size > pin.size:  # the server sends more than the file is long
            partial.unlink()
            raise _wrong(part, name)
        broke = UserError(f"The connection broke while {name} of {part.repository} was downloaded.")
        try:
            with in_words(part.repository, name):
                _stream(part, name, partial, report)
        except UserError as error:
            if not isinstance(error.__cause__, http_errors()) or getattr(error.__cause__, "response", None) is not None:
                raise _half(error, part, name, partial) from error  # who was answered hears the same once more
            broke = error
        size = partial.stat().st_size
        left, most = (TRIES, size) if size > most else (left - 1, most)
        if left == 0:
            raise _half(broke, part, name, partial)
        if size < pin.size:
            report(size)
            time.sleep(WAIT_S)


def _stream(part: PartPin, name: str, partial: Path, report: Callable[[int], None]) -> None:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(part.repository, name, revision=part.commit, endpoint=endpoint())
    have = partial.stat().st_size
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # a range of a compressed stream means nothing
    if have:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206  # 200: the server knows no ranges and begins anew
        size = have if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
                size += len(chunk)
                report(size)


def _matches(file: Path, pin: FilePin, check: Callable[[], None]) -> bool:
    return hash_of(file, pin.hash.partition(":")[0], check) == pin.hash


def _wrong(part: PartPin, name: str) -> UserError:
    return UserError(
        f"{name} of {part.repository} is not what the hub said, or what was noted at the first download: its hash is "
        "another. It was thrown away.",
        "Try again. If it stays so, the mirror or something on the way changes files, or the model itself was changed.",
        topic="update model",
    )


def _half(error: UserError, part: PartPin, name: str, partial: Path) -> UserError:
    came = size_of(partial)
    if came == 0:
        partial.unlink(missing_ok=True)
        return error
    kept = f"{megabytes(came)} of {megabytes(part.files[name].size)} of {name} came and are kept."
    step = f"Trying again goes on from there. {error.next_step}".strip()
    return UserError(f"{error.message} {kept}", step, topic=error.topic)


def _refuse_full_disk(needed: int) -> None:
    folder = paths.models_dir()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > 0 and needed + _SPARE > free:
        raise UserError(
            f"{megabytes(needed)} are to be downloaded, and {folder} has room for {megabytes(free)}.", _ROOM
        )


def _disk_error(error: OSError, name: str) -> UserError:
    if error.errno in _FULL:
        return UserError(f"The disk of {paths.models_dir()} is full; {name} could not be written.", _ROOM)
    return UserError(
        f"{name} could not be written into {paths.models_dir()}: {error}",
        "Give yourself the right to write there, or set HF_HUB_CACHE to another folder.",
    )
