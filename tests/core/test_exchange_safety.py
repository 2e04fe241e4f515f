"""Export and import under trouble: strange encodings, full disks, changed files, hostile names; and undo."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.commands import export as export_command
from core.errors import UserError
from core.exchange import captions_file, files, formats, writing
from core.exchange.captions_file import read_captions
from core.exchange.evaluation_files import find_photo
from core.exchange.exports import plan_export, write_export
from core.exchange.files import is_below
from core.exchange.history import KEPT_EXPORTS, describe_last, undo_last_export
from core.exchange.imports import import_captions
from core.exchange.sidecars import tree_names
from core.exchange.text import decode, readable
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.library import Library
from core.library.records import CaptionRow, ImageRow
from tests.core.photos import library_with, look, write_photo

TABLE = "image,caption\na.jpg,drei grüne Drachen – hoch\nb.jpg,ein Café\n"
TWO = (("a.jpg", "drei grüne Drachen – hoch"), ("b.jpg", "ein Café"))


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 3) as library:
        edits.add_seed(library, 1, "a red kite")
        edits.add_seed(library, 2, "two kites")
        yield library


def _export(library, format="txt", **options):
    return write_export(plan_export(library, format, **options), QuietContext())


def _undo(library):
    return undo_last_export(library.path, QuietContext())


# -- encodings and dialects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "mark", "guessed"),
    [
        ("utf-8", b"", None),
        ("utf-8", b"\xef\xbb\xbf", None),
        ("utf-16-le", b"\xff\xfe", None),
        ("utf-16-be", b"\xfe\xff", None),
        ("utf-32-le", b"\xff\xfe\x00\x00", None),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
        ("cp1252", b"", "cp1252"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_line_end_is_read(tmp_path, encoding, mark, guessed, line_end):
    source = _write(tmp_path / "c.csv", mark + TABLE.replace("\n", line_end).encode(encoding))
    found = read_captions(source)
    assert (found.entries, found.encoding) == (TWO, guessed)


def test_latin_1_and_a_stray_byte_in_utf_8_lose_nothing():
    assert decode("Cafe\x81 \xe9".encode("latin-1"), Path("x")).text == "Cafe\x81 é"
    mixed = decode("ééééééé".encode() + b"\xe9 " + "ü".encode(), Path("x"))
    assert (readable(mixed.text), mixed.encoding, mixed.guessed) == ("éééééééé ü", "utf-8", True)
    with pytest.raises(UserError, match=r"x\.csv is not a text file"):
        decode(b"\x00\x01\x02\x03" * 20, Path("x.csv"))


@pytest.mark.parametrize(
    "text",
    [
        "image;caption\na.jpg;one, two\n",
        "image\tcaption\na.jpg\tone, two\n",
        "sep=;\nimage;caption\na.jpg;one, two\n",
        "a.jpg#0\tone, two\n",
        'a.jpg;"one, two"\n',
        "image|caption\na.jpg|one, two\n",
        'note;x,y,z;image;caption\n1;2;a.jpg;"one, two"\n',
    ],
)
def test_the_delimiter_is_the_one_that_makes_sense(tmp_path, text):
    assert read_captions(_write(tmp_path / "c.csv", text)).entries == (("a.jpg", "one, two"),)


def test_columns_that_are_not_taken_in_are_named(library, tmp_path):
    found = read_captions(_write(tmp_path / "c.csv", "image,caption,camera,author\n00.png,x,Leica,Ann\n"))
    assert found.ignored == ("camera", "author")
    lines = '{"file_name": "00.png", "text": "x", "licence": 1}\n{"file": "01.png", "caption": "y", "url": "z"}\n'
    assert import_captions(library, _write(tmp_path / "c.jsonl", lines)).ignored == ("licence", "url")


def test_thousands_of_bad_lines_are_summarised_and_the_good_ones_taken(library, tmp_path):
    lines = ["{broken"] * 5000 + ['{"file": "00.png", "caption": "fine"}'] + ['{"file": "00.png"}'] * 2000
    report = import_captions(library, _write(tmp_path / "c.jsonl", "\n".join(lines)))
    assert (report.captions, report.skipped_count) == (1, 7000)
    assert len(report.skipped) == captions_file.NOTED and report.skipped[0].startswith("line 1: not JSON")
    with pytest.raises(UserError, match=r"No caption could be read from .*c\.jsonl: line 1.* and 4,999 more"):
        read_captions(_write(tmp_path / "c.jsonl", "\n".join(lines[:5000])))


def test_a_cell_beyond_all_measure_costs_only_its_own_row(tmp_path):
    text = "image,caption\na.jpg,one\nb.jpg," + "x" * 200_000 + "\nc.jpg,three\n"
    found = read_captions(_write(tmp_path / "c.csv", text))
    assert [name for name, _ in found.entries] == ["a.jpg", "c.jpg"] and "line 3" in found.skipped[0]


# -- what comes back --------------------------------------------------------------------------------------------------

_CAPTION = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=80),
    st.sampled_from(
        [
            "\"quoted\", 'so'",
            "one\ntwo\r\nthree\rfour",
            "  leading",
            "سلام שלום",
            "👩‍👩‍👧‍👦 ☕",
            "=1+1",
            "x" * 10_000,
            "a\u2028b\x85c\x0bd",
        ]
    ),
).filter(str.strip)


def _rows(texts: list[str]) -> list[tuple[ImageRow, list[CaptionRow]]]:
    photo = ImageRow(1, "/p", "a b,c.jpg", "", 4, 3, False, None)
    made = [CaptionRow(at, 1, text, "human", None, "accepted", True, None, None) for at, text in enumerate(texts)]
    return [(photo, made)]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(_CAPTION, min_size=1, max_size=3))
@pytest.mark.parametrize(
    ("suffix", "render"), [("jsonl", formats.jsonl), ("csv", formats.table), ("json", formats.coco)]
)
def test_any_captions_come_back_exactly(tmp_path, suffix, render, texts):
    source = _write(tmp_path / f"c.{suffix}", render(_rows(texts), False))
    assert read_captions(source).entries == tuple(("a b,c.jpg", text) for text in texts)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(_CAPTION, min_size=1, max_size=3))
def test_a_text_file_carries_everything_but_line_breaks(tmp_path, texts):
    captions = _rows(texts)[0][1]
    _write(tmp_path / "s" / "a.txt", formats.sidecar_text(captions))
    got = [text for _, text in read_captions(tmp_path / "s").entries]
    assert [text.strip() for text in got] == [
        " ".join(part.strip() for part in text.replace("\r", "\n").split("\n") if part.strip()) for text in texts
    ]
    without = [text for text in texts if not formats.with_line_breaks(_rows([text])[0][1])]
    assert [text for text in got if text in without] == without


def test_what_a_format_cannot_carry_or_a_spreadsheet_would_run_is_said(library):
    edits.add_seed(library, 1, "one\ntwo")
    edits.add_seed(library, 2, '=HYPERLINK("x")')
    assert "1 captions have line breaks" in plan_export(library, "txt").notes[0]
    assert "1 captions begin with" in plan_export(library, "csv").notes[0]
    assert plan_export(library, "jsonl").notes == ()
    _export(library, "csv")
    with (queries.folders(library)[0] / "captions.csv").open(newline="", encoding="utf-8") as file:
        assert '=HYPERLINK("x")' in [row["caption"] for row in csv.DictReader(file)]


# -- plans ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_every_field_before_and_after(library, tmp_path):
    _write(tmp_path / "photos" / "00.txt", "mine\n")
    created, kept = sorted(plan_export(library, "txt").items, key=lambda item: item.action)
    assert (kept.changes[0].before, kept.changes[0].after, kept.changes[0].kept) == ("mine\n", "a red kite\n", True)
    assert (created.changes[0].before, created.changes[0].after) == (None, "two kites\n")
    _write(tmp_path / "photos" / "captions.csv", "image,caption,camera\n00.png,mine,Leica\n09.png,gone,\n")
    (item,) = plan_export(library, "csv", overwrite=True).items
    assert [(change.field, change.before, change.after) for change in item.changes] == [
        ("column camera", "(values)", None), ("00.png", "mine", "a red kite"), ("01.png", None, "two kites"),
        ("09.png", "gone", None),
    ]  # fmt: skip


@pytest.mark.parametrize("said", [b"", b" \r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_text_file_is_filled_and_empty_again_after_undo(library, tmp_path, said):
    text = _write(tmp_path / "photos" / "00.txt", said)
    (item,) = [item for item in plan_export(library, "txt").items if item.path == text]
    assert item.action == "merge" and not item.changes[0].kept
    assert _export(library).kept == () and text.read_text() == "a red kite\n"
    _undo(library)
    assert text.read_bytes() == said


def test_a_file_name_never_gives_two_photos_one_sidecar(tmp_path):
    photos = tmp_path / "photos"
    for number, name in enumerate(["a.jpg", "a.png", "a.jpg.png", "A.JPG.webp", "b.jpg", "c.gif"]):
        write_photo(photos / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, photos)
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, row.relative_path)
        names = {item.path.name.casefold(): item.content.strip() for item in plan_export(library, "txt").items}
        assert len(names) == 6 and names["b.txt"] == "b.jpg"
        (photos / "a.png").unlink()
        look(library, photos)
        assert "a.jpg.txt" in {item.path.name for item in plan_export(library, "txt").items}


@pytest.mark.parametrize("format", ["txt", "xmp"])
def test_photos_of_several_folders_never_share_a_file_below_out(tmp_path, format):
    roots = [tmp_path / name for name in ("x/photos", "y/photos", "z/photos-2", "z/Photos")]
    with Library.create(tmp_path / "test") as library:
        for number, root in enumerate(roots):
            write_photo(root / "1.jpg", seed=number)
            look(library, root)
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"of {row.path}")
        plan = plan_export(library, format, tmp_path / "out")
    said = {item.changes[0].after.strip(): item.path.parent.name for item in plan.items}
    names = ["photos", "photos-2", "photos-2-3", "Photos-4"]
    assert said == {f"of {root / '1.jpg'}": name for root, name in zip(roots, names, strict=True)}
    assert list(tree_names([Path("/"), Path("/photos")]).values()) == ["photos", "photos-2"]


@pytest.mark.parametrize("name", ["test.seedcap/library.db", "test.seedcap/new/x.csv", "photos/00.png", "new.JPG"])
def test_no_export_takes_the_place_of_a_photo_or_of_the_library(library, tmp_path, name):
    with pytest.raises(UserError, match=r"inside the library|name of a photo"):
        _export(library, "csv", out=tmp_path / name, overwrite=True)


def test_what_is_no_text_is_not_replaced(library, tmp_path):
    photo = shutil.copy(tmp_path / "photos" / "00.png", tmp_path / "picture")
    content = photo.read_bytes()
    report = _export(library, "csv", out=photo, overwrite=True)
    assert [(path, "no text" in reason) for path, reason in report.failed] == [(photo, True)]
    assert _export(library, "csv", out=photo).kept == (photo,) and photo.read_bytes() == content


def test_a_library_of_a_stranger_makes_nothing_be_written_elsewhere(library, tmp_path):
    with library.writing() as session:
        session.connection().exec_driver_sql("UPDATE image SET relative_path = '../../evil.png' WHERE id = 1")
    for format in ("txt", "xmp", "csv"):
        for out in (None, tmp_path / "deep" / "out"):
            with pytest.raises(UserError):
                _export(library, format, out=out)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("name", "inside"),
    [("a/b.jpg", True), ("a..b/c", True), ("../b", False), ("/b", False), ("a/../../b", False), ("a\x00", False)],
)
def test_names_that_leave_the_folder_are_known(tmp_path, name, inside):
    assert is_below(name) is inside


def test_names_in_a_captions_file_open_no_file(library, tmp_path):
    outside = write_photo(tmp_path / "outside.png", seed=5)
    (tmp_path / "photos2").mkdir()
    assert find_photo(tmp_path / "photos2", "../outside.png", {}) is None
    assert find_photo(tmp_path / "photos2", str(outside), {}) is None
    _write(tmp_path / "secret.txt", "a secret")
    folder = tmp_path / "captions"
    folder.mkdir()
    (folder / "00.txt").symlink_to(tmp_path / "secret.txt")
    _write(folder / "01.txt", "fine")
    found = read_captions(folder)
    assert found.entries == (("01", "fine"),) and "leads out of the folder" in found.skipped[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_captions_file_is_not_waited_for(library, tmp_path):
    os.mkfifo(tmp_path / "photos" / "00.txt")
    os.mkfifo(tmp_path / "photos" / "00.png.xmp")
    _write(tmp_path / "photos" / "01.txt", "fine")
    report = import_captions(library, tmp_path / "photos")
    assert report.captions == 1 and report.skipped_count == 2 and all("a pipe" in line for line in report.skipped)
    with pytest.raises(UserError, match=r"00\.txt cannot be read: it is not a file"):
        read_captions(tmp_path / "photos" / "00.txt")
    for format in ("txt", "xmp"):
        ((path, reason),) = plan_export(library, format).refused
        assert path.name.startswith("00.") and "a pipe" in reason


def test_a_link_in_the_place_of_a_sidecar_is_not_followed(library, tmp_path):
    target = _write(tmp_path / "elsewhere.txt", "untouched")
    (tmp_path / "photos" / "00.txt").symlink_to(target)
    report = _export(library, overwrite=True)
    assert report.written == 1 and "link" in report.failed[0][1] and target.read_text() == "untouched"


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["txt", "csv", "xmp"])
def test_a_full_disk_leaves_every_old_file_and_stops(library, tmp_path, monkeypatch, format):
    _export(library, format)
    photos = tmp_path / "photos"
    before = {path: path.read_bytes() for path in photos.iterdir()}
    for row in (1, 2):
        edits.edit_caption(library, queries.captions_of(library, [row])[row][0].id, f"other words {row}")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_temporary", full)
    report = _export(library, format, overwrite=True)
    assert report.written == 0 and all("No space" in reason for _, reason in report.failed)
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_nothing_is_replaced_when_the_library_has_no_room_for_the_old_words(library, tmp_path, monkeypatch):
    _write(tmp_path / "photos" / "00.txt", "mine")

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.ExportLog, "sync", full)
    report = _export(library, overwrite=True)
    assert report.written == 0 and len(report.failed) == 2
    assert (tmp_path / "photos" / "00.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits on Windows")
def test_a_limit_on_file_sizes_is_a_failure_in_words_and_keeps_the_old_file(tmp_path):
    target = _write(tmp_path / "captions.csv", "old words")
    code = f"""
        import resource, signal
        from pathlib import Path
        from core.exchange.files import write_atomically
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_atomically(Path({str(target)!r}), b"x" * 100_000, durable=True)
        except OSError as error:
            print(error.errno)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert int(done.stdout) == errno.EFBIG
    assert target.read_text() == "old words" and list(tmp_path.iterdir()) == [target]


# -- undo -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["txt", "jsonl", "csv", "coco", "xmp"])
def test_undo_brings_back_what_files_said_and_removes_new_ones(library, tmp_path, format):
    photos = tmp_path / "photos"
    _export(library, format)
    before = {path: path.read_bytes() for path in photos.iterdir()}
    edits.edit_caption(library, queries.captions_of(library, [1])[1][0].id, "other words")
    edits.add_seed(library, 3, "a third")
    report = _export(library, format, overwrite=True)
    assert report.undo is not None and {path: path.read_bytes() for path in photos.iterdir()} != before
    undone = _undo(library)
    assert undone.kept == () and len(undone.restored) == 1
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    assert _undo(library).removed and {path.suffix for path in photos.iterdir()} == {".png"}
    with pytest.raises(UserError, match="no export to undo"):
        _undo(library)


def test_what_undo_would_take_back_is_told_beforehand(library, tmp_path):
    assert describe_last(library.path) is None
    _write(tmp_path / "photos" / "00.txt", "mine")
    _export(library, overwrite=True)
    last = describe_last(library.path)
    assert (last.changed, last.new) == (1, 1) and abs(last.made - datetime.now(UTC)) < timedelta(days=1)
    journal = next((library.path / "exports").glob("*/journal.jsonl"))
    header, *entries = journal.read_bytes().splitlines(keepends=True)
    for strange in (b"{\n", b"[]\n", b'{"created": 7}\n', b'{"created": "0001-01-01T00:00:00+23:00"}\n'):
        journal.write_bytes(strange + b"".join(entries))
        assert abs(describe_last(library.path).made - datetime.now(UTC)) < timedelta(days=1)
    journal.write_bytes(header + b"".join(entries))
    assert len(_undo(library).restored) == 1 and describe_last(library.path) is None


def test_undo_leaves_files_that_somebody_has_changed_since(library, tmp_path):
    _export(library)
    _write(tmp_path / "photos" / "00.txt", "better words")
    report = _undo(library)
    assert [(path.name, "changed since" in reason) for path, reason in report.kept] == [("00.txt", True)]
    assert [path.name for path in report.removed] == ["01.txt"]
    assert (tmp_path / "photos" / "00.txt").read_text() == "better words"


def test_undo_after_a_crash_in_the_middle_of_an_export(library, tmp_path, monkeypatch):
    _write(tmp_path / "photos" / "00.txt", "mine")
    put, calls = writing.put_in_place, []

    def killed(temporary, path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        put(temporary, path)

    monkeypatch.setattr(writing, "put_in_place", killed)
    with pytest.raises(KeyboardInterrupt):
        _export(library, overwrite=True)
    journal = next((library.path / "exports").glob("*/journal.jsonl"))
    journal.write_bytes(journal.read_bytes() + b'{"path": "/cut o')
    assert [path.name for path in _undo(library).restored] == ["00.txt"]
    assert (tmp_path / "photos" / "00.txt").read_text() == "mine" and not (tmp_path / "photos" / "01.txt").exists()
    assert not list((tmp_path / "photos").glob(".*"))


def test_a_file_that_the_disk_does_not_take_is_not_said_to_be_written(library, tmp_path, monkeypatch):
    """The sync fails, not the write: that is how a dying drive or a full network share says it."""
    _write(tmp_path / "photos" / "00.txt", "mine")
    sync, before = files.sync_file, set((tmp_path / "photos").iterdir())

    def fails_once(path):
        if path.read_bytes().startswith(b"a red"):
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    monkeypatch.setattr(files, "sync_file", fails_once)
    report = _export(library, overwrite=True)
    assert report.written == 1
    assert [(path.name, "Input/output" in reason) for path, reason in report.failed] == [("00.txt", True)]
    assert (tmp_path / "photos" / "00.txt").read_text() == "mine"
    assert set((tmp_path / "photos").iterdir()) - before == {tmp_path / "photos" / "01.txt"}


def test_only_the_last_exports_are_kept(library):
    for number in range(KEPT_EXPORTS + 3):
        edits.edit_caption(library, queries.captions_of(library, [1])[1][0].id, f"words {number}")
        _export(library, overwrite=True)
    assert len(list((library.path / "exports").iterdir())) == KEPT_EXPORTS


def test_the_command_undoes_and_says_how(library, tmp_path):
    import argparse

    path = library.path
    library.close()
    parser = argparse.ArgumentParser()
    export_command.add_arguments(parser)
    _write(tmp_path / "photos" / "00.txt", "mine")
    dry = export_command.run(parser.parse_args([str(path), "--dry-run"]), QuietContext())
    assert "00.txt (kept" in dry.text and '"mine" -> kept' in dry.text and 'nothing -> "two kites"' in dry.text
    assert dry.data["files"][1]["fields"][0].after == "two kites\n"
    done = export_command.run(parser.parse_args([str(path), "--overwrite"]), QuietContext())
    assert "--undo" in done.text and done.failed == 0
    undone = export_command.run(parser.parse_args([str(path), "--undo"]), QuietContext())
    assert (tmp_path / "photos" / "00.txt").read_text() == "mine" and len(undone.data["removed"]) == 1
    with pytest.raises(UserError, match="no such fields"):
        export_command.run(parser.parse_args([str(path), "--fields", "title"]), QuietContext())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not stop this user")
def test_a_folder_that_may_not_be_written_is_listed(library, tmp_path):
    (tmp_path / "photos").chmod(0o555)
    try:
        assert len(_export(library).failed) == 2
    finally:
        (tmp_path / "photos").chmod(0o755)
