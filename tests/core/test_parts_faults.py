"""Parts that are not as they should be, and whose captions they are; with records made by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from core.batch import run_of_bundle
from core.batch.library_parts import merge_parts
from core.batch.parts import merge_files
from core.batch.records import Candidate, PhotoRecord, read_records
from core.batch.run_of_bundle import RunOfBundle
from core.errors import UserError
from core.jobs import QuietContext
from core.library.edits import edit_caption
from core.library.library import Library
from core.library.queries import captions_of, image_ids, image_rows
from core.library.runs import create_run
from core.library.scan import scan
from core.onnx.bundle import BundleError
from tests.core.test_batch import write_photos

QUIET = QuietContext()


def said(
    file: str = "a.jpg", *words: str, content: str = "aa" * 32, model: str | None = None, source: str | None = None
) -> PhotoRecord:
    words = words or ("A ball.",)
    found = tuple(Candidate(one, 0.5, -1.0) for one in words)
    return PhotoRecord(file, words[0], 0.5, found, content=content, model=model, source=source)


def part(path, *lines: PhotoRecord | bytes):
    path.write_bytes(b"".join(line if isinstance(line, bytes) else line.to_line() for line in lines))
    return path


@pytest.fixture
def library(tmp_path):
    write_photos(tmp_path / "photos", 3)
    with Library.create(tmp_path / "mine") as library:
        scan(library, tmp_path / "photos", QUIET)
        yield library


# -- a file that is added to --


@pytest.mark.parametrize(
    "foreign", [b'{"image": "a.jpg", "caption": "By me."}\n', said("c.jpg").to_line()[:-9] + b"\n", b"[" * 100_000]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_holds_other_lines_is_not_written_over(foreign, dry_run, tmp_path):
    mine = part(tmp_path / "mine.jsonl", said(), foreign)
    before = mine.read_bytes()
    with pytest.raises(UserError, match=r"mine\.jsonl, line 2, is not a line") as caught:
        merge_files(QUIET, [mine, part(tmp_path / "p.jsonl", said("b.jpg"))], mine, dry_run=dry_run)
    assert "new file" in (caught.value.next_step or "") and mine.read_bytes() == before


def test_a_torn_last_line_does_not_keep_a_file_from_being_added_to(tmp_path):
    mine = part(tmp_path / "mine.jsonl", said(), said("c.jpg").to_line()[:-9])
    report = merge_files(QUIET, [mine, part(tmp_path / "p.jsonl", said("b.jpg"))], mine)
    assert [one.file for one in read_records(mine)] == ["a.jpg", "b.jpg"] and report.damaged.count == 1


# -- odd lines --


@pytest.mark.parametrize(
    "change",
    [
        {"content": 5},
        {"content": "\ud800"},
        {"model": ["x"]},
        {"source": 1},
        {"error": 5, "caption": None},
        {"caption": "half \ud83d"},
        {"score": float("nan")},
        {"score": "high"},
        {"candidates": [{"caption": "A ball.", "score": float("inf"), "log_prob": -1.0}]},
        {"rank": float("nan"), "gallery": 3},
    ],
)
def test_an_odd_line_costs_itself(change, library, tmp_path):
    row = image_rows(library, image_ids(library)[:1])[0]
    odd = {**json.loads(said("odd.jpg").to_line()), **change}
    file = part(tmp_path / "p.jsonl", json.dumps(odd).encode() + b"\n", said("good.jpg", content=row.content_hash))
    report = merge_files(QUIET, [file], tmp_path / "out.jsonl")
    assert (report.photos, report.damaged.count) == (1, 1)
    assert [one.file for one in read_records(tmp_path / "out.jsonl")] == ["good.jpg"]
    merged = merge_parts(QUIET, library, [file])
    assert (merged.merged, merged.parts.damaged.count) == (1, 1)


def test_names_that_are_no_text_are_kept(tmp_path):
    names = ["half \ud83d.jpg", "bytes \udcff.jpg"]
    file = part(tmp_path / "p.jsonl", *map(said, names))
    assert merge_files(QUIET, [file], tmp_path / "out.jsonl").photos == 2
    assert [one.file for one in read_records(tmp_path / "out.jsonl")] == names


def test_what_one_machine_could_not_read_and_another_captioned_has_not_failed(library, tmp_path):
    row = image_rows(library, image_ids(library)[:1])[0]
    unread = [PhotoRecord(name, error="The disk gave an error.") for name in (row.relative_path, "lost.jpg")]
    one = part(tmp_path / "1.jsonl", *unread)
    two = part(tmp_path / "2.jsonl", said(row.relative_path, content=row.content_hash))
    for parts in ([one, two], [two, one]):
        report = merge_files(QUIET, parts, tmp_path / f"{parts[0].stem}-out.jsonl")
        assert report.failed.shown == ["lost.jpg: The disk gave an error."]
    assert merge_parts(QUIET, library, [one, two]).parts.failed.shown == ["lost.jpg: The disk gave an error."]


# -- into a library --


def test_words_that_a_person_changed_do_not_come_back_beside_new_ones(library, tmp_path):
    row = image_rows(library, image_ids(library)[:1])[0]
    merge_parts(QUIET, library, [part(tmp_path / "1.jsonl", said("a", "Old.", content=row.content_hash))])
    edit_caption(library, captions_of(library, [row.id])[row.id][0].id, "In my words.")
    more = part(tmp_path / "2.jsonl", said("a", "New.", "Old.", "Newer.", content=row.content_hash))
    assert merge_parts(QUIET, library, [more], "add").captions == 2
    assert {one.text for one in captions_of(library, [row.id])[row.id]} == {"In my words.", "New.", "Newer."}


def test_the_run_that_the_source_names_signs(library, tmp_path):
    """As a bundle made elsewhere of a run of this library: nothing in the library has its hash."""
    run = create_run(library, "recommended", {})
    rows = image_rows(library, image_ids(library))
    made = zip(rows, [run.id, "starter", None], strict=True)
    records = [said("a", content=row.content_hash, model="ff" * 32, source=source) for row, source in made]
    old = [line.to_line().replace(b', "source": null', b"") for line in records]  # as earlier versions wrote
    assert b"source" not in old[2]
    merge_parts(QUIET, library, [part(tmp_path / "p.jsonl", *old)])
    found = [captions_of(library, [row.id])[row.id][0].run_id for row in rows]
    assert found == [run.id, None, None]


@pytest.mark.parametrize("kind", ["", "-mixed", "-int8"])
def test_a_source_that_is_no_run_leaves_it_to_the_hash(kind, library, monkeypatch):
    run = create_run(library, "recommended", {})

    def load(folder, verify):
        if folder != library.bundles_dir / f"{run.id}{kind}":
            raise BundleError("There is no such folder.")
        return SimpleNamespace(model_hash="ab")

    monkeypatch.setattr(run_of_bundle, "load_manifest", load)
    find = RunOfBundle(library).find
    assert [find(None, "ab"), find("copy", "ab")] == [run.id, run.id]
    assert [find("copy", "00"), find(None, None)] == [None, None]
