"""Rows straight from the pages of a database file that SQLite cannot follow any more.

A table's rows lie on leaf pages, each whole in itself: where the page that leads to them, or the schema, is damaged,
the rows are still there. The format is at https://sqlite.org/fileformat2.html (sections 1.6, 2.1 and 4.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAGIC = b"SQLite format 3\x00"
_LEAF = 0x0D
_WAL_HEADER, _FRAME_HEADER = 32, 24
_LONGEST = 64 << 20
_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8}


class DatabasePages:
    """The pages of the file ``path``, with those of its write-ahead log laid over them."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self.size = self._page_size()
        self._newer = self._from_log(path.with_name(path.name + "-wal"))
        self.count = max(len(self._data) // self.size, max(self._newer, default=0))

    def page(self, number: int) -> bytes:
        """Page ``number``, from 1; empty when it is not there."""
        newer = self._newer.get(number)
        return newer if newer is not None else self._data[(number - 1) * self.size : number * self.size]

    def rows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """``(rowid, values)`` of every row on a leaf page of any table, as far as they can be made out."""
        for number in range(1, self.count + 1):
            page = self.page(number)
            if len(page) == self.size:
                yield from self._rows_of(page, 100 if number == 1 else 0)

    def _page_size(self) -> int:
        if self._data[:16] == _MAGIC:
            (size,) = struct.unpack(">H", self._data[16:18])
            size = 65536 if size == 1 else size
            if size >= 512 and size & (size - 1) == 0:
                return size
        return 4096  # what SQLite takes unless it is told otherwise

    def _from_log(self, log: Path) -> dict[int, bytes]:
        """The newest committed state of each page in the log; frames of an earlier use of the file do not count."""
        if not log.is_file():
            return {}
        data, found, waiting = log.read_bytes(), {}, {}
        salts, at, step = data[16:24], _WAL_HEADER, _FRAME_HEADER + self.size
        while at + step <= len(data):
            number, commit = struct.unpack(">II", data[at : at + 8])
            if data[at + 8 : at + 16] != salts:
                break
            waiting[number] = data[at + _FRAME_HEADER : at + step]
            if commit:
                found |= waiting
                waiting = {}
            at += step
        return found

    def _rows_of(self, page: bytes, start: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        if page[start] != _LEAF:
            return
        (cells,) = struct.unpack(">H", page[start + 3 : start + 5])
        for cell in range(min(cells, self.size // 4)):
            at = start + 8 + 2 * cell
            (offset,) = struct.unpack(">H", page[at : at + 2].rjust(2, b"\0"))
            try:
                yield self._cell(page, offset)
            except (ValueError, IndexError, struct.error):
                continue  # this cell is damaged; the next one may not be

    def _cell(self, page: bytes, at: int) -> tuple[int, tuple[Any, ...]]:
        length, at = _varint(page, at)
        row_id, at = _varint(page, at)
        if not 0 < length <= _LONGEST:
            raise ValueError("no such payload")
        return _signed(row_id), _record(self._payload(page, at, length))

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        usable = self.size
        if length <= usable - 35:
            return _exactly(page[at : at + length], length)
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= usable - 35 else least
        parts = [_exactly(page[at : at + local], local)]
        (following,) = struct.unpack(">I", page[at + local : at + local + 4])
        left = length - local
        while left > 0:
            more = self.page(following) if 0 < following <= self.count else b""
            if len(more) != self.size:
                raise ValueError("its rest is gone")
            (following,) = struct.unpack(">I", more[:4])
            parts.append(more[4 : 4 + left])
            left -= usable - 4
        return b"".join(parts)


def _record(payload: bytes) -> tuple[Any, ...]:
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values, at = [], end
    for kind in kinds:
        size = (kind - 12) // 2 if kind >= 12 else _SIZES.get(kind, 0)
        values.append(_value(kind, _exactly(payload[at : at + size], size)))
        at += size
    if at != len(payload):
        raise ValueError("not a record")
    return tuple(values)


def _value(kind: int, data: bytes) -> Any:
    if kind >= 12:
        return data if kind % 2 == 0 else data.decode("utf-8", "replace")
    if kind == 7:
        return struct.unpack(">d", data)[0]
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(data, "big", signed=True) if data else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        value = value << 7 | data[at + place] & 0x7F
        if data[at + place] < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise ValueError("cut off")
    return data
