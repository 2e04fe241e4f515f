"""Files moved to the trash: undo, redo and putting back take them along, and nothing is written over."""

from __future__ import annotations

import pytest

from core.jobs import QuietContext
from core.library import edits, queries, trash
from core.library.leaving import take_out
from core.library.library import Library
from core.library.removing import put_photos_back, remove_photos
from core.library.steps import redo_step, undo_step
from core.library.trash import Trashed, bring_back, follow, places, stragglers, trash_photos
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


def undo(library, bin) -> Trashed:
    return follow(library, undo_step(library), bin)


def redo(library, bin) -> Trashed:
    return follow(library, redo_step(library), bin)


def test_undo_and_redo_take_the_files_along_also_after_a_restart(library, tmp_path, bin):
    bytes_before = (tmp_path / "photos" / "00.png").read_bytes()
    assert trash_photos(library, [1, 3], bin) == Trashed(moved=2)
    assert here(tmp_path) == ["01.png", "03.png"] and bin.holds() == 2 and shown(library) == [2, 4]
    look(library, tmp_path / "photos")
    assert queries.counts(library).missing == 0
    path = library.path
    library.close()
    with Library.open(path) as again:
        assert edits.can_undo(again) == "Move 2 photos to the trash"
        for _ in range(2):  # each throw gives other names
            assert undo(again, bin) == Trashed(back=2)
            assert bin.holds() == 0 and len(here(tmp_path)) == 4
            assert shown(again) == [1, 2, 3, 4], "at once: nobody need look for changes"
            assert [seed.texts for seed in queries.seeds(again)] == [("a red kite",)]
            assert redo(again, bin) == Trashed(moved=2)
            assert bin.holds() == 2 and shown(again) == [2, 4]
        undo(again, bin)
        assert places(again) == {}
    assert (tmp_path / "photos" / "00.png").read_bytes() == bytes_before


def test_each_step_has_its_own_files_and_others_touch_none(library, tmp_path, bin):
    trash_photos(library, [1], bin)
    trash_photos(library, [2], bin)
    edits.add_seed(library, 4, "a boat")
    assert undo(library, bin) == Trashed() and bin.holds() == 2
    assert undo(library, bin) == Trashed(back=1) and here(tmp_path) == ["01.png", "02.png", "03.png"]
    assert undo(library, bin) == Trashed(back=1) and len(here(tmp_path)) == 4


def test_putting_back_has_the_file_back_and_undoing_that_leaves_it_there(library, tmp_path, bin):
    trash_photos(library, [1, 2], bin)
    remove_photos(library, [3])
    put_photos_back(library, [2, 3])
    assert bring_back(library, [2, 3]) == Trashed(back=1)
    assert here(tmp_path) == ["01.png", "02.png", "03.png"] and bin.holds() == 1
    assert undo(library, bin) == Trashed(), "nobody has asked for the trash again"
    assert shown(library) == [4] and len(here(tmp_path)) == 3
    assert redo(library, bin) == Trashed() and shown(library) == [2, 3, 4]


def test_what_cannot_be_moved_stays_and_is_named(library, tmp_path, bin):
    bin.refused = {"00.png"}
    (tmp_path / "photos" / "02.png").unlink()
    write_photo(tmp_path / "photos" / "03.png", seed=77)  # not what the library knows
    done = trash_photos(library, [1, 2, 3, 4], bin)
    assert done.moved == 1 and here(tmp_path) == ["00.png", "03.png"]
    assert [why.split(": ")[1] for why in done.failed] == [
        "its folder has no trash, or may not be written to.",
        "the file is not there.",
        "another file has its name now.",
    ]
    assert shown(library) == [], "out of the library all the same"
    assert undo(library, bin) == Trashed(back=1)
    assert {1, 2, 4} <= set(shown(library))


@pytest.mark.parametrize("scan", [False, True])
def test_another_file_of_the_name_is_never_touched_and_is_a_photo_of_its_own(library, tmp_path, bin, scan):
    trash_photos(library, [1], bin)
    write_photo(tmp_path / "photos" / "00.png", seed=5)
    other = (tmp_path / "photos" / "00.png").read_bytes()
    if scan:
        assert look(library, tmp_path / "photos").added == 1
        assert sorted(shown(library)) == [2, 3, 4, 5] and queries.captions_of(library, [5]).get(5, []) == []
    (said,) = undo(library, bin).failed
    assert said.startswith("00.png stays in the trash: there is another file of that name in ")
    assert bin.holds() == 1 and 1 in places(library), "it can still be had back"
    assert redo(library, bin) == Trashed() and bin.holds() == 1
    assert (tmp_path / "photos" / "00.png").read_bytes() == other
    (tmp_path / "photos" / "00.png").unlink()
    assert undo(library, bin) == Trashed(back=1) and len(here(tmp_path)) == 4
    look(library, tmp_path / "photos")
    assert 1 in shown(library) and not list((tmp_path / "photos").glob(".*"))
    assert [seed.image_id for seed in queries.seeds(library)] == [1]


def test_a_photo_that_was_out_already_keeps_its_file(library, tmp_path, bin):
    remove_photos(library, [1])
    done = trash_photos(library, [1, 2], bin)
    assert done.moved == 1 and "out of the library already" in done.failed[0]
    assert here(tmp_path) == ["00.png", "02.png", "03.png"]
    before = edits.can_undo(library)
    assert trash_photos(library, [1], bin).moved == 0 and edits.can_undo(library) == before, "no step of nothing"
    assert undo(library, bin) == Trashed(back=1) and sorted(shown(library)) == [2, 3, 4]


def test_an_emptied_trash_and_a_file_restored_by_hand(library, tmp_path, bin):
    trash_photos(library, [1, 2, 3], bin)
    next(bin.files.glob("01*")).unlink()
    next(bin.files.glob("02*")).rename(tmp_path / "photos" / "02.png")
    done = undo(library, bin)
    assert done == Trashed(back=2, failed=("01.png is not in the trash any more.",))
    assert queries.counts(library).missing == 1 and places(library) == {}
    write_photo(tmp_path / "photos" / "01.png", seed=9)  # another one, and another step is undone
    redo(library, bin)
    assert (tmp_path / "photos" / "01.png").is_file()


def test_trouble_with_one_file_does_not_keep_the_others(library, tmp_path, bin, monkeypatch):
    def grumbling(path):
        if path.name == "01.png":
            raise PermissionError(13, "Permission denied")
        return bin(path)

    done = trash_photos(library, [1, 2, 3], grumbling)
    assert done == Trashed(moved=2, failed=("01.png could not be moved to the trash: Permission denied.",))
    real = trash.shutil.move

    def stuck(place, origin):
        if origin.name == "00.png":
            raise OSError(5, "Input/output error")
        return real(place, origin)

    with monkeypatch.context() as patch:
        patch.setattr(trash.shutil, "move", stuck)
        assert undo(library, bin) == Trashed(back=1, failed=("00.png stays in the trash: Input/output error.",))
    assert stragglers(library) == [1]
    assert bring_back(library, stragglers(library)) == Trashed(back=1) and stragglers(library) == []


def test_a_folder_that_is_gone_is_not_made_again(library, tmp_path, bin):
    trash_photos(library, [1, 2, 3, 4], bin)
    (tmp_path / "photos").rmdir()
    assert len(undo(library, bin).failed) == 4 and not (tmp_path / "photos").exists()
    (tmp_path / "photos").mkdir()
    assert bring_back(library, stragglers(library)) == Trashed(back=4)


def test_a_folder_taken_out_leaves_what_is_in_the_trash_to_be_had_back(library, tmp_path, bin):
    trash_photos(library, [2], bin)
    kept = tmp_path / "photos"
    write_photo(tmp_path / "other" / "x.png", seed=30)
    look(library, tmp_path / "other")
    (tmp_path / "gone").mkdir()
    for path in kept.iterdir():
        path.rename(tmp_path / "gone" / path.name)
    kept.rmdir()
    take_out(library, kept, QuietContext())
    assert 2 in places(library) and queries.image_rows(library, [2])
    while (step := undo_step(library)) is not None and step.kind != "trash_photos":
        pass
    assert step is not None and "is not there" in follow(library, step, bin).failed[0]
    kept.mkdir()
    assert bring_back(library, [2]) == Trashed(back=1) and here(tmp_path) == ["01.png"]


def test_where_each_file_lies_is_noted_on_the_way(library, tmp_path, bin, monkeypatch):
    monkeypatch.setattr(trash, "_AT_ONCE", 1)

    def dying(path):
        if path.name == "02.png":
            raise KeyboardInterrupt
        return bin(path)

    with pytest.raises(KeyboardInterrupt):
        trash_photos(library, [1, 2, 3], dying)
    assert set(places(library)) == {1, 2} and shown(library) == [4]
    assert undo(library, bin) == Trashed(back=2) and len(here(tmp_path)) == 4
