"""Near-duplicates: groups that grow with the library and say the same as comparing everything with everything."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.encoders.search import duplicate_groups
from core.encoders.store import VectorStore
from core.jobs import Cancelled, QuietContext
from core.library import edits, near_duplicates, queries
from core.library.library import Library
from core.library.near_duplicates import (
    group_numbers,
    group_of,
    groups,
    number_of_groups,
    one_of_each,
    update_groups,
)
from core.library.tables import Folder, Image
from tests.core.photos import FakeEncoder, copy_of_library, library_with

ENCODER = "e" * 64
DIM = 160  # more than twice KEPT, so that the bound is used


def _library(folder, vectors: np.ndarray, hashes: list[str] | None = None) -> Library:
    """A library of photos with these vectors; the photo at place n has id n + 1."""
    library = Library.create(folder)
    hashes = hashes or [f"{number:064x}" for number in range(len(vectors))]
    with library.writing() as session:
        session.add(Folder(id=1, path="/photos", added_at=near_duplicates_now()))
        session.flush()
        for number, content_hash in enumerate(hashes):
            session.add(Image(id=number + 1, folder_id=1, relative_path=f"{number:04d}.jpg", content_hash=content_hash))
    store = VectorStore(library, ENCODER, vectors.shape[1])
    first = {content_hash: number for number, content_hash in reversed(list(enumerate(hashes)))}
    store.append(list(first), vectors[list(first.values())])
    return library


def near_duplicates_now():
    from core.library.columns import now

    return now()


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _some(seed: int, count: int, dim: int = DIM) -> np.ndarray:
    """A few bursts of look-alikes whose cosines lie on both sides of the threshold."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 4), dim))
    noise = rng.normal(size=(count, dim)) * rng.choice([0.05, 0.15, 0.2, 1.0], size=(count, 1))
    return _unit(centres[rng.integers(0, len(centres), count)] + noise)


def _partition(numbers) -> set[frozenset[int]]:
    found: dict[int, set[int]] = {}
    for at, number in enumerate(np.asarray(numbers).tolist()):
        found.setdefault(number, set()).add(at)
    return {frozenset(one) for one in found.values()}


def _set(library: Library, sql: str, *values) -> None:
    with library.writing() as session:
        session.connection().exec_driver_sql(sql, values)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), parts=st.lists(st.integers(1, 25), min_size=1, max_size=4), many=st.booleans())
def test_in_any_portions_the_groups_are_those_of_comparing_everything(tmp_path_factory, seed, parts, many):
    vectors = _some(seed, sum(parts))
    with _library(tmp_path_factory.mktemp("near") / "x", vectors) as library:
        hashes = [f"{number:064x}" for number in range(len(vectors))]
        _set(library, "UPDATE image SET error = 'later'")
        with (
            patch.object(near_duplicates, "_ROWS", 8),
            patch.object(near_duplicates, "_COLUMNS", 16),
            patch.object(near_duplicates, "_MANY", 2 if many else 4096),
        ):
            seen = 0
            for part in parts:
                seen += part
                _set(library, "UPDATE image SET error = NULL WHERE id <= ?", seen)
                assert update_groups(library, ENCODER, DIM, QuietContext()) == part
                found = group_numbers(library, ENCODER, hashes[:seen])
                assert _partition(found) == _partition(duplicate_groups(vectors[:seen]))
                assert all(found[one] == min(np.flatnonzero(found == found[one])) for one in range(seen))
        assert update_groups(library, ENCODER, DIM, QuietContext()) == 0


def test_short_vectors_are_compared_as_they_are(tmp_path):
    vectors = _some(3, 60, dim=12)
    with _library(tmp_path / "x", vectors) as library:
        update_groups(library, ENCODER, 12, QuietContext())
        hashes = [f"{number:064x}" for number in range(60)]
        assert _partition(group_numbers(library, ENCODER, hashes)) == _partition(duplicate_groups(vectors))


@pytest.fixture
def chain(tmp_path):
    """0 is near 1, 1 is near 2, but 0 is not near 2; 3 is far from all; 4 and 5 are copies of one file."""
    angle = np.deg2rad(12)
    plane = np.array([[np.cos(n * angle), np.sin(n * angle)] for n in range(3)])
    vectors = np.zeros((6, DIM), np.float32)
    vectors[:3, :2] = plane
    vectors[3, 2] = vectors[4, 3] = vectors[5, 3] = 1
    hashes = [*(f"{number:064x}" for number in range(5)), f"{4:064x}"]
    with _library(tmp_path / "x", vectors, hashes) as library:
        yield library


def test_groups_are_listed_and_looked_at_as_one(chain):
    update_groups(chain, ENCODER, DIM, QuietContext())
    assert [group.image_ids for group in groups(chain)] == [(1, 2, 3), (5, 6)]
    assert group_of(chain, 2) == near_duplicates.Group((1, 2, 3)) and group_of(chain, 6).image_ids == (5, 6)
    assert group_of(chain, 4) is None and group_of(chain, 99) is None
    assert one_of_each(chain, [6, 4, 3, 1, 5]).tolist() == [6, 4, 3]
    assert one_of_each(chain, queries.image_ids(chain)).tolist() == [1, 4, 5]
    for ids in ([6, 4, 3, 1, 5], [], [4], [1, 2, 3, 4, 5, 6]):
        assert number_of_groups(chain, ids) == len(one_of_each(chain, ids))
    edits.share_caption(chain, edits.add_seed(chain, 2, "a pier"), group_of(chain, 2).image_ids)
    assert len(queries.image_ids(chain, filter="pier")) == 3


def test_a_photo_that_linked_others_and_is_gone_links_them_no_more(chain):
    update_groups(chain, ENCODER, DIM, QuietContext())
    _set(chain, "UPDATE image SET missing_since = '2026-01-01T00:00:00.000+00:00' WHERE id = 2")
    assert update_groups(chain, ENCODER, DIM, QuietContext()) == 2
    assert [group.image_ids for group in groups(chain)] == [(5, 6)]
    _set(chain, "UPDATE image SET missing_since = NULL WHERE id = 2")
    assert update_groups(chain, ENCODER, DIM, QuietContext()) == 1
    assert [group.image_ids for group in groups(chain)] == [(1, 2, 3), (5, 6)]


def test_two_groups_become_one_by_a_photo_between_them(chain):
    _set(chain, "UPDATE vector SET group_id = 7 WHERE content_hash = ?", f"{0:064x}")
    _set(chain, "UPDATE vector SET group_id = 9 WHERE content_hash = ?", f"{2:064x}")
    assert update_groups(chain, ENCODER, DIM, QuietContext()) == 3
    assert groups(chain)[0].image_ids == (1, 2, 3)


def test_a_cut_off_update_is_gone_on_with(tmp_path, monkeypatch):
    vectors = _some(5, 80)
    monkeypatch.setattr(near_duplicates, "_WRITE", 7)
    with _library(tmp_path / "x", vectors) as library:
        assign, calls = near_duplicates._assign, []

        def dies(session, encoder, values):
            calls.append(len(values))
            if len(calls) == 5:
                raise RuntimeError("cut off")
            assign(session, encoder, values)

        monkeypatch.setattr(near_duplicates, "_assign", dies)
        with pytest.raises(RuntimeError):
            update_groups(library, ENCODER, DIM, QuietContext())
        monkeypatch.setattr(near_duplicates, "_assign", assign)
        assert update_groups(library, ENCODER, DIM, QuietContext()) == 80 - 3 * 7
        hashes = [f"{number:064x}" for number in range(80)]
        assert _partition(group_numbers(library, ENCODER, hashes)) == _partition(duplicate_groups(vectors))

        class Stop(QuietContext):
            def check_cancelled(self) -> None:
                raise Cancelled

        _set(library, "UPDATE vector SET group_id = NULL")
        with pytest.raises(Cancelled):
            update_groups(library, ENCODER, DIM, Stop())


def test_ranking_counts_a_group_as_one(tmp_path):
    from core.ranking import rank_library

    with library_with(tmp_path, 4) as library:
        photo = tmp_path / "photos" / "00.png"
        from PIL import Image as Pillow

        with Pillow.open(photo) as opened:
            opened.resize((96, 72)).save(tmp_path / "photos" / "00-large.png")
        from tests.core.photos import look

        look(library, tmp_path / "photos")
        for one in queries.image_ids(library):
            edits.add_seed(library, int(one), f"photo {one}")
        report = rank_library(library, FakeEncoder(), QuietContext())
        assert (report.photos, report.gallery_size) == (5, 4)
        assert [len(group.image_ids) for group in groups(library)] == [2]
        again = copy_of_library(library.path, tmp_path / "copy")
        with again:
            assert [len(group.image_ids) for group in groups(again)] == [2]
