"""Photos like one, from the vectors that are there; folders with their numbers of photos, and asking for one."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoders import find
from core.encoders.find import SimilarRequest, similar_job
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import QuietContext
from core.library import queries
from core.library.edits import add_seed
from core.library.library import Library
from core.library.paging import page
from tests.core.photos import look, write_photo

ANGLES = (0.0, 90.0, 20.0, -10.0)


@pytest.fixture
def library(tmp_path):
    """Four photos whose vectors stand at :data:`ANGLES`."""
    for at in range(len(ANGLES)):
        write_photo(tmp_path / "photos" / f"{at}.png", at)
    with Library.create(tmp_path / "lib") as opened:
        look(opened, tmp_path / "photos")
        hashes = [content_hash for _, content_hash in queries.contents(opened)]
        radians = np.radians(ANGLES)
        vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
        VectorStore(opened, "f" * 64, 2).append(hashes, vectors)
        yield opened


def alike(library, image_id, count=20):
    return [hit.image_id for hit in similar_job(QuietContext(), SimilarRequest(library.path, image_id, count)).hits]


def test_the_most_alike_come_first_after_the_photo_itself(library, monkeypatch):
    monkeypatch.setattr(find, "library_encoder", lambda _library: pytest.fail("a model was loaded"))
    ids = queries.image_ids(library).tolist()
    assert alike(library, ids[0]) == [ids[0], ids[3], ids[2], ids[1]]
    assert alike(library, ids[1], 1) == [ids[1], ids[2]]


def test_a_copy_that_stands_before_it_does_not_take_its_place(library, tmp_path):
    (tmp_path / "photos" / "3-copy.png").write_bytes((tmp_path / "photos" / "3.png").read_bytes())
    look(library, tmp_path / "photos")
    ids = {row.path.name: row.id for row in queries.images_of(library)}
    assert alike(library, ids["3.png"], 1) == [ids["3.png"], ids["3-copy.png"]]
    assert alike(library, ids["3-copy.png"], 1) == [ids["3-copy.png"], ids["3.png"]]


def test_a_photo_that_cannot_be_used_is_refused(library):
    with pytest.raises(UserError, match="cannot be compared"):
        alike(library, 999)


def test_folders_have_their_photos_counted(tmp_path):
    root = tmp_path / "photos"
    for at, name in enumerate(("a.png", "2024/b.png", "2024/c.png", "2024/may/d.png", "2024 b/e.png")):
        write_photo(root / name, at)
    with Library.create(tmp_path / "lib") as library:
        look(library, root)
        counts = sorted((inside, number) for _, inside, number in queries.folder_counts(library))
        assert counts == [("", 1), ("2024", 2), ("2024 b", 1), ("2024/may", 1)]
        below = {f"{root.as_posix()}/2024/": 3, f"{root.as_posix()}/2024": 4, "2024/may/": 1, f"{root.as_posix()}/": 5}
        for text, number in below.items():
            asked = f'folder:"{text}"'
            assert len(queries.image_ids(library, filter=asked)) == number, text
            assert len(page(library, asked).ids) == number, text


def test_photos_without_a_caption_are_counted(library):
    ids = queries.image_ids(library).tolist()
    add_seed(library, ids[0], "a dog")
    assert queries.uncaptioned(library) == len(queries.image_ids(library, has_caption=False)) == 3
