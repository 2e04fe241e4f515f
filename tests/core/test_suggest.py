"""What to caption next: coverage, and what the model is unsure of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core import cli
from core.batch import doubts as doubts_module
from core.encoders import find
from core.encoders.find import SuggestRequest, doubt_weights, suggest_job
from core.encoders.search import cover
from core.encoders.store import VectorStore, stored_encoders
from core.jobs import Cancelled, QuietContext
from core.library.library import Library
from core.library.queries import contents
from core.library.runs import current_run
from core.training.job import train_job
from tests.core.test_train_job import library, request

__all__ = ["library"]


def kinds(sizes, seed=0):
    """Unit rows around as many directions as there are sizes, and the direction of each."""
    rng = np.random.default_rng(seed)
    centres = np.eye(8)[: len(sizes)]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rows = centres[owner] + rng.normal(0, 0.05, (len(owner), 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), owner


def test_what_counts_for_more_is_covered_first():
    vectors, owner = kinds([30, 20, 10])
    assert owner[cover(vectors, 3)].tolist() == [0, 1, 2]
    weights = np.choose(owner, [1.0, 1.0, 9.0])
    assert owner[cover(vectors, 3, weights=weights)].tolist() == [2, 0, 1]
    assert cover(vectors, 3, weights=np.full(60, 7.0)).tolist() == cover(vectors, 3).tolist()


def test_photos_are_worth_the_doubts_about_their_like(monkeypatch):
    monkeypatch.setattr(find, "_CELLS", 7)  # some rows at a time
    vectors, owner = kinds([5, 5, 5])
    asked = vectors[[0, 5, 10]]
    weights = doubt_weights(vectors, asked, np.array([0.5, 1.0, 1.5]))
    assert weights == pytest.approx(np.choose(owner, [0.5, 1.0, 1.5]))
    assert doubt_weights(vectors, asked, np.array([0.0, 0.0, 90.0])).max() == 3.0
    assert doubt_weights(vectors, asked, np.zeros(3)).min() == 0.25


def test_the_model_is_asked_once_there_is_one(library, tmp_path, capsys):
    before = suggest_job(QuietContext(), SuggestRequest(library, 4))
    assert len(before.photos) == 4 and before.doubts == () and before.labelled == 10
    train_job(QuietContext(), request(library, stages="1"))
    asked = suggest_job(QuietContext(), SuggestRequest(library, 4))
    assert len(asked.doubts) == 4 and min(asked.doubts) > 0
    plain = suggest_job(QuietContext(), SuggestRequest(library, 4, unsure=False))
    assert plain.photos == before.photos and plain.doubts == ()

    with Library.open(library) as opened:
        run = current_run(opened)
        assert run is not None
        [stored] = stored_encoders(opened)
        store = VectorStore(opened, stored.fingerprint, stored.dim)
        hashes = [content for _, content in contents(opened)]
        found = doubts_module.model_doubts(opened, store.fingerprint, store.get(hashes), QuietContext())
        by_id = {image_id: one for (image_id, _), one in zip(contents(opened), found, strict=True)}
        assert asked.doubts == pytest.approx([by_id[photo.id] for photo in asked.photos], abs=1e-4)
        assert doubts_module.model_doubts(opened, "another", store.get(hashes), QuietContext()) is None

        class Stopped(QuietContext):
            def check_cancelled(self):
                raise Cancelled

        with pytest.raises(Cancelled):
            doubts_module.model_doubts(opened, store.fingerprint, store.get(hashes), Stopped())
        (run.folder / "report.json").unlink()
    assert suggest_job(QuietContext(), SuggestRequest(library, 4)).photos == before.photos, "its files are gone"
    assert cli.main(["suggest", str(library), "-n", "2", "--coverage", "--json", str(tmp_path / "s.json")]) == 0
    assert [one["image_id"] for one in json.loads((tmp_path / "s.json").read_text())["photos"]] == [
        photo.id for photo in before.photos[:2]
    ]


def test_what_is_unsure_comes_first(library, monkeypatch):
    """Of two equal halves the one that the model knows nothing of."""
    plain = suggest_job(QuietContext(), SuggestRequest(library, 1)).photos[0].id

    def unsure_of_others(opened, fingerprint, vectors, ctx):
        [stored] = stored_encoders(opened)
        store = VectorStore(opened, stored.fingerprint, stored.dim)
        likes = store.get([content for image_id, content in contents(opened) if image_id == plain])[0]
        return np.where(vectors @ likes > 0.5, 0.01, 5.0)

    monkeypatch.setattr(find, "model_doubts", unsure_of_others)
    assert suggest_job(QuietContext(), SuggestRequest(library, 1)).photos[0].id != plain
