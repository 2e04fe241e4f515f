"""Which photos a caption fits best: the same order and rank as the scores, near-duplicates as one."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoders import fitting
from core.encoders.fitting import FittingRequest, fitting_job
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import QuietContext
from core.library.candidates import add_candidates
from core.library.near_duplicates import update_groups
from core.library.queries import image_rows
from tests.core.photos import library_with

FINGERPRINT, DIM = "f" * 64, 8


class Reader:
    """Sentences that name a direction of the photos' space: "0.9 1" is nearest to photo 1."""

    fingerprint, dim = FINGERPRINT, DIM

    def encode_texts(self, texts, prompt=True):
        rows = np.zeros((len(texts), DIM), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for at, share in enumerate(text.split()):
                row[at] = float(share)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Six photos, each a direction of its own; the third is a near-duplicate of the second; the last has no vector."""
    monkeypatch.setattr(fitting, "library_encoder", lambda library: Reader())
    with library_with(tmp_path, 6) as made:
        vectors = np.eye(DIM, dtype=np.float32)[:5]
        vectors[2] = vectors[1]
        hashes = [row.content_hash for row in image_rows(made, range(1, 6))]
        VectorStore(made, FINGERPRINT, DIM).append(hashes, vectors)
        update_groups(made, FINGERPRINT, DIM, QuietContext())
        yield made


def ask(library, image_id, text, **changes):
    return fitting_job(QuietContext(), FittingRequest(library.path, image_id, text, **changes))


def test_best_first_and_a_group_shows_the_photo_it_is_about(library):
    text = "0.5 0.9 0.0 0.3"
    assert ask(library, 1, text).caption.image_ids == (2, 1, 4, 5)
    report = ask(library, 3, text, count=2)
    assert report.caption.image_ids == (3, 1), "of the near-duplicates its own photo"
    assert (report.caption.rank, report.caption.gallery) == (1.0, 4)
    assert ask(library, 4, text).caption.rank == 3.0
    assert report.plain is None


def test_the_plain_caption_beside_it(library):
    add_candidates(library, None, {4: ["0.0 0.1 0.0 0.9"]}, "add")
    report = ask(library, 4, "1 0 0 0.5")
    assert report.caption.image_ids[:2] == (1, 4)
    assert report.plain is not None and report.plain.image_ids[:2] == (4, 2) and report.plain.rank == 1.0
    assert ask(library, 4, "0.0 0.1 0.0 0.9").plain is None, "it is the plain one"


def test_a_photo_that_nobody_has_looked_at(library):
    with pytest.raises(UserError, match="not been compared"):
        ask(library, 6, "1")
