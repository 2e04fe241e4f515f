"""What exports leave of the files they change besides their words, and what undoing gives back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.exchange import files
from core.exchange.exports import plan_export, undo_export, write_export
from core.jobs import QuietContext
from core.library import edits
from tests.core.photos import library_with


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 2) as library:
        edits.add_seed(library, 1, "a red kite")
        edits.add_seed(library, 2, "two kites")
        yield library


def _export(library, format="txt", **options):
    return write_export(plan_export(library, format, overwrite=True, **options), QuietContext())


def _undo(library):
    return undo_export(library, QuietContext())


def _comment(path: Path) -> None:
    """A comment as file managers keep it, in an extended attribute."""
    try:
        os.setxattr(path, "user.xdg.comment", b"of last summer")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")


def test_a_file_keeps_its_comment_and_undo_gives_its_date_back(library, tmp_path):
    text = tmp_path / "photos" / "00.txt"
    text.write_text("mine")
    _comment(text)
    os.utime(text, ns=(10**18, 10**18))
    assert _export(library).written == 2
    assert text.read_text() == "a red kite\n" and text.stat().st_mtime_ns != 10**18
    assert os.getxattr(text, "user.xdg.comment") == b"of last summer"
    _undo(library)
    assert (text.read_text(), text.stat().st_mtime_ns) == ("mine", 10**18)
    assert os.getxattr(text, "user.xdg.comment") == b"of last summer"


def test_a_file_whose_comment_cannot_be_kept_is_left_as_it_is(library, tmp_path, monkeypatch):
    text = tmp_path / "photos" / "00.txt"
    text.write_text("mine")
    _comment(text)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "setxattr", full)
    assert [path.name for path, _ in _export(library).failed] == ["00.txt"]
    assert text.read_text() == "mine" and not list(text.parent.glob(".*"))
