"""A photo whose file was written anew around the same pixels: its captions, vectors and part in a split still hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sqlalchemy import select, update

from core.library.columns import now
from core.library.library import Library
from core.library.tables import Folder, Image, Split, Vector


def same_pixels(library: Library, path: Path, *, bytes_of: Path | None = None) -> bool:
    """Tell the library that the file at ``path`` has other bytes, but shows what it showed; ``False``: not its photo.
    Where they are about to be put there, ``bytes_of`` is the file that has them.

    The next scan then finds nothing changed. The vectors of the former bytes serve the new ones too, and a held-out
    photo stays held out. Raises ``OSError`` when the file cannot be read.
    """
    with (bytes_of or path).open("rb") as file:
        new_hash = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
    with library.writing() as session:
        found = session.execute(
            select(Image.id, Image.content_hash, Image.relative_path, Folder.path)
            .join(Folder)
            .where(Image.relative_path.in_(_tails(path)))
        )
        row = next((row for row in found if Path(f"{row.path}/{row.relative_path}") == path), None)
        if row is None:
            return False
        values = {"content_hash": new_hash, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        session.execute(update(Image).where(Image.id == row.id).values(values))
        part = session.scalar(select(Split.part).where(Split.content_hash == row.content_hash))
        if part is not None and session.get(Split, new_hash) is None:
            session.add(Split(content_hash=new_hash, part=part, decided_at=now()))
        for vector in session.scalars(select(Vector).where(Vector.content_hash == row.content_hash)).all():
            if session.get(Vector, (vector.encoder, new_hash)) is None:
                session.add(Vector(encoder=vector.encoder, content_hash=new_hash, shard=vector.shard, row=vector.row))
    return True


def _tails(path: Path) -> list[str]:
    """Every relative path that may lead to ``path`` from one of the folders above it."""
    parts = path.parts
    return ["/".join(parts[at:]) for at in range(1, len(parts))]
