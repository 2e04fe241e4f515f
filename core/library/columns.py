"""Column types: paths kept exactly, times in UTC."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, String, TypeDecorator

from core.errors import UserError
from core.library.relative import stays_inside


class DamagedValueError(UserError):
    """A value that no Seedcap writes; the open library adds its name."""


class PathText(TypeDecorator[str]):
    """A path as ``str``, also one whose bytes are not valid Unicode.

    Text when it is Unicode; otherwise the file system's own bytes, as a BLOB, which read back to the very same ``str``
    (with Python's surrogate escapes). SQLite never mistakes one for the other.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else stored_path(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return path_from_stored(value)


class RelativePath(PathText):
    """A path below a folder. A database from a stranger may say ``../../secret``: that is never read, nor written to.

    Raises ``UserError`` when such a row is read, before any file is touched.
    """

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        path = path_from_stored(value)
        if path is not None and not stays_inside(path):
            raise DamagedValueError(
                f"This library names a photo outside its folder ({path!r:.100}), which no Seedcap does.",
                "Do not use a library that you do not trust. To keep its other rows: seedcap doctor LIB --recover",
            )
        return path


class UtcTime(TypeDecorator[datetime]):
    """A point in time, kept as ISO text in UTC so that it sorts and reads well."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="milliseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        try:
            return None if value is None else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise DamagedValueError(
                f"The library is damaged: it holds {value!r:.40} where a time belongs.",
                "Keep what can be read with: seedcap doctor LIB --recover",
            ) from None


def stored_path(path: str) -> str | bytes:
    """What the database holds for ``path``."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def path_from_stored(value: Any) -> Any:
    """The reverse of :func:`stored_path`."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def now() -> datetime:
    """The time now, to the millisecond, which is what the database keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
