"""Captions made on several machines: lists out, parts in, merged by content and never over what a person wrote."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from core.batch.library_parts import merge_parts, write_list
from core.batch.listing import Shard
from core.batch.parts import merge_files
from core.batch.photo_list import count_listed, read_list
from core.batch.records import Candidate, PhotoRecord, read_records
from core.batch.requests import CaptionOptions, CaptionRequest, LibraryCaptionRequest
from core.batch.runner import caption_folder, caption_library
from core.cli import main
from core.errors import UserError
from core.images.content import hash_of
from core.jobs import Cancelled, QuietContext
from core.library.edits import accept, add_seed, edit_caption, reject
from core.library.library import Library
from core.library.queries import captions_of, image_ids, image_rows
from core.library.runs import create_run
from core.library.scan import scan
from tests.core.test_batch import Watching, write_photos

QUIET = QuietContext()
SAMPLED = CaptionOptions(batch=4, threads=1, method="sample", candidates=2, seed=7)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write_photos(folder, 14)
    shutil.copy(folder / "photo 000.png", folder / "copy of 0.png")
    return folder


@pytest.fixture
def library(tmp_path, photos):
    with Library.create(tmp_path / "mine") as library:
        scan(library, photos, QUIET)
        yield library


def texts(library) -> dict[int, list[str]]:
    found = captions_of(library, image_ids(library))
    return {key: sorted(caption.text for caption in captions) for key, captions in found.items() if captions}


def history(library) -> list[tuple]:
    """Every caption the library ever had, so that "nothing changed" means nothing."""
    from sqlalchemy import text

    with library.session() as session:
        return [tuple(row) for row in session.execute(text("SELECT * FROM caption ORDER BY id"))]


def part(path: Path, *records: PhotoRecord) -> Path:
    path.write_bytes(b"".join(record.to_line() for record in records))
    return path


def said(row, *captions: str, model: str | None = None) -> PhotoRecord:
    """What another machine may say about a photo of the library."""
    found = tuple(Candidate(one, 0.5, -1.0) for one in captions)
    return PhotoRecord(row.relative_path, captions[0], 0.5, found, content=row.content_hash, model=model)


# -- the whole way --


def test_a_list_goes_out_parts_come_back_and_say_what_one_process_says(library, photos, tmp_path, tiny_bundle):
    """Two machines with a copy of the photos."""
    todo, away = tmp_path / "todo.jsonl", Path(shutil.copytree(photos, tmp_path / "away"))
    first = image_ids(library)[0].item()
    add_seed(library, first, "My own words.")
    report = write_list(QUIET, LibraryCaptionRequest(library.path), todo)
    assert (report.photos, report.skipped, report.folder) == (14, 1, photos)
    assert report.contents == 14  # one of the two copies has a seed, the other one is to be captioned
    parts = []
    for i in range(2):
        out = tmp_path / f"part-{i}.jsonl"
        request = CaptionRequest(away, out, tiny_bundle, shard=Shard(i, 2), options=SAMPLED, photo_list=todo)
        done = caption_folder(QUIET, request).done
        assert done == count_listed(todo, shard=Shard(i, 2)) > 0
        parts.append(out)
    merged = merge_parts(QUIET, library, parts)
    assert (merged.merged, merged.unmatched.count, merged.parts.failed.count) == (14, 0, 0)
    assert merged.kept == 1  # the seed's photo has the content of the other copy
    remote = texts(library)
    assert remote.pop(first) == ["My own words."]
    with Library.create(tmp_path / "other") as other:
        scan(other, photos, QUIET)
        caption_library(QUIET, LibraryCaptionRequest(other.path, tiny_bundle, options=SAMPLED))
        names = {row.id: row.relative_path for row in image_rows(other, image_ids(other))}
        local = {names[key]: value for key, value in texts(other).items()}
    here = {row.id: row.relative_path for row in image_rows(library, image_ids(library))}
    assert {here[key]: value for key, value in remote.items()} == {
        name: value for name, value in local.items() if name != here[first]
    }


def test_two_shards_put_together_are_what_one_process_writes(photos, tmp_path, tiny_bundle):
    (photos / "empty.jpg").touch()
    whole = CaptionRequest(photos, tmp_path / "whole.jsonl", tiny_bundle, options=SAMPLED)
    caption_folder(QUIET, whole)
    parts = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    for i, out in enumerate(parts):
        caption_folder(QUIET, replace(whole, out=out, shard=Shard(i, 2), rank=True))
    out = tmp_path / "together.jsonl"
    report = merge_files(QUIET, parts, out)
    assert (report.photos, report.failed.count, report.repeated, report.conflicts.count) == (15, 1, 0, 0)
    found, expected = ({r.file: r for r in read_records(path)} for path in (out, whole.out))
    assert Counter(r.file for r in read_records(out)) == Counter(expected.keys())  # nothing lost, nothing repeated
    assert {name: record.error for name, record in found.items()} == {n: r.error for n, r in expected.items()}
    for name, record in expected.items():
        words = sorted(one.caption for one in record.candidates)
        assert sorted(one.caption for one in found[name].candidates) == words and found[name].rank is None
    before = out.read_bytes()
    merge_files(QUIET, [out, *parts], out)
    assert out.read_bytes() == before
    assert caption_folder(QUIET, replace(whole, out=out, resume=True)).done == 0  # complete, to the job as well


# -- merging into a library --


def test_merging_again_changes_nothing_whatever_the_person_did_meanwhile(library, tmp_path):
    rows = image_rows(library, image_ids(library)[2:7])
    file = part(tmp_path / "p.jsonl", *(said(row, f"Said of {row.id}.", "Another.") for row in rows))
    assert merge_parts(QUIET, library, [file], dry_run=True).merged == 5 and texts(library) == {}
    report = merge_parts(QUIET, library, [file])
    assert (report.merged, report.captions, report.present) == (5, 10, 0)
    one, two, three, *_ = (captions_of(library, [row.id])[row.id] for row in rows)
    accept(library, [one[0].id])
    edit_caption(library, two[0].id, "In my words.")
    reject(library, [caption.id for caption in three])
    before = history(library)
    for existing in ("skip", "add"):
        report = merge_parts(QUIET, library, [file], existing)
        assert (report.merged, report.captions) == (0, 0) and history(library) == before
    again = merge_parts(QUIET, library, [file], "replace-model")
    once = history(library)
    assert merge_parts(QUIET, library, [file], "replace-model").merged == 0 and history(library) == once
    assert again.present >= 2
    assert {c.text for c in captions_of(library, [rows[2].id])[rows[2].id] if c.state == "candidate"} == set()
    assert "In my words." in texts(library)[rows[1].id]


def test_human_text_and_other_captions_stay(library, tmp_path):
    rows = image_rows(library, image_ids(library)[2:5])
    add_seed(library, rows[0].id, "A seed.")
    merge_parts(QUIET, library, [part(tmp_path / "old.jsonl", said(rows[1], "An old one."))])
    file = part(tmp_path / "new.jsonl", *(said(row, "A new one.") for row in rows))
    report = merge_parts(QUIET, library, [file])
    assert (report.merged, report.kept) == (1, 2)
    assert [texts(library)[row.id] for row in rows] == [["A seed."], ["An old one."], ["A new one."]]
    report = merge_parts(QUIET, library, [file], "replace-model")
    assert (report.merged, report.present) == (2, 1)
    assert [texts(library)[row.id] for row in rows] == [["A new one.", "A seed."], ["A new one."], ["A new one."]]


def test_conflicts_and_repetitions_are_said_and_the_first_part_counts(library, tmp_path):
    rows = image_rows(library, image_ids(library)[2:5])
    one = part(tmp_path / "1.jsonl", said(rows[0], "First."), said(rows[1], "Same."))
    failed = PhotoRecord(rows[2].relative_path, error="The file is empty.", content=rows[2].content_hash)
    lost = PhotoRecord("x.jpg", error="The file is empty.", content="ab" * 32)
    two = part(tmp_path / "2.jsonl", failed, lost, said(rows[0], "Second."), said(rows[1], "Same."))
    three = part(tmp_path / "3.jsonl", said(rows[2], "Done by another machine."))
    report = merge_parts(QUIET, library, [one, two, three, one])
    assert report.parts.parts == 3 and report.parts.photos == report.merged == 3 and report.parts.repeated == 1
    assert report.parts.conflicts.shown == [f"{rows[0].relative_path}: 2.jsonl, line 3, has other words than before"]
    assert report.parts.failed.shown == ["x.jpg: The file is empty."]
    assert texts(library)[rows[0].id] == ["First."]


def test_a_damaged_line_costs_itself(library, tmp_path):
    rows = image_rows(library, image_ids(library)[2:5])
    whole = [said(row, f"Of {row.id}.").to_line() for row in rows]
    nameless = replace(said(rows[0], "Of what?"), content=None).to_line()
    deep = b"[" * 100_000 + b"\n"
    wrong = whole[0].replace(b'"Of ', b'7, "x": "Of ', 1)
    lines = [whole[0], b"\xff\xfe\n", b"{}\n", deep, nameless, wrong, whole[1], whole[2][:-9]]
    file = tmp_path / "p.jsonl"
    file.write_bytes(b"".join(lines))
    report = merge_parts(QUIET, library, [file])
    assert report.merged == 2 and report.parts.damaged.count == 6
    assert "line 5: it says nothing of the photo's content" in report.parts.damaged.shown[3]
    assert set(texts(library)) == {rows[0].id, rows[1].id}


def test_photos_of_nobody_and_copies(library, tmp_path, photos):
    content = hash_of(photos / "photo 000.png")
    record = PhotoRecord("elsewhere/name.jpg", "Both.", 0.5, (), content=content)
    stranger = replace(record, file="stranger.jpg", content="00" * 32)
    report = merge_parts(QUIET, library, [part(tmp_path / "p.jsonl", record, stranger)])
    assert report.merged == 2 and report.unmatched.shown == ["stranger.jpg"]
    assert list(texts(library).values()) == [["Both."], ["Both."]]


def test_the_run_whose_bundle_captioned_signs(library, tmp_path, tiny_bundle):
    from core.onnx.bundle import load_manifest

    run = create_run(library, "recommended", {})
    shutil.copytree(tiny_bundle, library.bundles_dir / run.id)
    row = image_rows(library, image_ids(library)[2:3])[0]
    model = load_manifest(tiny_bundle).model_hash
    merge_parts(QUIET, library, [part(tmp_path / "p.jsonl", said(row, "Mine.", model=model))])
    assert [caption.run_id for caption in captions_of(library, [row.id])[row.id]] == [run.id]


def test_a_merge_that_was_stopped_is_gone_on_with(library, tmp_path, monkeypatch):
    from core.batch import library_parts, parts

    monkeypatch.setattr(library_parts, "_AT_ONCE", 2)
    monkeypatch.setattr(parts, "_TOLD_EVERY", 2)
    rows = image_rows(library, image_ids(library))
    file = part(tmp_path / "p.jsonl", *(said(row, f"Said of {row.content_hash[:6]}.") for row in rows))
    with pytest.raises(Cancelled):
        merge_parts(Watching(lambda self: self.checks == 4), library, [file])
    some = len(texts(library))
    assert 0 < some < 15
    report = merge_parts(QUIET, library, [file])
    assert report.merged == 15 - some and all(len(found) == 1 for found in texts(library).values())


# -- merging into a file --


def test_an_output_is_never_written_over_unasked(tmp_path):
    mine = tmp_path / "out.jsonl"
    mine.write_text("my notes\n")
    one = part(tmp_path / "1.jsonl", PhotoRecord("a.jpg", "A.", 0.1, (), content="aa" * 32))
    with pytest.raises(UserError, match="is there already"):
        merge_files(QUIET, [one], mine)
    assert mine.read_text() == "my notes\n"
    with pytest.raises(UserError, match="is not a file"):
        merge_files(QUIET, [tmp_path / "gone.jsonl"], tmp_path / "new.jsonl")
    with pytest.raises(UserError, match="does not exist"):
        merge_files(QUIET, [one], tmp_path / "nowhere" / "new.jsonl")
    assert merge_files(QUIET, [one], tmp_path / "new.jsonl", dry_run=True).photos == 1
    assert not (tmp_path / "new.jsonl").exists()


def test_copies_keep_a_line_each_and_a_caption_beats_a_failure(tmp_path):
    content = "aa" * 32
    copies = [PhotoRecord(name, "Same.", 0.1, (), content=content) for name in ("a.jpg", "b.jpg")]
    unread = PhotoRecord("c.jpg", error="The file may not be opened (permission denied).")
    one = part(tmp_path / "1.jsonl", *copies, PhotoRecord("d.jpg", error="Too large.", content="dd" * 32), unread)
    two = part(tmp_path / "2.jsonl", PhotoRecord("d.jpg", "Now.", 0.2, (), content="dd" * 32))
    report = merge_files(QUIET, [one, two], tmp_path / "out.jsonl")
    found = [(record.file, record.caption) for record in read_records(tmp_path / "out.jsonl")]
    assert found == [("a.jpg", "Same."), ("b.jpg", "Same."), ("d.jpg", "Now."), ("c.jpg", None)]
    assert report.failed.shown == ["c.jpg: The file may not be opened (permission denied)."]


# -- lists --


def test_what_lies_elsewhere_than_listed_is_said_and_tried_again_by_content(library, photos, tmp_path, tiny_bundle):
    todo, away = tmp_path / "todo.jsonl", Path(shutil.copytree(photos, tmp_path / "away"))
    write_list(QUIET, LibraryCaptionRequest(library.path), todo)
    (away / "photo 001.png").rename(away / "kept.png")
    shutil.copy(away / "photo 002.png", away / "photo 004.png")
    request = CaptionRequest(away, tmp_path / "o.jsonl", tiny_bundle, options=SAMPLED, photo_list=todo)
    report = caption_folder(QUIET, request)
    failed = dict(report.failed)
    assert report.done == 12 and set(failed) == {"photo 001.png", "photo 004.png"}
    assert "something else than the list says" in failed["photo 004.png"]
    contents = {record.file: record.content for record in read_records(request.out)}
    assert contents["photo 004.png"] == hash_of(photos / "photo 004.png")
    (away / "kept.png").rename(away / "photo 001.png")
    again = caption_folder(QUIET, replace(request, resume=True, retry_failed=True))
    assert (again.done, again.already, again.failed_count) == (1, 12, 1)
    assert len(list(read_records(request.out))) == 14


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"content": "abc", "file": "a.jpg", "size": 1}', "no sha256"),
        (b'{"content": "' + b"a" * 64 + b'", "file": "../a.jpg", "size": 1}', "leads out of the folder"),
        (b'{"content": "' + b"a" * 64 + b'", "file": "/etc/a.jpg", "size": 1}', "leads out of the folder"),
        (b'{"content": "' + b"a" * 64, "cut off"),
        (b"\xff", "cut off"),
    ],
)
def test_a_list_that_is_not_understood_is_refused_by_line(line, words, tmp_path, photos, tiny_bundle):
    todo = tmp_path / "todo.jsonl"
    good = {"content": hash_of(photos / "photo 000.png"), "file": "photo 000.png", "size": 1}
    todo.write_bytes(json.dumps(good).encode() + b"\n" + line + b"\n")
    request = CaptionRequest(photos, tmp_path / "o.jsonl", tiny_bundle, photo_list=todo)
    with pytest.raises(UserError, match=f"line 2, names no photo: .*{words}"):
        caption_folder(QUIET, request)
    with pytest.raises(UserError, match="cannot be read"):
        list(read_list(tmp_path / "gone.jsonl"))


def test_the_commands(library, photos, tmp_path, tiny_bundle, capsys):
    library.close()
    todo, out, where = tmp_path / "todo.jsonl", tmp_path / "part.jsonl", str(library.path)
    assert main(["caption", where, "--write-list", str(todo)]) == 0
    assert "seedcap merge" in capsys.readouterr().out
    assert main(["caption", where, "--write-list", str(todo)]) == 2 and "there already" in capsys.readouterr().err
    assert main(["caption", where, "--list", str(todo)]) == 2 and "on another machine" in capsys.readouterr().err
    assert main(["caption", str(photos), "--write-list", str(out)]) == 2
    arguments = ["caption", str(photos), "--list", str(todo), "--bundle", str(tiny_bundle), "--out", str(out)]
    assert main(arguments) == 0
    capsys.readouterr()
    result = tmp_path / "r.json"
    assert main(["merge", where, str(out), "--dry-run"]) == 0 and "would get" in capsys.readouterr().out
    assert main(["merge", where, str(out), "--json", str(result)]) == 0
    assert json.loads(result.read_text())["merged"] == 15 and "seedcap rank" in capsys.readouterr().out
    assert main(["merge", where, str(out)]) == 0 and "15 had them already" in capsys.readouterr().out
    assert main(["merge", str(tmp_path / "all.jsonl"), str(out)]) == 0 and "all.jsonl" in capsys.readouterr().out
    assert main(["merge", str(tmp_path / "all"), str(out)]) == 2 and "not a library" in capsys.readouterr().err
    with out.open("ab") as file:
        file.write(b'{"file": "torn')
    assert main(["merge", where, str(out)]) == 1 and "1 lines are damaged" in capsys.readouterr().out
