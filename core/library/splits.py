"""Which labelled photos are held out. A decision once made stays: a held-out photo never becomes training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from core.library.columns import now
from core.library.library import Library
from core.library.queries import seeds
from core.library.records import Seed
from core.library.tables import Split


@dataclass(frozen=True)
class SeedSplit:
    """The seeds in two parts that share no photo, and no copy of one."""

    train: tuple[Seed, ...]
    held_out: tuple[Seed, ...]


def split_seeds(library: Library, *, fraction: float = 0.2, minimum: int = 0, seed: int = 0) -> SeedSplit:
    """Divide the seeds; photos decided earlier keep their part, new ones are drawn until ``fraction`` is held out.

    Never fewer than ``minimum`` photos are left to train on if that can be helped: a new photo is held out only while
    more than ``minimum`` others train. The draw depends on ``seed`` and the photo's content alone.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be from 0 to below 1, not {fraction}")
    labelled = seeds(library)
    hashes = list(dict.fromkeys(one.content_hash for one in labelled))
    with library.writing() as session:
        found = session.execute(select(Split.content_hash, Split.part).where(Split.content_hash.in_(hashes)))
        parts = {row.content_hash: row.part for row in found}
        fresh = sorted((one for one in hashes if one not in parts), key=lambda one: _draw(one, seed))
        wanted = int(fraction * len(hashes) + 0.5)
        out = sum(part == "held_out" for part in parts.values())
        room = max(0, min(wanted - out, len(hashes) - out - minimum, len(fresh)))
        for place, content_hash in enumerate(fresh):
            parts[content_hash] = "held_out" if place < room else "train"
            values = {"content_hash": content_hash, "part": parts[content_hash], "decided_at": now()}
            session.execute(insert(Split).values(values).on_conflict_do_nothing())
    train = tuple(one for one in labelled if parts[one.content_hash] == "train")
    return SeedSplit(train, tuple(one for one in labelled if parts[one.content_hash] == "held_out"))


def held_out(library: Library) -> set[str]:
    """Content hashes of every photo that was ever held out."""
    with library.session() as session:
        return set(session.scalars(select(Split.content_hash).where(Split.part == "held_out")))


def _draw(content_hash: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{content_hash}".encode()).hexdigest()
