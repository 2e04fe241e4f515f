"""Files that are written whole or not at all."""

from __future__ import annotations

import os

import pytest

from core.disk import replacing


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_holds_the_old_content_until_the_new_one_is_whole(tmp_path, durable):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(ZeroDivisionError), replacing(path, durable=durable) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with replacing(path, durable=durable) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640, "rights stay"


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    with replacing(tmp_path / ("n" * 255)):
        pass
    assert (tmp_path / ("n" * 255)).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    fsync = os.fsync

    def seen(number: int) -> None:
        synced.append((os.fstat(number).st_ino, path.exists()))
        fsync(number)

    monkeypatch.setattr(os, "fsync", seen)
    with replacing(path) as file:
        file.write(b"x")
    assert synced[0] == (path.stat().st_ino, False)
    with replacing(tmp_path / "b.txt", durable=False) as file:
        file.write(b"x")
    assert all(number != (tmp_path / "b.txt").stat().st_ino for number, _ in synced)
