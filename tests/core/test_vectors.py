"""The vector store, embedding a library, and searching vectors."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.encoders import search
from core.encoders import store as store_module
from core.encoders.embed import embed_library
from core.encoders.store import VectorStore, stored_encoders
from core.errors import UserError
from core.images.preprocess import load_pixels
from core.jobs import Cancelled, QuietContext
from core.library import queries
from core.library.library import Library
from core.library.tables import Vector
from tests.core.photos import FakeEncoder, library_with, look, write_photo

E1, E2 = "1" * 64, "2" * 64


def unit(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def library(tmp_path):
    with Library.create(tmp_path / "test") as library:
        yield library


# -- store ------------------------------------------------------------------------------------------------------------


def test_vectors_come_back_in_any_order_and_exactly(library):
    store = VectorStore(library, E1, 8)
    vectors = unit(5)
    store.append(["a", "b", "c"], vectors[:3])
    store.append(["d", "e"], vectors[3:])
    assert store.missing(["x", "e", "y", "a", "x"]) == ["x", "y"]
    got = VectorStore(library, E1, 8).get(["e", "a", "a", "c"])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, vectors[[4, 0, 0, 2]])
    assert store.get([]).shape == (0, 8)
    with pytest.raises(KeyError, match="'nope'"):
        store.get(["a", "nope", "never"])
    assert len(store) == 5


def test_encoders_do_not_share_vectors(library):
    first, second = VectorStore(library, E1, 8), VectorStore(library, E2, 4)
    first.append(["a"], unit(1))
    assert second.missing(["a"]) == ["a"]
    second.append(["a"], unit(1, 4))
    assert first.get(["a"]).shape == (1, 8) and second.get(["a"]).shape == (1, 4)


def test_a_vector_that_is_there_stays_as_it_is(library):
    store = VectorStore(library, E1, 8)
    store.append(["a"], unit(1))
    store.append(["a", "b"], unit(2, seed=5))
    np.testing.assert_array_equal(store.get(["a", "b"]), [unit(1)[0], unit(2, seed=5)[1]])


@pytest.mark.parametrize(
    "vectors",
    [unit(1), unit(2, 7), unit(2) * 2, np.zeros((2, 8)), np.full((2, 8), np.nan), unit(2)[0]],
    ids=["too few", "too narrow", "not unit", "zero", "nan", "flat"],
)
def test_what_is_no_embedding_is_refused(library, vectors):
    store = VectorStore(library, E1, 8)
    with pytest.raises(ValueError):
        store.append(["a", "b"], vectors)
    assert store.missing(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("moment", ["write", "sync", "rename", "index"])
def test_a_crash_at_any_moment_leaves_a_store_that_works(library, monkeypatch, moment):
    store = VectorStore(library, E1, 8)
    store.append(["a"], unit(1))

    def crash(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "write":
            patch.setattr(np, "save", crash)
        elif moment == "sync":
            patch.setattr(os, "fsync", crash)
        elif moment == "rename":
            patch.setattr(store_module.Path, "replace", crash)
        else:
            patch.setattr(library, "writing", crash)
        with pytest.raises(KeyboardInterrupt):
            store.append(["b"], unit(1, seed=1))
    again = VectorStore(library, E1, 8)
    assert again.missing(["a", "b"]) == ["b"]
    again.append(["b"], unit(1, seed=2))
    np.testing.assert_array_equal(again.get(["b", "a"]), [unit(1, seed=2)[0], unit(1)[0]])


def _damage(path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif how == "fewer rows":
        np.save(path, unit(1))
    elif how == "zeros":
        np.save(path, np.zeros((2, 8), np.float32))
    elif how == "not finite":
        np.save(path, np.full((2, 8), np.nan, np.float32))
    elif how == "a link":
        path.rename(path.parents[3] / "elsewhere.npy")
        path.symlink_to(path.parents[3] / "elsewhere.npy")
    elif how == "a linked folder":
        folder = path.parent.rename(path.parents[3] / "elsewhere")
        path.parent.symlink_to(folder, target_is_directory=True)
    else:
        np.save(path, unit(2).astype(np.float64))


@pytest.mark.parametrize(
    "how", ["gone", "empty", "cut", "pickle", "fewer rows", "other type", "zeros", "not finite", "a link"]
)
def test_a_damaged_shard_is_forgotten_and_embedded_again(library, how):
    store = VectorStore(library, E1, 8)
    store.append(["a", "b"], unit(2))
    store.append(["c"], unit(1, seed=3))
    _damage(library.vectors_dir / E1[:16] / "00000.npy", how)
    again = VectorStore(library, E1, 8)
    assert again.missing(["a", "b", "c"]) == ["a", "b"]
    again.append(["a", "b"], unit(2, seed=9))
    np.testing.assert_array_equal(again.get(["c", "b"]), [unit(1, seed=3)[0], unit(2, seed=9)[1]])


def test_a_folder_of_vectors_that_is_a_link_is_not_followed(library):
    store = VectorStore(library, E1, 8)
    store.append(["a", "b"], unit(2))
    _damage(library.vectors_dir / E1[:16] / "00000.npy", "a linked folder")
    assert VectorStore(library, E1, 8).missing(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("name", ["../../../secret", "/etc", "..", ""])
def test_an_encoder_named_by_a_stranger_leads_nowhere_else(library, name):
    with library.writing() as session:
        session.add(Vector(encoder=name, content_hash="a", shard=0, row=0))
    assert stored_encoders(library) == []
    store = VectorStore(library, name, 8)
    store.append(["b"], unit(1))
    (shard,) = library.path.parent.rglob("*.npy")
    assert shard.parent.parent == library.vectors_dir


def test_a_shard_that_goes_while_it_is_used_is_said_and_made_again(library):
    store = VectorStore(library, E1, 8)
    store.append(["a", "b"], unit(2))
    assert store.missing(["a"]) == []
    _damage(library.vectors_dir / E1[:16] / "00000.npy", "gone")
    with pytest.raises(UserError, match="gone or damaged"):
        store.get(["a"])
    assert store.missing(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "Read-only")])
def test_vectors_that_cannot_be_written_are_said_and_those_there_stay(library, monkeypatch, number, words):
    store = VectorStore(library, E1, 8)
    store.append(["a"], unit(1))

    def fails(file, array, allow_pickle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(np, "save", fails)
    with pytest.raises(UserError, match=words):
        store.append(["b"], unit(1, seed=2))
    assert VectorStore(library, E1, 8).missing(["a", "b"]) == ["b"]
    assert not list(library.vectors_dir.rglob("*.part"))


def test_what_a_crash_left_half_written_is_cleared_after_a_day(library):
    VectorStore(library, E1, 8).append(["a"], unit(1))
    old, fresh = (library.vectors_dir / E1[:16] / name for name in ("old.part", "fresh.part"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    assert VectorStore(library, E1, 8).missing(["a"]) == []
    assert not old.exists() and fresh.exists()


def test_two_writers_never_take_one_file(library):
    stores = [VectorStore(library, E1, 8) for _ in range(4)]

    def write(number: int) -> None:
        for turn in range(5):
            stores[number].append([f"{number}-{turn}"], unit(1, seed=10 * number + turn))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    names = [f"{number}-{turn}" for number in range(4) for turn in range(5)]
    expected = np.concatenate([unit(1, seed=10 * number + turn) for number in range(4) for turn in range(5)])
    np.testing.assert_array_equal(VectorStore(library, E1, 8).get(names), expected)


# -- embedding a library ----------------------------------------------------------------------------------------------


def test_every_content_is_embedded_once(tmp_path):
    with library_with(tmp_path, 5) as library:
        photos = tmp_path / "photos"
        (photos / "copy.png").write_bytes((photos / "00.png").read_bytes())
        look(library, photos)
        encoder = FakeEncoder()
        assert embed_library(library, encoder, QuietContext()).embedded == 5
        assert sum(encoder.batches) == 5
        assert embed_library(library, encoder, QuietContext()).embedded == 0
        write_photo(photos / "new.png", seed=70)
        look(library, photos)
        assert embed_library(library, encoder, QuietContext()).embedded == 1
        rows = queries.images_of(library)
        got = VectorStore(library, encoder.fingerprint, encoder.dim).get([row.content_hash for row in rows])
        direct = encoder.encode_images(np.stack([load_pixels(row.path, encoder.preprocess) for row in rows]))
        np.testing.assert_allclose(got, direct, atol=1e-6)
        assert embed_library(library, FakeEncoder("e" * 64), QuietContext()).embedded == 6


def test_a_photo_that_cannot_be_read_any_more_is_listed_and_the_others_are_embedded(tmp_path):
    with library_with(tmp_path, 4) as library:
        (tmp_path / "photos" / "01.png").write_bytes(b"\x89PNG damaged meanwhile \x00")
        (tmp_path / "photos" / "02.png").unlink()
        report = embed_library(library, FakeEncoder(), QuietContext())
        assert report.embedded == 2
        assert [path.name for path, _ in report.failed] == ["01.png", "02.png"]
        assert [row.relative_path for row in queries.failed_images(library)] == ["01.png", "02.png"]
        assert embed_library(library, FakeEncoder(), QuietContext()).failed == ()


def test_a_file_that_changed_after_the_scan_lends_no_vector_to_its_former_content(tmp_path):
    with library_with(tmp_path, 4) as library:
        photos, encoder = tmp_path / "photos", FakeEncoder()
        former = {row.relative_path: row.content_hash for row in queries.images_of(library)}
        write_photo(photos / "01.png", seed=80)
        os.utime(photos / "02.png", ns=(1, 1))  # only touched
        report = embed_library(library, encoder, QuietContext())
        assert report.embedded == 3
        assert [(path.name, "has changed" in reason) for path, reason in report.failed] == [("01.png", True)]
        store = VectorStore(library, encoder.fingerprint, encoder.dim)
        assert store.missing(list(former.values())) == [former["01.png"]]
        look(library, photos)
        assert embed_library(library, encoder, QuietContext()).embedded == 1
        assert queries.failed_images(library) == []
        row = next(row for row in queries.images_of(library) if row.relative_path == "01.png")
        direct = encoder.encode_images(load_pixels(row.path, encoder.preprocess)[None])
        np.testing.assert_allclose(store.get([row.content_hash]), direct, atol=1e-6)


def test_a_file_that_changes_while_it_is_read_is_not_embedded(tmp_path, monkeypatch):
    from core.encoders import embed

    def read_and_change(path, spec):
        pixels = load_pixels(path, spec)
        if path.name == "00.png":
            write_photo(path, seed=81)
        return pixels

    monkeypatch.setattr(embed, "load_pixels", read_and_change)
    with library_with(tmp_path, 2) as library:
        report = embed_library(library, FakeEncoder(), QuietContext())
        assert (report.embedded, [path.name for path, _ in report.failed]) == (1, ["00.png"])


@pytest.mark.parametrize("damaged", [{"00.png"}, {"copy.png"}, {"00.png", "copy.png"}])
def test_of_several_copies_one_that_can_be_read_is_enough_and_those_that_cannot_never_stay_without_a_word(
    tmp_path, damaged
):
    with library_with(tmp_path, 3) as library:
        photos = tmp_path / "photos"
        (photos / "copy.png").write_bytes((photos / "00.png").read_bytes())
        look(library, photos)
        for name in damaged:
            (photos / name).write_bytes(b"\x89PNG damaged meanwhile \x00")
        encoder = FakeEncoder()
        report = embed_library(library, encoder, QuietContext())
        assert report.embedded == (2 if len(damaged) == 2 else 3)
        assert {path.name for path, _ in report.failed} <= damaged
        usable = [content_hash for _, content_hash in queries.contents(library)]
        assert VectorStore(library, encoder.fingerprint, encoder.dim).missing(usable) == []


def test_cancelling_keeps_what_was_embedded_and_leaves_no_thread(tmp_path, monkeypatch):
    from core.encoders import embed

    monkeypatch.setattr(embed, "_BATCH", 2)

    class CancelSecond(QuietContext):
        asked = 0

        def check_cancelled(self):
            self.asked += 1
            if self.asked > 2:
                raise Cancelled

    with library_with(tmp_path, 9) as library:
        before = threading.active_count()
        with pytest.raises(Cancelled):
            embed_library(library, FakeEncoder(), CancelSecond())
        assert threading.active_count() == before
        assert len(VectorStore(library, "f" * 64, 27)) == 4
        assert embed_library(library, FakeEncoder(), QuietContext()).embedded == 5


def test_an_encoder_that_breaks_is_not_hidden(tmp_path):
    class Breaks(FakeEncoder):
        def encode_images(self, pixels):
            raise RuntimeError("shapes do not fit")

    with library_with(tmp_path, 3) as library, pytest.raises(RuntimeError, match="shapes do not fit"):
        embed_library(library, Breaks(), QuietContext())


# -- search -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), k=st.integers(0, 45), seed=st.integers(0, 99))
def test_top_k_is_the_head_of_the_sorted_list(count, k, seed):
    vectors = np.round(unit(count, 3, seed), 1)  # rounded, so that there are ties
    query = vectors[0]
    indices, cosines = search.top_k(query, vectors, k)
    everything = vectors @ query
    expected = sorted(range(count), key=lambda one: (-everything[one], one))[:k]
    assert indices.tolist() == expected and indices.dtype == np.int64
    np.testing.assert_array_equal(cosines, everything[indices])


@pytest.mark.parametrize("chunk", [1 << 24, 7])
def test_neighbours_leave_out_the_photo_itself_and_its_near_duplicates(monkeypatch, chunk):
    monkeypatch.setattr(search, "_CHUNK_CELLS", chunk)
    vectors = unit(12, 3, 4)
    vectors[5] = vectors[2]  # a copy
    result = search.neighbours(vectors, 11)
    assert result.shape == (12, 11)
    cosines = vectors @ vectors.T
    for row in range(12):
        allowed = [c for c in range(12) if c != row and cosines[row, c] <= 0.97]
        expected = sorted(allowed, key=lambda c: (-cosines[row, c], c))
        assert result[row].tolist() == expected + [-1] * (11 - len(expected))
    assert 5 not in result[2] and 2 not in result[5]


@pytest.mark.parametrize(("count", "k"), [(0, 3), (1, 3), (3, 0)])
def test_neighbours_of_few_photos(count, k):
    result = search.neighbours(unit(count), k)
    assert result.shape == (count, k) and (result == -1).all()


@pytest.mark.parametrize("chunk", [1 << 24, 5])
def test_near_duplicates_form_groups_through_chains(monkeypatch, chunk):
    monkeypatch.setattr(search, "_CHUNK_CELLS", chunk)
    angles = np.deg2rad([0, 90, 10, 20, 91, 180])  # 0-10-20 is a chain, 0 and 20 alone are not near-duplicates
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert search.duplicate_groups(vectors).tolist() == [0, 1, 0, 0, 1, 5]
    assert search.duplicate_groups(vectors[:0]).tolist() == []


def _clusters(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = unit(len(sizes), 16, seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = centres[labels] + 0.05 * rng.normal(size=(len(labels), 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_cover_takes_one_photo_of_each_kind_before_a_second_of_any():
    vectors, labels = _clusters([60, 30, 10, 10])
    picked = search.cover(vectors, 4)
    assert sorted(labels[picked]) == [0, 1, 2, 3]
    assert labels[picked[0]] == 0  # the largest kind first
    assert len(set(search.cover(vectors, 50).tolist())) == 50


def test_cover_goes_on_from_what_is_labelled_and_takes_only_what_is_allowed():
    vectors, labels = _clusters([40, 30, 20])
    labelled = np.flatnonzero(labels == 0)[:3]
    assert sorted(labels[search.cover(vectors, 2, chosen=labelled)]) == [1, 2]
    allowed = labels == 1
    picked = search.cover(vectors, 100, allowed=allowed)
    assert len(picked) == 30 and set(labels[picked]) == {1}
    assert not set(search.cover(vectors, 90, chosen=labelled)) & set(labelled.tolist())


def test_cover_of_a_large_library_is_estimated_on_a_sample(monkeypatch):
    monkeypatch.setattr(search, "_COVER_POOL", 50)
    vectors, labels = _clusters([300, 200, 100])
    assert sorted(labels[search.cover(vectors, 3)]) == [0, 1, 2]
    assert len(search.cover(vectors, 60)) == 60
    assert search.cover(vectors[:0], 3).tolist() == []
