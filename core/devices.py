"""What training and reports can run on: graphics cards, Apple's chip, the processor; and whether the models fit there.

torch is imported by the functions, not here. Run as a module it prints what there is, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from core.errors import UserError
from core.machine import memory, processor

AUTO, CPU, MPS, CUDA = "auto", "cpu", "mps", "cuda"
VARIABLE = "SEEDCAP_DEVICE"


@dataclass(frozen=True)
class Device:
    """``name`` as torch has it (``cuda:1``); ``total`` and ``free`` bytes of memory, ``None`` where nobody says.

    ``instead_of``: of the processor, a sentence on each card that is there and does not work.
    """

    name: str
    title: str
    total: int | None = None
    free: int | None = None
    instead_of: str = ""

    @property
    def room(self) -> int | None:
        """Bytes that a new program may hope for."""
        return self.total if self.free is None else self.free


def devices() -> tuple[Device, ...]:
    """All there are, the processor last. A card whose memory cannot be asked, or that fails when it is first used (a
    driver too old, a chip that torch was not built for), is left out."""
    import torch

    found: list[Device] = []
    broken: list[str] = []
    for at in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            free, total = torch.cuda.mem_get_info(at)
            card = Device(f"{CUDA}:{at}", torch.cuda.get_device_name(at), total, free)
            _use(card)
            found.append(card)
        except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for cards
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            broken.append(f"The graphics card {at} cannot be used: {reason}.")
    total, free = memory()
    if torch.backends.mps.is_available():
        found.append(Device(MPS, "Apple GPU", total, free))  # it shares the computer's memory
    return (*found, Device(CPU, processor(), total, free, " ".join(broken)))


def _use(device: Device) -> None:
    """A product of two small matrices: what training does most. Raises whatever torch does."""
    import torch

    ones = torch.ones(2, 2, device=device.name)
    (ones @ ones).sum().item()


def choose_device(name: str = AUTO) -> Device:
    """The device of this name; ``auto``: what ``SEEDCAP_DEVICE`` says, else the card with most free memory, Apple's
    chip, the processor.

    Raises:
        UserError: there is no such device here; the message lists what there is.
    """
    here = devices()
    name = asked_for() if name == AUTO else name
    if name == AUTO:
        cards = [one for one in here if one.name.startswith(CUDA)]
        return max(cards, key=lambda one: one.free or 0) if cards else here[0]
    wanted = f"{CUDA}:0" if name == CUDA else name
    for one in here:
        if one.name == wanted:
            return one
    listed = "; ".join(f"{one.name} ({one.title})" for one in here)
    raise UserError(f"There is no device '{name}' here.", f"Here are: {listed}.")


def asked_for() -> str:
    """What ``SEEDCAP_DEVICE`` names, ``auto`` where it is not set; nothing is looked for."""
    return os.environ.get(VARIABLE) or AUTO


def card_asked_for() -> int | None:
    """The number of the card that ``SEEDCAP_DEVICE`` names; ``None`` where it names none.

    Raises:
        UserError: what follows ``cuda:`` is no number.
    """
    name, _, number = asked_for().partition(":")
    if name != CUDA:
        return None
    if number and not number.isdecimal():
        raise UserError(f"There is no device '{asked_for()}' here.", f"Set {VARIABLE} to {CUDA}:0 or {CPU}.")
    return int(number or 0)


def fit(device: Device, needed: int) -> str:
    """A sentence on whether ``needed`` bytes of models go onto ``device``; photos and captions come on top.

    Raises:
        UserError: they are more than the device has in all.
    """
    where = "this computer" if device.name == CPU else f"{device.name} ({device.title})"
    says = f"Training these models takes about {_gigabytes(needed)} of memory"
    if device.total is not None and needed > device.total:
        raise UserError(
            f"{says}; {where} has {_gigabytes(device.total)} in all.",
            "Choose smaller models, let less of the language model learn, or train on another device.",
            topic="too large",
        )
    if device.room is None:
        return f"{says}; how much is free on {where} is not known."
    if needed > device.room:
        return f"{says}, and {where} has {_gigabytes(device.room)} free: close other programs if it gets slow."
    return f"{says}; {where} has {_gigabytes(device.room)} free."


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


if __name__ == "__main__":
    sys.stdout.write(json.dumps([asdict(one) for one in devices()]))
