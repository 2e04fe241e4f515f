"""Captioning a library: the ledger, vectors that are reused, candidates beside what people wrote, scores at the end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from core.batch import bundles, library_runner
from core.batch.requests import CaptionOptions, LibraryCaptionRequest
from core.batch.runner import caption_library
from core.bench.crash_work import ToyEngine
from core.cli import main
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library import ledger
from core.library.candidates import add_candidates
from core.library.edits import add_seed, reject
from core.library.library import Library
from core.library.queries import captions_of, image_ids, image_rows, set_current_run
from core.library.runs import create_run, update_run
from core.library.scan import scan
from tests.core.test_batch import ROOT, Watching, write_photos


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write_photos(folder, 14)
    return folder


@pytest.fixture
def library(tmp_path, photos):
    with Library.create(tmp_path / "mine") as library:
        scan(library, photos, QuietContext())
        yield library


@pytest.fixture
def caption(library, tiny_bundle):
    """Captions the library in batches of four."""

    def run(ctx=None, **changes):
        options = CaptionOptions(batch=4, threads=1, **changes.pop("options", {}))
        request = LibraryCaptionRequest(library.path, changes.pop("bundle", tiny_bundle), options=options, **changes)
        return caption_library(ctx or QuietContext(), request)

    return run


def texts(library) -> dict[int, list[str]]:
    """Captions by photo, of the photos that have any."""
    found = captions_of(library, image_ids(library))
    return {key: [caption.text for caption in captions] for key, captions in found.items() if captions}


def test_every_photo_gets_candidates_and_scores(library, caption):
    ctx = Watching()
    report = caption(ctx, options={"candidates": 2})
    assert report.done == 14 and report.failed == () and report.already == 0
    rows = captions_of(library, image_ids(library))
    assert len(rows) == 14
    for found in rows.values():
        assert 1 <= len(found) <= 2
        for one in found:
            assert (one.author, one.run_id, one.state, one.is_seed) == ("run", None, "candidate", False)
            assert one.score is not None and one.score.gallery_size >= 1 and one.score.rank >= 1
            assert one.mean_log_prob is not None and one.mean_log_prob < 0, "what the order of suggestions needs"
    assert [p.done for p in ctx.progresses] == [4, 8, 12, 14]
    job = ledger.find_job(library, 1)
    assert (job.state, job.done, job.todo, job.failed) == ("done", 14, 0, 0)


def scored(library) -> set[bool]:
    found = captions_of(library, image_ids(library)).values()
    return {caption.score is not None for captions in found for caption in captions}


def test_captions_are_ranked_unless_that_is_not_wanted(library, caption):
    caption(rank=False)
    assert scored(library) == {False}
    caption(existing="replace-model")
    assert scored(library) == {True}


def test_says_what_the_folder_command_says(library, caption, photos, tiny_bundle, tmp_path):
    from core.batch.requests import CaptionRequest
    from core.batch.runner import caption_folder

    caption()
    caption_folder(QuietContext(), CaptionRequest(photos, tmp_path / "f.jsonl", tiny_bundle))
    by_file = {v["file"]: v["caption"] for v in map(json.loads, (tmp_path / "f.jsonl").read_text().splitlines())}
    rows = image_rows(library, image_ids(library))
    assert {row.relative_path: texts(library)[row.id][0] for row in rows} == by_file


def test_human_text_outranks(library, caption):
    """``skip`` leaves captioned photos alone, ``add`` adds, ``replace-model`` replaces the model's, nobody else's."""
    first, second, third = image_ids(library)[:3].tolist()
    add_seed(library, first, "My own words.")
    assert caption().done == 13
    assert texts(library)[first] == ["My own words."]
    before = texts(library)
    assert caption().done == 0  # all have captions now
    assert caption(existing="add").done == 14
    assert texts(library)[first][0] == "My own words." and len(texts(library)[first]) == 2
    assert {k: v for k, v in texts(library).items() if k != first} == {k: v for k, v in before.items() if k != first}
    rejected = captions_of(library, [second])[second][0]
    reject(library, [rejected.id])
    beam = {"method": "beam", "candidates": 3}
    assert caption(existing="replace-model", options=beam).done == 14
    after = captions_of(library, [first, second, third])
    assert after[first][0].text == "My own words."
    assert [c.text for c in after[second] if c.state == "rejected"] == [rejected.text]
    assert rejected.text not in [c.text for c in after[second] if c.state == "candidate"]


def test_vectors_are_made_once(library, caption, monkeypatch):
    from core.batch import pipeline

    caption()
    before = texts(library)

    def forbidden(path, spec):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(pipeline, "load_square", forbidden)
    report = caption(existing="replace-model", options={"method": "beam", "candidates": 2})
    assert report.done == 14 and report.failed == ()
    assert set(texts(library)) == set(before)


def test_cancelled_and_gone_on_with(library, caption):
    ctx = Watching(lambda self: len(self.progresses) == 2)
    with pytest.raises(Cancelled):
        caption(ctx)
    job = ledger.unfinished_job(library, "caption")
    assert (job.state, job.done, job.todo) == ("cancelled", 8, 6)
    assert len(texts(library)) == 8
    report = caption(resume=True)
    assert report.done == 6 and report.already == 8
    assert len(texts(library)) == 14 and all(len(found) == 1 for found in texts(library).values())
    assert ledger.unfinished_job(library, "caption") is None
    assert caption(resume=True).done == 0  # nothing is left: a new job finds nothing to do


def test_how_distinctive_is_as_the_job_was_begun(library, caption):
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 2), options={"distinctive": 1.0})
    report = caption(resume=True)
    assert report.done == 6 and report.already == 8
    gone_on = texts(library)
    caption(existing="replace-model", options={"distinctive": 1.0})
    assert texts(library) == gone_on  # all of them as if it had not been stopped
    caption(existing="replace-model")
    assert texts(library) != gone_on  # and not as they are without


KILLED = """
import os, signal, sys
from pathlib import Path
from core.batch import requests, runner
from core.jobs import QuietContext

class Kill(QuietContext):
    left = 2
    def partial(self, result):
        Kill.left -= 1
        if Kill.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

options = requests.CaptionOptions(batch=4, threads=1)
request = requests.LibraryCaptionRequest(Path(sys.argv[1]), Path(sys.argv[2]), existing="add", options=options)
runner.caption_library(Kill(), request)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX thing")
def test_killed_and_gone_on_with(library, caption, tiny_bundle):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, library.path, tiny_bundle], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr
    report = caption(resume=True)
    assert report.already == 8 and report.done == 6
    assert all(len(found) == 1 for found in texts(library).values()) and len(texts(library)) == 14


def test_another_model_does_not_go_on_with_the_job(library, caption, tiny_bundle, tmp_path):
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 1))
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    rewrite_tokenizer(other)
    report = caption(bundle=other, resume=True)
    assert report.already == 0 and report.done == 10  # a new job, for the photos that have no caption


def test_another_model_retries_the_failed_photos_only(library, caption, photos, tiny_bundle, tmp_path):
    bad = photos / "photo 002.png"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    assert caption(existing="add").done == 13
    bad.write_bytes(good)
    scan(library, photos, QuietContext())
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    rewrite_tokenizer(other)
    report = caption(bundle=other, existing="add", retry_failed=True)
    assert (report.done, report.already) == (1, 0)
    assert all(len(found) == 1 for found in texts(library).values())


def test_the_failed_photos_of_a_stopped_job_are_tried_again_and_no_others(library, caption, photos):
    bad = photos / "photo 000.png"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 2), existing="add")
    before = len(texts(library))
    bad.write_bytes(good)
    scan(library, photos, QuietContext())
    report = caption(retry_failed=True)
    assert (report.done, report.failed) == (1, ()) and len(texts(library)) == before + 1 < 14
    report = caption(resume=True)
    assert report.done == 13 - before and report.failed == ()
    assert all(len(found) == 1 for found in texts(library).values()) and len(texts(library)) == 14


def test_going_on_does_what_was_asked_then_and_only_the_photos_asked_now(library, caption):
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 1), existing="add")
    with pytest.raises(UserError, match="begun with another choice"):
        caption(resume=True, existing="replace-model")
    left = sorted(set(image_ids(library).tolist()) - set(texts(library)))
    assert caption(resume=True, image_ids=tuple(left[:2])).done == 2
    assert caption(resume=True).done == len(left) - 2
    assert all(len(found) == 1 for found in texts(library).values()) and len(texts(library)) == 14


def test_going_on_makes_captions_as_the_job_was_begun(library, caption, tiny_bundle):
    sampled = {"method": "sample", "candidates": 3, "seed": 7}
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 2), options=sampled)
    for other in ({"candidates": 1}, {"seed": 0}, {"method": "beam"}, {"max_tokens": 5}, {"by_score": True}):
        with pytest.raises(UserError, match="begun with another choice of --"):
            caption(resume=True, options=other)
    assert caption(resume=True, bundle=None).done == 6  # with the same bundle, too, though it is not named
    gone_on = texts(library)
    assert ledger.last_job(library, "caption").id == 1
    caption(existing="replace-model", options=sampled)
    assert texts(library) == gone_on  # all of them as if it had not been stopped


@pytest.mark.parametrize(("existing", "again"), [("replace-model", 14), ("add", 10)])
def test_another_model_takes_the_place_of_the_job_for_its_photos(
    existing, again, library, caption, photos, tiny_bundle, tmp_path
):
    ids = image_ids(library).tolist()
    add_candidates(library, None, {one: ["Old words."] for one in ids})
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 1), existing=existing)
    shutil.copy(photos / "photo 000.png", photos / "new.png")  # not of that job
    scan(library, photos, QuietContext())
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    rewrite_tokenizer(other)
    assert caption(bundle=other, resume=True).done == again
    found = texts(library)
    assert set(found) == set(ids) and {len(some) for some in found.values()} == ({2} if existing == "add" else {1})
    assert any("Old words." in some for some in found.values()) == (existing == "add")
    assert ledger.unfinished_job(library, "caption") is None


def rewrite_tokenizer(bundle: Path) -> None:
    """Another model as far as its hash goes."""
    import hashlib

    content = (bundle / "tokenizer.json").read_bytes() + b"\n"
    (bundle / "tokenizer.json").write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["tokenizer.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_failed_photos_and_another_try(library, caption, photos):
    bad = photos / "photo 002.png"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    report = caption()
    assert report.done == 13 and report.failed == (("photo 002.png", "The file is empty."),)
    failed = ledger.failed_items(library, 1)
    assert [(item.path, item.error, item.attempts) for item in failed] == [(bad, "The file is empty.", 1)]
    bad.write_bytes(good)
    scan(library, photos, QuietContext())
    report = caption(resume=True, retry_failed=True)
    assert report.done == 1 and report.failed == () and len(texts(library)) == 14
    assert caption(resume=True, retry_failed=True).done == 0


def test_a_photo_that_changed_since_the_scan_is_not_captioned_for_its_former_content(library, photos):
    changed = sorted(photos.iterdir())[0]
    (row,) = [row for row in image_rows(library, image_ids(library)) if row.path == changed]
    changed.write_bytes(sorted(photos.iterdir())[1].read_bytes() + b"\0")
    request = LibraryCaptionRequest(library.path)

    def said_by(mark):
        engine = cast(Any, ToyEngine(library, mark, lambda **said: None))
        return library_runner.caption_with(QuietContext(), library, request, engine)

    report = said_by("first")
    assert report.done == 13 and [name for name, _ in report.failed] == [row.relative_path]
    assert row.id not in texts(library)
    scan(library, photos, QuietContext())
    assert said_by("then").done == 1


def test_gone_on_with_it_still_tells_of_what_failed_before(library, caption, photos):
    (photos / "photo 002.png").write_bytes(b"")
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 2))
    report = caption(resume=True)
    assert report.failed == (("photo 002.png", "The file is empty."),) and report.failed_count == 1
    assert report.already + report.done == 13


def test_these_photos_only(library, caption):
    wanted = image_ids(library)[[2, 5]]
    assert caption(image_ids=tuple(wanted.tolist())).done == 2
    assert set(texts(library)) == set(wanted.tolist())


def test_shards_take_every_photo_once(library, caption):
    from core.batch.listing import Shard

    assert sum(caption(shard=Shard(i, 3), existing="add").done for i in range(3)) == 14
    assert len(texts(library)) == 14


def test_a_runs_bundle_signs_with_its_run(library, caption, tiny_bundle, tmp_path):
    run = create_run(library, "recommended", {})
    mine = Path(shutil.copytree(tiny_bundle, tmp_path / "mine"))
    manifest = json.loads((mine / "manifest.json").read_text())
    (mine / "manifest.json").write_text(json.dumps({**manifest, "source": run.id}))
    caption(bundle=mine)
    assert {c.run_id for found in captions_of(library, image_ids(library)).values() for c in found} == {run.id}


def test_without_a_bundle_the_current_model_is_taken(library, monkeypatch):
    asked = []
    monkeypatch.setattr(bundles, "exported", lambda ctx, source, folder, *_: asked.append((source, folder)) or folder)
    monkeypatch.setattr(bundles, "starter_bundle", lambda ctx: Path("starter"))
    assert library_runner.library_bundle(QuietContext(), library) == Path("starter")
    run = create_run(library, "recommended", {})
    update_run(library, run.id, status="done")
    set_current_run(library, run.id)
    assert library_runner.library_bundle(QuietContext(), library) == library.bundles_dir / run.id
    assert library_runner.library_bundle(QuietContext(), library, model="starter") == Path("starter")
    set_current_run(library, None)
    assert library_runner.library_bundle(QuietContext(), library, model=run.id) == library.bundles_dir / run.id
    assert asked == [(str(run.folder), library.bundles_dir / run.id)] * 2
    with pytest.raises(UserError, match="no run 'gone'"):
        library_runner.library_bundle(QuietContext(), library, model="gone")


def test_a_model_that_was_chosen_stays_chosen_when_its_captioning_goes_on(library, tiny_bundle, monkeypatch):
    run = create_run(library, "recommended", {})
    update_run(library, run.id, status="done")
    set_current_run(library, run.id)
    monkeypatch.setattr(bundles, "starter_bundle", lambda ctx: tiny_bundle)
    monkeypatch.setattr(bundles, "exported", lambda *_: pytest.fail("the model in use was taken"))
    begun = LibraryCaptionRequest(library.path, options=CaptionOptions(batch=4, threads=1), model="starter")
    with pytest.raises(Cancelled):
        library_runner.run(Watching(lambda self: len(self.progresses) == 2), begun)
    assert 0 < len(texts(library)) < 14
    report = library_runner.run(QuietContext(), LibraryCaptionRequest(library.path, resume=True))
    assert report.bundle == tiny_bundle and report.already + report.done == 14


@pytest.mark.parametrize(("low", "offered"), [(-0.004, True), (-0.04, False)])
def test_the_faster_bundle_is_taken_only_where_it_loses_little(library, tiny_bundle, monkeypatch, low, offered):
    asked = []

    def export(ctx, source, folder, more):
        asked.append((source, list(more)))
        shutil.copytree(tiny_bundle, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        kept = {"exact": 0.7, "value": 0.0, "low": low, "high": 0.01}
        said = {"photos": 14, "identical": 13, "on": "photos of the library", "cosine": 1.0}
        manifest["decoder"]["checkpoint_sha256"] = "of the starter"
        manifest["precision_loss"] = {**said, "clip_s": kept, "r1": kept, "cider": None}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    monkeypatch.setattr(bundles, "export_in_process", export)
    monkeypatch.setattr(bundles, "model_sha256", lambda *_: "of the starter")
    monkeypatch.setattr(bundles, "starter_bundle", lambda ctx: tiny_bundle)
    report = library_runner.run(QuietContext(), LibraryCaptionRequest(library.path, faster=True))
    faster = library.bundles_dir / "starter-int8"
    assert report.bundle == (faster if offered else tiny_bundle) and report.done == 14
    assert library_runner.faster_bundle(QuietContext(), library) == (faster if offered else None)
    wanted = ["--precision", "int8", "--photos", str(library.path)]
    assert asked == [("starter", wanted)], "made and measured once"


def test_photos_that_have_captions_are_counted_and_the_command_says_how_to_replace_them(
    library, caption, tiny_bundle, tmp_path, capsys
):
    first, *_others = image_ids(library)
    add_seed(library, first, "mine")
    assert caption().skipped == 1
    library.close()
    result = tmp_path / "r.json"
    arguments = ["caption", str(library.path), "--bundle", str(tiny_bundle), "--json", str(result)]
    assert main(arguments) == 0
    data = json.loads(result.read_text("utf-8"))
    assert (data["done"], data["skipped"]) == (0, 14)
    said = capsys.readouterr().out
    assert "14 photos have captions and were skipped" in said and "--existing replace-model" in said
    assert main([*arguments, "--existing", "replace-model"]) == 0
    data = json.loads(result.read_text("utf-8"))
    assert (data["done"], data["skipped"]) == (14, 0)
    assert "skipped" not in capsys.readouterr().out


def test_copies_of_a_photo_share_a_vector_not_a_caption(library, caption, photos):
    shutil.copy(photos / "photo 000.png", photos / "again.png")
    scan(library, photos, QuietContext())
    report = caption()
    assert report.done == 15 and report.failed == ()
    vectors = sorted(library.vectors_dir.glob("*/*.npy"))
    assert sum(len(np.load(path)) for path in vectors) == 14


def test_the_command(library, tiny_bundle, tmp_path):
    """In a fresh process: no torch there either, and the library is not open twice at a time."""
    code = (
        "import sys\nfrom core.cli import main\n"
        "print('status', main(sys.argv[1:]), [n for n in ('torch', 'transformers', 'open_clip') if n in sys.modules])"
    )
    arguments = ["caption", str(library.path.with_suffix("")), "--bundle", str(tiny_bundle), "--candidates", "2",
                 "--json", str(tmp_path / "r.json")]  # fmt: skip

    def run(*more):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments, *more], cwd=ROOT, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.stdout.splitlines()[-1] == "status 0 []", done.stdout + done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["done"] == 14 == len(texts(library))
    with Library.open(library.path, exclusive=True):
        done = run()
    assert done.stdout.splitlines()[-1].startswith("status 2") and "open in another Seedcap" in done.stderr
    done = run("--out", str(tmp_path / "x.jsonl"))
    assert done.stdout.splitlines()[-1].startswith("status 2") and "seedcap export" in done.stderr
