"""Captions inside the photos, by ExifTool: no pixel changes, nothing of others is lost, and it can be undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, select

from core.errors import UserError
from core.exchange import embedded, history
from core.exchange.exports import plan_export, undo_export, write_export
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.library import Library
from core.library.rewritten import same_pixels
from core.library.tables import Split, Vector
from tests.core.photos import look, needs_exiftool, write_photo

TRICKY = 'a "red" kite,\nhigh up & far 👍 שלום'


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).copy()


def _ask(path: Path, *tags: str) -> dict:
    said = subprocess.run(["exiftool", "-config", "", "-j", "-G1", *tags, str(path)], capture_output=True, check=True)
    return json.loads(said.stdout)[0]


def _tag(path: Path, *arguments: str) -> None:
    subprocess.run(["exiftool", "-config", "", "-q", "-overwrite_original", *arguments, str(path)], check=True)


@pytest.fixture
def library(tmp_path):
    photos = tmp_path / "photos"
    for number, name in enumerate(["a.jpg", "b.png", "c.tif", "d.gif"]):
        write_photo(photos / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        yield library


def _export(library, **options):
    plan = plan_export(library, "metadata", **options)
    return plan, write_export(plan, QuietContext())


def _label(library, tmp_path) -> None:
    look(library, tmp_path / "photos")
    for row in queries.images_of(library):
        edits.add_seed(library, row.id, TRICKY)


@needs_exiftool
def test_exiftool_reads_back_what_was_written_and_no_pixel_changes(library, tmp_path):
    photo = tmp_path / "photos" / "a.jpg"
    _tag(photo, "-Artist=Ann", "-XMP-dc:Description-de=Drachen", "-Orientation#=6", "-XMP-dc:Subject=kite")
    _label(library, tmp_path)
    pixels = {path.name: _pixels(path) for path in (tmp_path / "photos").iterdir()}
    plan, report = _export(library)
    assert {item.action for item in plan.items} == {"merge"}
    assert report.failed == () and report.written == 4
    for path in (tmp_path / "photos").iterdir():
        assert np.array_equal(_pixels(path), pixels[path.name])
        said = _ask(path, "-XMP-dc:all", "-XMP-iptcCore:all", "-IFD0:Artist", "-IFD0:Orientation#")
        assert said["XMP-dc:Description"] == said["XMP-iptcCore:AltTextAccessibility"] == TRICKY
    said = _ask(photo, "-XMP-dc:all", "-IFD0:Artist", "-IFD0:Orientation#")
    assert said["XMP-dc:Description-de"] == "Drachen" and said["XMP-dc:Subject"] == "kite"
    assert (said["IFD0:Artist"], said["IFD0:Orientation"]) == ("Ann", 6)
    assert {item.action for item in _export(library)[0].items} == {"same"}


@needs_exiftool
def test_each_field_has_its_rule(library, tmp_path):
    photo = tmp_path / "photos" / "a.jpg"
    _tag(photo, "-XMP-dc:Description=mine", "-IPTC:Caption-Abstract=old", "-EXIF:ImageDescription=camera")
    _label(library, tmp_path)
    plan, _ = _export(library)
    item = next(item for item in plan.items if item.path == photo)
    assert [(change.field, change.before, change.kept) for change in item.changes] == [
        ("XMP-dc:Description", "mine", True), ("IPTC:Caption-Abstract", "old", True),
        ("IFD0:ImageDescription", "camera", True), ("XMP-iptcCore:AltTextAccessibility", None, False),
    ]  # fmt: skip
    assert "Latin" in item.changes[1].note
    said = _ask(photo, "-XMP-dc:all", "-IPTC:all", "-XMP-iptcCore:all")
    assert said["XMP-dc:Description"] == "mine" and said["XMP-iptcCore:AltTextAccessibility"] == TRICKY
    row = next(row for row in queries.images_of(library) if row.path == photo)
    (caption,) = queries.captions_of(library, [row.id])[row.id]
    edits.edit_caption(library, caption.id, "ein grüner Drachen")
    _, report = _export(library, overwrite=True)
    assert report.failed == ()
    said = _ask(photo, "-XMP-dc:all", "-IPTC:all", "-IFD0:ImageDescription")
    written = (said["XMP-dc:Description"], said["IPTC:Caption-Abstract"], said["IFD0:ImageDescription"])
    assert written == ("ein grüner Drachen",) * 3
    assert "XMP-dc:Description" not in _ask(tmp_path / "photos" / "b.png", "-IPTC:all", "-IFD0:ImageDescription")


@needs_exiftool
def test_the_library_takes_the_written_photo_for_the_same_and_undo_brings_the_bytes_back(library, tmp_path):
    _label(library, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    row = queries.images_of(library)[0]
    with library.writing() as session:
        session.execute(insert(Vector).values(encoder="e", content_hash=row.content_hash, shard=3, row=4))
        session.add(Split(content_hash=row.content_hash, part="held_out", decided_at=datetime.now(UTC)))
    _export(library)
    assert all(path.read_bytes() != content for path, content in before.items())
    report = look(library, tmp_path / "photos")
    assert (report.changed, report.added, report.missing) == (0, 0, 0)
    new = queries.images_of(library)[0]
    assert new.content_hash != row.content_hash
    with library.session() as session:
        assert session.execute(
            select(Vector.shard, Vector.row).where(Vector.content_hash == new.content_hash)
        ).all() == [(3, 4)]
        assert session.get(Split, new.content_hash).part == "held_out"
    journal = next((library.path / "exports").glob("*/journal.jsonl"))
    assert journal.stat().st_size < sum(map(len, before.values())) + 4000
    history.undo_last_export(library.path, QuietContext(), restored=lambda path: same_pixels(library, path))
    assert {path: path.read_bytes() for path in before} == before
    assert look(library, tmp_path / "photos").changed == 0
    with pytest.raises(UserError, match="no export to undo"):
        history.undo_last_export(library.path, QuietContext())


@needs_exiftool
@pytest.mark.parametrize("trouble", ["picture", "fields", "replace"])
def test_a_photo_is_left_as_it_is_when_anything_is_not_as_it_should_be(library, tmp_path, monkeypatch, trouble):
    _label(library, tmp_path)
    photos = tmp_path / "photos"
    before = {path: path.read_bytes() for path in photos.iterdir()}
    plan = plan_export(library, "metadata")
    if trouble == "picture":
        monkeypatch.setattr(embedded, "_same_picture", lambda one, other: False)
    elif trouble == "fields":
        monkeypatch.setattr(embedded, "_same_text", lambda said, text: False)
    else:

        def full(temporary, path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(embedded, "put_in_place", full)
    report = write_export(plan, QuietContext())
    assert report.written == 0 and len(report.failed) == 4
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


@needs_exiftool
def test_a_photo_keeps_its_comment_and_undo_gives_its_date_back(library, tmp_path):
    photo = tmp_path / "photos" / "a.jpg"
    try:
        os.setxattr(photo, "user.xdg.comment", b"of last summer")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    os.utime(photo, ns=(10**18, 10**18))
    _label(library, tmp_path)
    _export(library)
    assert os.getxattr(photo, "user.xdg.comment") == b"of last summer"
    undo_export(library, QuietContext())
    assert os.getxattr(photo, "user.xdg.comment") == b"of last summer" and photo.stat().st_mtime_ns == 10**18
    assert look(library, tmp_path / "photos").changed == 0


@needs_exiftool
def test_nothing_more_is_tried_when_the_disk_is_full(library, tmp_path, monkeypatch):
    _label(library, tmp_path)
    plan = plan_export(library, "metadata")
    tried = []

    def fails(tool, path, copy, values):
        tried.append(path)
        raise UserError("ExifTool cannot write it: Error writing output file.")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded.ExifTool, "write_copy", fails)
    monkeypatch.setattr(embedded, "write_temporary", full)
    report = write_export(plan, QuietContext())
    assert len(tried) == 1 and len(report.failed) == 4
    assert all("No space" in reason for _, reason in report.failed)


@needs_exiftool
@pytest.mark.parametrize("trouble", ["same_pixels", "put_in_place"])
def test_photo_and_library_agree_when_either_cannot_be_written(library, tmp_path, monkeypatch, trouble):
    _label(library, tmp_path)
    photos = tmp_path / "photos"
    before = {path: path.read_bytes() for path in photos.iterdir()}

    def fails(*args, **options):
        raise UserError("The library is busy in another program.") if trouble == "same_pixels" else OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(embedded, trouble, fails)
        report = write_export(plan_export(library, "metadata"), QuietContext())
    assert report.written == 0 and len(report.failed) == 4
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    assert look(library, photos).changed == 0


@needs_exiftool
def test_a_photo_changed_since_the_plan_and_one_that_cannot_be_written_are_kept(library, tmp_path):
    _label(library, tmp_path)
    write_photo(tmp_path / "photos" / "e.bmp", seed=9)
    look(library, tmp_path / "photos")
    edits.add_seed(library, queries.images_of(library)[4].id, "a bitmap")
    plan = plan_export(library, "metadata")
    changed = write_photo(tmp_path / "photos" / "a.jpg", seed=77)
    content = changed.read_bytes()
    report = write_export(plan, QuietContext())
    assert report.kept == (changed,) and changed.read_bytes() == content
    assert [(path.name, "ExifTool cannot write" in reason) for path, reason in report.failed] == [("e.bmp", True)]


def test_without_exiftool_the_next_step_is_said(library, tmp_path, monkeypatch):
    _label(library, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="ExifTool") as caught:
        plan_export(library, "metadata")
    assert "nstall" in caught.value.next_step
    monkeypatch.setitem(sys.modules, "exiftool", None)
    with pytest.raises(UserError, match="metadata"):
        plan_export(library, "metadata")
