"""ExifTool, a program of its own (https://exiftool.org), driven through PyExifTool (the extra ``metadata``)."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.errors import UserError

_NEXT = "Install it: 'apt install libimage-exiftool-perl' on Debian and Ubuntu, or see exiftool.org."
_OLDEST = (12, 24)  # older ones run code that a file of a stranger can hold (CVE-2021-22204)


class ExifTool:
    """One running ExifTool; a context manager. No configuration file of the person's is read: it would be a program."""

    def __init__(self) -> None:
        try:
            import exiftool
        except ImportError:
            raise UserError(
                "Writing captions into photos needs PyExifTool.", "Install it: pip install 'seedcap[metadata]'"
            ) from None
        silent = logging.getLogger("core.exchange.exiftool")
        try:
            self._tool = exiftool.ExifTool(common_args=[], config_file="", encoding="utf-8", logger=silent)
            self._tool.run()
            version = tuple(int(part) for part in str(self._tool.version).split(".")[:2])
        except (FileNotFoundError, exiftool.exceptions.ExifToolException, OSError, ValueError):
            raise UserError("Writing captions into photos needs the program ExifTool.", _NEXT) from None
        if version < _OLDEST:
            self._tool.terminate()
            raise UserError(f"ExifTool {self._tool.version} is too old to be safe.", _NEXT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tool.running:
            self._tool.terminate()

    def read(self, path: Path, tags: Sequence[str] = ()) -> dict[str, str]:
        """The fields of a photo by ``group:name`` (family 1), as texts; every field where no ``tags`` are asked for."""
        asked = [f"-{tag}" for tag in tags] or ["-a"]
        said = self._execute("-j", "-G1", "-charset", "filename=utf8", *asked, _argument(path))
        try:
            documents = json.loads(said, parse_int=str, parse_float=str, parse_constant=str)
            fields: dict[str, Any] = documents[0]
        except (ValueError, IndexError, KeyError):
            raise UserError(f"ExifTool cannot read {path}: {self._complaint()}.", "Check the file.") from None
        return {name: _text(value) for name, value in fields.items() if name != "SourceFile"}

    def write_copy(self, path: Path, copy: Path, values: Mapping[str, str]) -> None:
        """Write a copy of the photo with these fields set. Raises ``UserError`` with ExifTool's reason."""
        with tempfile.TemporaryDirectory(prefix="seedcap-exiftool-") as scratch:
            wanted = Path(scratch) / "fields.json"  # no argument, since a text may hold line breaks
            # Not as escapes: ExifTool takes the two halves of an emoji's for two letters.
            wanted.write_text(json.dumps([{"SourceFile": "*", **values}], ensure_ascii=False), encoding="utf-8")
            self._execute(
                "-charset", "filename=utf8", f"-j={wanted}", "-o", _argument(copy), _argument(path)
            )  # fmt: skip
        if self._tool.last_status != 0 or not copy.exists():
            raise UserError(f"ExifTool cannot write {path.name}: {self._complaint()}.", "It is left as it is.")

    def _execute(self, *arguments: str) -> str:
        said = self._tool.execute(*arguments)
        return said.decode("utf-8", errors="replace") if isinstance(said, bytes) else said

    def _complaint(self) -> str:
        said = self._tool.last_stderr
        text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else str(said or "")
        first = next((line for line in text.splitlines() if line.strip()), "it gave no reason")
        return first.removeprefix("Error: ").split(" - ")[0].strip().rstrip(".")


def _argument(path: Path) -> str:
    """A path as ExifTool takes it: one line, never an option."""
    text = str(path.absolute())
    if "\n" in text or "\r" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"ExifTool cannot be told the name {text!r}.", "Rename the photo.")
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # a text that reads "true" comes without its quotes
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
