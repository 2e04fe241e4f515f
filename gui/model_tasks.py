"""The jobs about models on the hub and on this computer; as those of ``gui.tasks``."""

from __future__ import annotations

from core.jobs import JobContext
from gui.tasks import needs


@needs("core.hub.get")
def ask_about_models(ctx: JobContext, names: tuple[str, ...]) -> tuple[str, ...]:
    """Size, memory and licence of those that would be downloaded, a sentence each."""
    from core.hub.get import ask_about, described

    return tuple(f"{described(pin)}." for pin in ask_about(ctx, names).values())


@needs("core.hub.cache")
def remove_model(_ctx: JobContext, name: str) -> int:
    """Delete a downloaded model; the bytes that were set free."""
    from core.hub.cache import remove

    return remove(name)
