"""Getting a model by its name: asked about once, pinned then, and the same ever after."""

from __future__ import annotations

from collections.abc import Iterable

from core.hub.ask import ask
from core.hub.cache import bytes_here, find, megabytes, remove_version
from core.hub.download import fetch
from core.hub.names import is_downloaded
from core.hub.pins import ModelPin, read_pins, write_pin, write_update
from core.jobs import JobContext
from core.known_models import memory_bytes

_BYTES_LEAST = 2  # numbers in files are seldom smaller, so that what is computed from it is at most too much


def pinned_or_asked(name: str, *, update: bool = False) -> ModelPin:
    """What the model is: as noted at its first download, or with ``update`` and the first time, as the hub has it now.

    Raises:
        UserError: the name is not understood, or the hub does not have the model, cannot be reached, or is not safe.
    """
    pin = None if update else read_pins().get(name)
    return pin or ask(name)


def get(ctx: JobContext, pin: ModelPin) -> None:
    """Note what the model is, and download what of it is missing.

    It is noted before: a download that stops half-way goes on with the same files. Where another version is here, that
    one stays what the model is, and works, until all of the new one has come; then it is deleted.

    Raises:
        UserError: see :func:`core.hub.download.fetch`.
        Cancelled: what has come is kept.
    """
    old = read_pins().get(pin.name)
    if old is not None and old != pin and bytes_here(old):
        _update(ctx, old, pin)
        return
    if old != pin:
        write_pin(pin)
    fetch(pin, ctx)


def _update(ctx: JobContext, old: ModelPin, new: ModelPin) -> None:
    before = write_update(new)
    if before is not None:
        remove_version(before)  # the hub has gone on since that update stopped
    fetch(new, ctx)
    write_pin(new)
    remove_version(old)


def ask_about(ctx: JobContext, names: Iterable[str]) -> dict[str, ModelPin]:
    """What those of the models are, by name, that would have to be downloaded; the ones that are here are left out.

    Raises:
        UserError: as :func:`pinned_or_asked`.
    """
    asked: dict[str, ModelPin] = {}
    for name in names:
        if is_downloaded(name) and find(name) is None:
            ctx.progress(0, None, f"Asking about {name}")
            ctx.check_cancelled()
            asked[name] = pinned_or_asked(name)
    return asked


def memory_of(pin: ModelPin) -> int:
    """Megabytes (10⁶ bytes) in use while training, about; of numbers that nobody counted, as many as may be there."""
    parameters = pin.parameters or pin.size // _BYTES_LEAST
    return round(memory_bytes("encoder" if pin.is_encoder else "language_model", parameters) / 1e6)


def described(pin: ModelPin) -> str:
    """Size, memory and licence in a line, as a person must know them before the download."""
    most = "" if pin.parameters else "at most "
    memory = megabytes(memory_of(pin) * 1_000_000)
    return (
        f"{pin.name}: {megabytes(pin.size)} to download, {most}{memory} of memory to train with, licence {pin.licence}"
    )
