"""The starter's own captions, asked for once beside those of a trained model: what plain ranks are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.batch import bundles, plain
from core.errors import UserError
from core.jobs import QuietContext
from core.library.edits import add_seed
from core.library.queries import captions_of, image_ids, set_current_run
from core.library.runs import create_run, update_run
from core.library.scan import scan
from tests.core.test_batch import write_photos
from tests.core.test_batch_library import caption, library, photos

__all__ = ["caption", "library", "photos"]  # fixtures


def _own_model(library, tiny_bundle, tmp_path) -> Path:
    """A bundle of a finished run, which is the library's current one."""
    run = create_run(library, "recommended", {})
    update_run(library, run.id, status="done")
    set_current_run(library, run.id)
    mine = Path(shutil.copytree(tiny_bundle, tmp_path / "own"))
    manifest = json.loads((mine / "manifest.json").read_text())
    (mine / "manifest.json").write_text(json.dumps({**manifest, "source": run.id}))
    return mine


def test_trained_captions_are_compared_with_the_starters(library, caption, tiny_bundle, tmp_path, monkeypatch):
    """Nobody ever asked the starter for candidates: it is asked once, for itself, and shows nothing to anybody."""
    monkeypatch.setattr(bundles, "starter_folder", lambda: tmp_path / "starter-1")
    opened = []
    monkeypatch.setattr(bundles, "starter_bundle", lambda ctx: opened.append(1) or tiny_bundle)
    mine = _own_model(library, tiny_bundle, tmp_path)
    seeded = image_ids(library)[0]
    add_seed(library, seeded, "what a person wrote")
    caption(bundle=mine)
    rows = captions_of(library, image_ids(library))
    assert all(len(found) == 1 for found in rows.values())
    assert rows[seeded][0].score.plain_rank is not None
    lines = (library.path / "plain" / "starter-1.jsonl").read_text().splitlines()
    assert len(lines) == 14 and opened == [1]
    caption(bundle=mine, existing="replace-model")
    assert opened == [1]  # everything has been said
    with (library.path / "plain" / "starter-1.jsonl").open("a") as file:
        file.write('{"content": "torn')
    write_photos(tmp_path / "photos" / "more", 15)  # one of them is new
    scan(library, tmp_path / "photos", QuietContext())
    caption(bundle=mine)
    said = plain.plain_captions(library)
    assert opened == [1, 1] and set(said) <= set(image_ids(library).tolist()) and len(said) == 29


def test_plain_captions_are_not_written_through_a_link(library, caption, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "starter_folder", lambda: tmp_path / "starter-1")
    monkeypatch.setattr(bundles, "starter_bundle", lambda ctx: tiny_bundle)
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    plain._file(library).parent.mkdir()
    plain._file(library).symlink_to(victim)
    caption(bundle=_own_model(library, tiny_bundle, tmp_path))
    assert victim.read_text() == "mine" and not plain._file(library).is_symlink()


def test_plain_captions_wait_for_a_training_and_a_starter(library, caption, tiny_bundle, tmp_path, monkeypatch):
    def none_here(ctx):
        raise UserError("The starter models are not here.")

    monkeypatch.setattr(bundles, "starter_bundle", none_here)
    assert plain.write_plain_captions(QuietContext(), library) == 0
    report = caption(bundle=_own_model(library, tiny_bundle, tmp_path))
    assert report.done == 14 and not (library.path / "plain").exists()
    assert all(found[0].score.plain_rank is None for found in captions_of(library, image_ids(library)).values())
