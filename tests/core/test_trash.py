"""Files moved to the trash: undo, redo and putting back take them along, and nothing is written over."""

from __future__ import annotations

import pytest

from core.library import edits, queries
from core.library.library import Library
from core.library.removing import put_photos_back, remove_photos
from core.library.trash import Trashed, settle, trash_photos
from tests.core.photos import library_with, look, write_photo


class Bin:
    """The trash of a desktop: another name each time, and a note of where each file was."""

    def __init__(self, folder) -> None:
        self.files, self.info = folder / "files", folder / "info"
        self.files.mkdir(parents=True)
        self.info.mkdir()
        self.refused: set[str] = set()
        self._thrown = 0

    def __call__(self, path):
        if path.name in self.refused:
            return None
        self._thrown += 1
        place = self.files / f"{path.stem}.{self._thrown}{path.suffix}"
        (self.info / f"{place.name}.trashinfo").write_text(str(path), "utf-8")
        return path.rename(place)

    def holds(self) -> int:
        assert len(list(self.files.iterdir())) == len(list(self.info.iterdir()))
        return len(list(self.files.iterdir()))


@pytest.fixture
def bin(tmp_path):
    return Bin(tmp_path / "trash")


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 4) as library:
        edits.add_seed(library, 1, "a red kite")
        yield library


def here(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "photos").iterdir())


def shown(library) -> list[int]:
    return queries.image_ids(library).tolist()


def test_undo_and_redo_take_the_files_along_also_after_a_restart(library, tmp_path, bin):
    bytes_before = (tmp_path / "photos" / "00.png").read_bytes()
    assert trash_photos(library, [1, 3], bin) == Trashed(moved=2)
    assert here(tmp_path) == ["01.png", "03.png"] and bin.holds() == 2 and shown(library) == [2, 4]
    look(library, tmp_path / "photos")
    assert queries.counts(library).missing == 0
    path = library.path
    library.close()
    with Library.open(path) as again:
        for _ in range(2):  # each throw gives other names
            assert edits.undo(again) == "Move 2 photos to the trash"
            assert settle(again, bin) == Trashed(back=2)
            assert bin.holds() == 0 and len(here(tmp_path)) == 4
            assert shown(again) == [1, 2, 3, 4], "at once: nobody need look for changes"
            assert [seed.texts for seed in queries.seeds(again)] == [("a red kite",)]
            assert edits.redo(again) == "Move 2 photos to the trash"
            assert settle(again, bin) == Trashed(moved=2)
            assert bin.holds() == 2 and shown(again) == [2, 4]
        assert settle(again, bin) == Trashed(), "all is as the steps say"
        edits.undo(again)
        settle(again, bin)
    assert (tmp_path / "photos" / "00.png").read_bytes() == bytes_before


def test_each_step_has_its_own_files(library, tmp_path, bin):
    trash_photos(library, [1], bin)
    trash_photos(library, [2], bin)
    edits.undo(library)
    assert settle(library, bin) == Trashed(back=1) and here(tmp_path) == ["01.png", "02.png", "03.png"]
    edits.undo(library)
    assert settle(library, bin) == Trashed(back=1) and len(here(tmp_path)) == 4


def test_putting_back_has_the_file_back(library, tmp_path, bin):
    trash_photos(library, [1, 2], bin)
    remove_photos(library, [3])
    put_photos_back(library, [2, 3])
    assert settle(library, bin) == Trashed(back=1)
    assert here(tmp_path) == ["01.png", "02.png", "03.png"] and bin.holds() == 1
    edits.undo(library)
    assert settle(library, bin) == Trashed(moved=1) and bin.holds() == 2
    assert here(tmp_path) == ["02.png", "03.png"], "the one that was only taken out keeps its file"


def test_what_cannot_be_moved_stays_in_the_library_and_is_named(library, tmp_path, bin):
    bin.refused = {"00.png"}
    (tmp_path / "photos" / "02.png").unlink()
    done = trash_photos(library, [1, 2, 3], bin)
    assert done.moved == 1 and len(done.failed) == 2
    assert "00.png" in done.failed[0] and "has no trash" in done.failed[0]
    assert "02.png" in done.failed[1] and "not there" in done.failed[1]
    assert 1 in shown(library) and 2 not in shown(library)
    bin.refused = {"03.png"}
    before = edits.can_undo(library)
    assert trash_photos(library, [4], bin).moved == 0 and edits.can_undo(library) == before, "no step of nothing"


def test_nothing_is_written_over_and_an_emptied_trash_is_told(library, tmp_path, bin):
    trash_photos(library, [1, 2], bin)
    write_photo(tmp_path / "photos" / "00.png", seed=5)
    other = (tmp_path / "photos" / "00.png").read_bytes()
    next(bin.files.glob("01*")).unlink()
    edits.undo(library)
    done = settle(library, bin)
    assert done.back == 0
    assert "00.png stays in the trash: there is another file of that name" in done.failed[0]
    assert done.failed[1] == "01.png is not in the trash any more, or cannot be found there."
    assert (tmp_path / "photos" / "00.png").read_bytes() == other
    assert settle(library, bin) == Trashed(), "it is said once"


def test_a_step_that_cannot_be_kept_moves_nothing(library, tmp_path, bin, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("core.library.trash.perform", full)
        with pytest.raises(OSError, match="No space"):
            trash_photos(library, [1, 2], bin)
    assert len(here(tmp_path)) == 4 and bin.holds() == 0 and shown(library) == [1, 2, 3, 4]
    assert settle(library, bin) == Trashed()
