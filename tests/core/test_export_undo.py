"""What exports leave of the files they change besides their words, and what undoing gives back."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from core import paths
from core.errors import UserError
from core.exchange import files
from core.exchange.exports import plan_export, undo_export, write_export
from core.exchange.files import digest
from core.exchange.history import describe_last
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


@pytest.mark.parametrize("name", ["out", "captions.CSV", "x.tab", "out.csv.bak"])
def test_a_file_of_any_name_is_put_back(library, tmp_path, name):
    out = tmp_path / name
    out.write_text("image,caption\nmine,words\n")
    assert _export(library, "csv", out=out).written == 1
    assert _undo(library).restored == (out,) and out.read_text() == "image,caption\nmine,words\n"


def _journal(library) -> tuple[Path, list[dict]]:
    journal = next((library.path / "exports").glob("*/journal.jsonl"))
    return journal, [json.loads(line) for line in journal.read_text().splitlines()]


def _save(journal: Path, lines: list[dict]) -> None:
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_was_not_noted_here_is_not_obeyed(library, tmp_path):
    """The second line is a stranger's, the third one of ours that somebody, or a bad disk, has changed."""
    other = tmp_path / "elsewhere" / "settings.json"
    other.parent.mkdir()
    other.write_text("{}")
    _export(library)
    journal, (header, first, second) = _journal(library)
    deletes = {"path": str(other), "before": None, "after": digest(b"{}")}
    moved = {**second, "path": str(other), "after": digest(b"{}")}
    for forged in (deletes, deletes | {"signature": "0" * 64}, deletes | {"signature": "é\ud800"}, moved):
        _save(journal, [header, forged])
        assert describe_last(library.path) is None
        with pytest.raises(UserError, match="no export to undo"):
            _undo(library)
    _save(journal, [header, first, moved, {"path": 7}, [], 7])
    report = _undo(library)
    assert [path.name for path in report.removed] == ["00.txt"]
    assert [(path, "not noted here" in reason) for path, reason in report.kept] == [(other, True)]
    assert other.read_text() == "{}" and (tmp_path / "photos" / "01.txt").exists()


def test_a_library_from_another_computer_undoes_nothing_here(library, tmp_path, monkeypatch):
    _export(library)
    with monkeypatch.context() as there:
        there.setenv("SEEDCAP_HOME", str(tmp_path / "another home"))
        with pytest.raises(UserError, match="no export to undo"):
            _undo(library)
        assert not (tmp_path / "another home").exists()
        edits.edit_caption(library, 1, "other words")
        assert _export(library).written == 1
        assert [path.name for path in _undo(library).restored] == ["00.txt"]
        assert (tmp_path / "photos" / "00.txt").read_text() == "a red kite\n"
    assert len(_undo(library).removed) == 2


def test_a_journal_counts_for_its_own_export_only(library):
    _export(library)
    journal, _ = _journal(library)
    _undo(library)
    again = journal.parent.with_name("99999999-000000-000000-0000")
    again.mkdir()
    shutil.copy(journal, again)
    assert describe_last(library.path) is None


def test_nothing_is_written_that_could_not_be_undone(library, tmp_path):
    home = paths.config_dir()
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("no folder")
    report = _export(library)
    assert report.written == 0 and all("no undo without the key" in reason for _, reason in report.failed)
    home.unlink()
    assert _export(library).written == 2
    assert os.name == "nt" or (home / "undo.key").stat().st_mode & 0o777 == 0o600
