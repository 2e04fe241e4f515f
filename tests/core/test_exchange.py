"""Captions from and for other programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.exchange import files
from core.exchange.captions_file import read_captions
from core.exchange.exports import plan_export, write_export
from core.exchange.imports import import_captions
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scores import write_scores
from tests.core.photos import captions_by_name, library_with, look, photo_folder, write_file, write_photo

WHOLE_FILES = ("txt", "jsonl", "csv", "coco")
"""Formats whose files are all ours; XMP is merged, see test_xmp.py, and photos have their own test_embedded.py."""


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 4) as library:
        yield library


# -- exporting --------------------------------------------------------------------------------------------------------


def _label(library) -> None:
    edits.add_seed(library, 1, "a red kite, high up")
    edits.add_seed(library, 1, 'a "kite"\nin the wind ☕')
    (accepted,) = add_candidates(library, None, {2: ["accepted model text"]})[2]
    edits.accept(library, [accepted])
    add_candidates(library, None, {2: ["a candidate beside it"], 3: ["second", "best"]}, "add")
    worse, better = [c.id for c in queries.captions_of(library, [3])[3]]
    scores = {worse: ScoreRow(0.1, 2, 4, None, None), better: ScoreRow(0.6, 1, 4, None, None)}
    write_scores(library, "e", scores, gallery_version="v")


def _export(library, *args, **kwargs):
    return write_export(plan_export(library, *args, **kwargs), QuietContext())


def test_text_files_hold_the_accepted_captions_one_a_line(library, tmp_path):
    _label(library)
    plan = plan_export(library, "txt")
    assert (plan.photos, plan.without) == (2, 2)
    assert not list((tmp_path / "photos").glob("*.txt"))  # a plan writes nothing
    assert {item.action for item in plan.items} == {"create"}
    report = write_export(plan, QuietContext())
    assert (report.written, report.same, report.kept, report.failed) == (2, 0, (), ())
    assert (tmp_path / "photos" / "00.txt").read_text("utf-8") == 'a red kite, high up\na "kite" in the wind ☕\n'
    assert (tmp_path / "photos" / "01.txt").read_text("utf-8") == "accepted model text\n"
    _export(library, "txt", which="best")
    assert (tmp_path / "photos" / "02.txt").read_text("utf-8") == "best\n"
    assert (tmp_path / "photos" / "01.txt").read_text("utf-8") == "accepted model text\n"
    assert not list((tmp_path / "photos").glob(".*"))


@pytest.mark.parametrize("format", [*WHOLE_FILES, "xmp"])
def test_what_is_exported_comes_back_by_importing(library, tmp_path, format):
    _label(library)
    _export(
        library,
        format,
        tmp_path / "out" / ("" if format in ("txt", "xmp") else f"c.{'json' if format == 'coco' else format}"),
    )
    out = next(path for path in (tmp_path / "out").iterdir())
    with Library.create(tmp_path / "second") as second:
        look(second, tmp_path / "photos")
        import_captions(second, out.parent if format in ("txt", "xmp") else out)
        expected = ["a red kite, high up", 'a "kite"\nin the wind ☕']
        if format == "txt":
            expected[1] = 'a "kite" in the wind ☕'  # a line holds one caption
        got = captions_by_name(second)
        assert [text for text, _, _ in got["00.png"]] == expected
        assert [text for text, _, _ in got["01.png"]] == ["accepted model text"]
        assert set(got) == {"00.png", "01.png"}


@pytest.mark.parametrize("format", [*WHOLE_FILES, "xmp"])
def test_captions_of_every_kind_come_back_into_a_library(library, tmp_path, format):
    texts = [
        "  spaces before", "a poem\n  of two lines  with  spaces", '"quotes", \'and\' <tags> & more',
        "سلام שלום", "👩‍👩‍👧‍👦 ☕", "=1+1", "; | \t, signs", "x" * 10_000,
    ]  # fmt: skip
    edits.add_captions(library, {1: texts}, is_seed=True)
    expected = captions_by_name(library)["00.png"]
    assert [text for text, _, _ in expected] == [text.strip() for text in texts]
    out = tmp_path / "out"
    out.mkdir()
    _export(library, format, out)
    edits.undo(library)
    (made,) = out.iterdir()
    import_captions(library, out if format in ("txt", "xmp") else made)
    if format == "txt":  # a line holds one caption
        expected[1] = ("a poem of two lines  with  spaces", *expected[1][1:])
    assert captions_by_name(library)["00.png"] == expected


def test_jsonl_carries_what_other_programs_look_for_and_where_a_text_is_from(library, tmp_path):
    _label(library)
    _export(library, "jsonl", which="best")
    lines = [json.loads(line) for line in (tmp_path / "photos" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert [(line["file_name"], line["text"]) for line in lines] == [
        ("00.png", "a red kite, high up"), ("01.png", "accepted model text"), ("02.png", "best"),
    ]  # fmt: skip
    assert lines[0]["captions"][0] | {"score": None} == {
        "text": "a red kite, high up", "author": "human", "state": "accepted", "seed": True, "run": None, "score": None,
    }  # fmt: skip
    assert lines[2]["captions"][0]["score"] == 0.6


def test_csv_and_coco_hold_every_accepted_caption(library, tmp_path):
    _label(library)
    _export(library, "csv", tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["caption"]) for row in rows] == [
        ("00.png", "a red kite, high up"), ("00.png", 'a "kite"\nin the wind ☕'), ("01.png", "accepted model text"),
    ]  # fmt: skip
    _export(library, "coco", tmp_path / "c.json")
    coco = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert [(image["file_name"], image["width"], image["height"]) for image in coco["images"]] == [
        ("00.png", 48, 36), ("01.png", 48, 36),
    ]  # fmt: skip
    assert {one["image_id"] for one in coco["annotations"]} == {image["id"] for image in coco["images"]}
    assert len({one["id"] for one in coco["annotations"]}) == 3


@pytest.mark.parametrize("format", WHOLE_FILES)
def test_other_words_are_kept_unless_asked(library, tmp_path, format):
    _label(library)
    _export(library, format)
    item = plan_export(library, format).items[0]
    assert item.action == "same"
    item.path.write_text("written by somebody else\n")
    report = _export(library, format)
    assert report.kept == (item.path,) and report.written == 0
    assert item.path.read_text() == "written by somebody else\n"
    plan = plan_export(library, format, overwrite=True)
    assert plan.items[0].action == "replace"
    assert write_export(plan, QuietContext()).written == 1
    assert item.path.read_text("utf-8") == item.content


def test_words_that_appear_between_plan_and_writing_are_kept(library, tmp_path):
    _label(library)
    plan = plan_export(library, "txt", overwrite=True)
    assert {item.action for item in plan.items} == {"create"}
    (tmp_path / "photos" / "00.txt").write_text("just written")
    report = write_export(plan, QuietContext())
    assert report.kept == (tmp_path / "photos" / "00.txt",) and report.written == 1
    assert (tmp_path / "photos" / "00.txt").read_text() == "just written"


def test_line_ends_and_a_byte_order_mark_are_no_other_words(library, tmp_path):
    _label(library)
    (tmp_path / "photos" / "01.txt").write_bytes(b"\xef\xbb\xbfaccepted model text")
    assert [item.action for item in plan_export(library, "txt").items] == ["create", "same"]


def test_photos_that_share_a_stem_keep_their_own_files(tmp_path):
    photos = tmp_path / "photos"
    for number, name in enumerate(["1.png", "1.jpg", "A.webp", "a.gif", "2.png", "sub/1.png"]):
        write_photo(photos / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, photos)
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"text of {row.relative_path}")
        _export(library, "txt", tmp_path / "out")
        files_ = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
        assert files_ == {"1.png.txt", "1.jpg.txt", "A.webp.txt", "a.gif.txt", "2.txt", "sub/1.txt"}
        assert (tmp_path / "out" / "1.jpg.txt").read_text() == "text of 1.jpg\n"
        with Library.create(tmp_path / "second") as second:
            look(second, photos)
            report = import_captions(second, tmp_path / "out")
            assert (report.captions, report.ambiguous) == (6, ())
            assert {name: rows[0][0] for name, rows in captions_by_name(second).items()} == {
                row.relative_path: f"text of {row.relative_path}" for row in queries.images_of(second)
            }


def test_two_folders_of_photos_do_not_mix(tmp_path):
    with Library.create(tmp_path / "test") as library:
        for place in ("a", "b"):
            look(library, photo_folder(tmp_path / place / "photos", 1))
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, str(row.path.parent.parent.name))
        assert _export(library, "txt", tmp_path / "out").written == 2
        texts = {path.read_text().strip() for path in (tmp_path / "out").rglob("*.txt")}
        assert texts == {"a", "b"}
        with pytest.raises(UserError, match="several folders"):
            plan_export(library, "csv")
        _export(library, "jsonl", tmp_path / "all.jsonl")
        names = [json.loads(line)["file_name"] for line in (tmp_path / "all.jsonl").read_text().splitlines()]
        assert names == [str(tmp_path / place / "photos" / "00.png") for place in ("a", "b")]


@pytest.mark.parametrize("format", [*WHOLE_FILES, "xmp"])
def test_a_name_that_is_not_unicode_survives_the_round_trip(tmp_path, format):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    photo = tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")
    write_photo(photo, seed=1)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        edits.add_seed(library, 1, "a café")
        out = tmp_path / "out"
        out.mkdir()
        assert _export(library, format, out).written == 1
        edits.undo(library)
        (made,) = out.iterdir()
        assert import_captions(library, out if format in ("txt", "xmp") else made).captions == 1


def test_a_name_that_is_not_unicode_spoils_no_other_caption_of_a_table(tmp_path):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    texts = {os.fsdecode(b"caf\xe9.png"): "ascii only", "café.png": "a twin", "z.png": "a dog 🙂"}
    for number, name in enumerate(texts):
        write_photo(tmp_path / "photos" / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, texts[row.relative_path])
        _export(library, "csv", tmp_path / "c.csv")
        for _ in texts:
            edits.undo(library)
        import_captions(library, tmp_path / "c.csv")
        assert {name: rows[0][0] for name, rows in captions_by_name(library).items()} == texts


@pytest.mark.parametrize("format", ["csv", "jsonl", "coco"])
def test_a_name_that_begins_with_a_space_is_a_name_of_its_own(tmp_path, format):
    for number, name in enumerate((" a.png", "a.png")):
        write_photo(tmp_path / "photos" / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"text of '{row.relative_path}'")
        expected = captions_by_name(library)
        _export(library, format, tmp_path / "c.json" if format == "coco" else tmp_path / f"c.{format}")
        for _ in expected:
            edits.undo(library)
        import_captions(library, next(tmp_path.glob("c.*")))
        assert captions_by_name(library) == expected
    loose = write_file(tmp_path / "loose.csv", "caption, image\none, a.png\ntwo,a.png\n")
    assert [name.strip() for name, _ in read_captions(loose).entries] == ["a.png", "a.png"]


def test_nothing_to_export_is_said(library):
    with pytest.raises(UserError, match="accepted caption"):
        plan_export(library, "txt")
    add_candidates(library, None, {1: ["x"]})
    assert plan_export(library, "txt", which="best").photos == 1
    with pytest.raises(UserError, match="format"):
        plan_export(library, "docx")


def test_a_file_that_cannot_be_written_is_listed_and_the_others_are_written(library, tmp_path, monkeypatch):
    _label(library)
    write = files.write_temporary

    def fails_for_one(path, content):
        if path.name == "00.txt":
            raise OSError(30, "Read-only file system")
        return write(path, content)

    monkeypatch.setattr("core.exchange.writing.write_temporary", fails_for_one)
    report = _export(library, "txt")
    assert report.written == 1
    assert [(path.name, "Read-only" in reason) for path, reason in report.failed] == [("00.txt", True)]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch, moment):
    target = write_file(tmp_path / "a.txt", "old")

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os if moment == "fsync" else Path, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(target, b"new", durable=True)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_written_files_have_the_usual_rights(tmp_path):
    if os.name == "nt":
        pytest.skip("Windows keeps permissions another way")
    plain = write_file(tmp_path / "plain.txt", "x")
    files.write_atomically(tmp_path / "new.txt", b"x", durable=False)
    assert (tmp_path / "new.txt").stat().st_mode == plain.stat().st_mode
    plain.chmod(0o640)
    files.write_atomically(plain, b"y", durable=False)
    assert plain.stat().st_mode & 0o777 == 0o640
