"""Captioning a folder that was stopped, killed or run out of disk: what is done stays, nothing is done
twice; and captioning it in parts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.batch import listing, out_file
from core.batch.folder_rank import VectorFile
from core.batch.listing import Item, Shard, list_folder
from core.batch.parts import merge_files
from core.batch.records import Candidate, PhotoRecord, RecordWriter, drop_torn_line, read_records
from core.batch.runner import caption_folder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library.walk import Trouble
from tests.core.test_batch import ROOT, Watching, lines, write_photos


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write_photos(folder, 30)
    return folder


def test_a_torn_vector_row_is_cut(tmp_path):
    vectors = VectorFile(tmp_path / "v", 3)
    vectors.append(["a", "b"], np.eye(2, 3), np.ones((2, 3)))
    vectors.append(["a"], np.full((1, 3), 7), np.zeros((1, 3)))
    with (tmp_path / "v").open("ab") as file:
        file.write(b"torn")
    again = VectorFile(tmp_path / "v", 3)
    places = again.places()
    assert len(again.rows()) == 3 and len(places) == 2
    assert again.knows("a", places) and not again.knows("c", places)
    assert again.rows()["photo"][places[next(k for k, v in places.items() if v == 2)]].tolist() == [7, 7, 7]


# -- going on after a stop --


def complete(request) -> dict[str, str]:
    """What an uninterrupted job writes, by file."""
    other = replace(request, out=request.out.with_name("complete.jsonl"), resume=False)
    caption_folder(QuietContext(), other)
    return {line["file"]: line["caption"] for line in lines(other.out)}


def test_cancelled_and_gone_on_with(request_for):
    request = request_for()
    ctx = Watching(lambda self: len(self.progresses) == 3)
    with pytest.raises(Cancelled):
        caption_folder(ctx, request)
    assert len(lines(request.out)) == 12
    ctx = Watching()
    report = caption_folder(ctx, replace(request, resume=True))
    assert report.done == 18 and report.already == 12
    assert ctx.progresses[0].done == 4 and ctx.progresses[-1].total == 18  # earlier work is no work of this job
    found = lines(request.out)
    assert {line["file"]: line["caption"] for line in found} == complete(request) and len(found) == 30


def test_cancelling_takes_effect_within_a_batch(request_for):
    """Asked at every decoding step: a stop does not wait for the whole batch."""
    request = request_for(options={"method": "sample"})
    request = replace(request, options=replace(request.options, batch=30))
    ctx = Watching(lambda self: self.checks == 6)
    with pytest.raises(Cancelled):
        caption_folder(ctx, request)
    assert ctx.checks == 6 and request.out.read_bytes() == b""
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


KILLED = """
import os, signal, sys
from pathlib import Path
from core.batch import records, requests, runner
from core.jobs import QuietContext

cut = int(sys.argv[4])
real = records.RecordWriter.write

def write(self, found):
    if self._file.tell() + sum(len(r.to_line()) for r in found) > cut:
        data = b"".join(r.to_line() for r in found)
        self._file.write(data[: max(0, cut - self._file.tell())])
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, found)

records.RecordWriter.write = write
options = requests.CaptionOptions(batch=4, threads=1)
source, out, bundle = map(Path, sys.argv[1:4])
runner.caption_folder(QuietContext(), requests.CaptionRequest(source, out, bundle, options=options, resume=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX thing")
def test_killed_in_the_middle_of_a_line(request_for):
    """Killed again and again at any byte: no line is lost, none is doubled, and the torn one is written anew."""
    request = request_for()
    expected = complete(request)
    size = request.out.with_name("complete.jsonl").stat().st_size
    for cut in (size // 3 + 7, 2 * size // 3 + 11):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, request.source, request.out, request.bundle, str(cut)],
            cwd=ROOT, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert request.out.stat().st_size == cut
    caption_folder(QuietContext(), replace(request, resume=True))
    found = lines(request.out)
    assert len(found) == 30 and {line["file"]: line["caption"] for line in found} == expected


def test_two_at_once_do_not_write_into_one_file(request_for):
    """As when an array is submitted again while it still runs; the first has half a line written just then."""
    request = request_for(resume=True)
    refused = []

    class Second(QuietContext):
        def partial(self, result):
            before = request.out.read_bytes()
            request.out.write_bytes(before + b'{"file": "half')
            for again in (request, replace(request, retry_failed=True)):
                with pytest.raises(UserError, match=rf"Another Seedcap writes into .*process {os.getpid()} on "):
                    caption_folder(QuietContext(), again)
            with pytest.raises(UserError, match="Another Seedcap writes into"):
                merge_files(QuietContext(), [request.out], request.out)
            assert request.out.read_bytes() == before + b'{"file": "half'
            request.out.write_bytes(before)
            refused.append(True)

    assert caption_folder(Second(), request).done == 30 and refused
    assert len(lines(request.out)) == 30
    assert caption_folder(QuietContext(), request).already == 30  # and nobody is kept out afterwards


def test_where_the_file_system_knows_no_locks_nobody_is_kept_out(monkeypatch, tmp_path):
    def none(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(out_file, "lock", none)
    with out_file.only_writer(tmp_path / "out.jsonl"):
        pass


def test_a_torn_line_is_cut_at_every_length(tmp_path):
    path = tmp_path / "f.jsonl"
    one = PhotoRecord("a.jpg", "A ball.", 0.5, (Candidate("A ball.", 0.5, -1.0),)).to_line()
    two = PhotoRecord("ü.jpg", error="The file is empty.").to_line()
    for size in range(len(one) + len(two) + 1):
        path.write_bytes((one + two)[:size])
        assert [r.file for r in read_records(path)] == ["a.jpg", "ü.jpg"][: (one + two)[:size].count(b"\n")]
        dropped = drop_torn_line(path)
        kept = path.read_bytes()
        assert kept in (b"", one, one + two) and len(kept) + dropped == size
        assert [r.file for r in read_records(path)] == ["a.jpg", "ü.jpg"][: kept.count(b"\n")]
    long = PhotoRecord("b.jpg", "word " * 40_000, 0.1, ()).to_line()  # longer than one block read from the end
    path.write_bytes(one + long[:-1])
    drop_torn_line(path)
    assert path.read_bytes() == one


@pytest.mark.parametrize(
    "content",
    [
        b"line one\nline two, all my work, no newline at its end",
        b'{"all": "of it in one line"}',
        b'{"file": "a.jpg", "text": "one line of another program"}',
        PhotoRecord("a.jpg", error="x").to_line() + b"my own note",
        b"a line\n",
    ],
)
def test_a_file_of_somebody_else_is_refused_and_left_as_it_is(request_for, content):
    request = request_for()
    request.out.write_bytes(content)
    for retry in (False, True):
        with pytest.raises(UserError, match="not a line that Seedcap wrote"):
            caption_folder(QuietContext(), replace(request, resume=True, retry_failed=retry))
        assert request.out.read_bytes() == content


def test_a_file_that_is_there_is_never_written_over(request_for):
    request = request_for()
    request.out.write_text("something a person wrote\n")
    with pytest.raises(UserError, match="is there already"):
        caption_folder(QuietContext(), request)
    with pytest.raises(UserError, match="line 1, is not a line that Seedcap wrote"):
        caption_folder(QuietContext(), replace(request, resume=True))
    assert request.out.read_text() == "something a person wrote\n"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"options": {"candidates": 2}}, "other settings"),
        ({"options": {"by_score": True}}, "choice of --rank"),
        ({"shard": Shard(0, 2)}, "another shard"),
    ],
)
def test_going_on_with_other_settings_is_refused(request_for, change, word):
    caption_folder(QuietContext(), request_for())
    with pytest.raises(UserError, match=word):
        caption_folder(QuietContext(), request_for(resume=True, **change))


def test_going_on_with_another_model_is_refused(request_for, tmp_path, tiny_bundle):
    request = request_for()
    caption_folder(QuietContext(), request)
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    content = (other / "tokenizer.json").read_bytes() + b"\n"
    (other / "tokenizer.json").write_bytes(content)
    import hashlib

    manifest["files"]["tokenizer.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="another model"):
        caption_folder(QuietContext(), replace(request, bundle=other, resume=True))


def test_failed_photos_are_tried_again_only_when_asked(request_for, photos):
    bad = photos / "photo 002.png"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    request = request_for()
    assert caption_folder(QuietContext(), request).failed_count == 1
    bad.write_bytes(good)
    report = caption_folder(QuietContext(), replace(request, resume=True))
    assert (report.done, report.already, report.failed_count) == (0, 30, 1)
    report = caption_folder(QuietContext(), replace(request, resume=True, retry_failed=True))
    assert (report.done, report.already, report.failed_count) == (1, 29, 0)
    assert {line["file"]: line["caption"] for line in lines(request.out)} == complete(request)


def test_a_full_disk_is_said_in_words(tmp_path):
    writer = RecordWriter(tmp_path / "out.jsonl")

    class Full:
        closed = False

        def __init__(self, file):
            self.file = file

        def write(self, data):
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    writer._file = Full(writer._file)
    with pytest.raises(UserError, match="No space left on device") as caught, writer:
        writer.write([PhotoRecord("a.jpg", error="The file is empty.")])
    assert "--resume" in caught.value.next_step
    with pytest.raises(UserError, match="cannot be written"):
        RecordWriter(tmp_path)  # a folder


@pytest.mark.parametrize("number", [1, 2, 5])
def test_shards_hold_every_photo_once(request_for, photos, number):
    shutil.copy(photos / "photo 000.png", photos / "copy of 0.png")
    whole = [item.file for item in list_folder(photos)]
    parts = [[item.file for item in list_folder(photos, shard=Shard(i, number))] for i in range(number)]
    assert sorted(name for part in parts for name in part) == sorted(whole)
    holding = next(part for part in parts if "photo 000.png" in part)
    assert "copy of 0.png" in holding  # by content, not by name
    assert number == 1 or max(len(part) for part in parts) < len(whole)


def test_shards_say_what_one_process_says(request_for):
    request = request_for()
    expected = complete(request)
    found: dict[str, str] = {}
    for i in range(3):
        part = replace(request, out=request.out.with_name(f"{i}.jsonl"), shard=Shard.parse(f"{i}/3"))
        caption_folder(QuietContext(), part)
        found |= {line["file"]: line["caption"] for line in lines(part.out)}
    assert found == expected


def test_shards_may_be_counted_from_0_or_from_1():
    assert [Shard.parse(f"{i}/4").index for i in range(4)] == [0, 1, 2, 3]
    assert sorted(Shard.parse(f"{i}/4").index for i in range(1, 5)) == [0, 1, 2, 3]
    for text in ("5/4", "1", "1/0", "0/0", "-1/2", "a/b", "1/2/3", "1.5/2", ""):
        with pytest.raises(UserError, match="which part"):
            Shard.parse(text)


@pytest.mark.skipif(sys.platform == "win32", reason="links are for everyone on POSIX only")
def test_what_one_machine_alone_cannot_read_is_captioned_once_or_told(photos, tmp_path):
    """Two machines with a part each; one photo after the other is not there on the second."""
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    whole = [item.file for item in list_folder(photos)]
    first = [item.file for item in list_folder(photos, shard=Shard(0, 2))]

    def second():
        return [(item.file, item.reason) for item in list_folder(other, shard=Shard(1, 2))]

    for name in whole[:12]:
        kept = (other / name).read_bytes()
        (other / name).unlink()
        (other / name).symlink_to(tmp_path / "nowhere")
        found = dict(second())
        assert found.pop(name)  # told by the machine that cannot read it; merging drops that if the first has it
        assert sorted([*(one for one in first if one != name), *found, name]) == whole
        (other / name).unlink()
        (other / name).write_bytes(kept)


def test_a_folder_that_cannot_be_opened_is_told_by_every_shard(monkeypatch, tmp_path):
    closed = Trouble(tmp_path / "trip", "trip", "The folder may not be opened.", hides_content=True)
    monkeypatch.setattr(listing, "walk", lambda folder: iter([closed]))
    assert all([item.file for item in list_folder(tmp_path, shard=Shard(i, 5))] == ["trip"] for i in range(5))


def test_a_photo_that_cannot_be_read_is_told_by_every_shard(tmp_path):
    item = Item("gone.jpg", tmp_path / "gone.jpg")
    assert all(Shard(i, 7).holds(item) for i in range(7))
