"""Opening libraries: who may, what is refused, and several at once."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from core.errors import UserError
from core.library import edits, ledger, place, queries, runs
from core.library.candidates import add_candidates
from core.library.library import Library, libraries_dir
from tests.core.photos import library_with, look, photo_folder, write_photo


def test_a_new_library_has_its_folders_and_settings(tmp_path):
    with Library.create(tmp_path / "holiday") as library:
        assert library.path == tmp_path / "holiday.seedcap" and library.name == "holiday"
        for folder in (library.vectors_dir, library.runs_dir, library.bundles_dir):
            assert folder.is_dir()
        with library.session() as session:
            connection = session.connection()
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
            }
        assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 2}
    with Library.open(tmp_path / "holiday") as library:
        assert queries.counts(library).photos == 0


def test_create_refuses_what_is_there(tmp_path):
    Library.create(tmp_path / "a").close()
    with pytest.raises(UserError, match="already a library"):
        Library.create(tmp_path / "a.seedcap")
    (tmp_path / "b.seedcap").mkdir()
    (tmp_path / "b.seedcap" / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        Library.create(tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Library.create(tmp_path / "file" / "c")


def test_open_says_when_there_is_none(tmp_path):
    with pytest.raises(UserError, match="no library"):
        Library.open(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    Library.open_or_create(tmp_path / "a").close()
    Library.open_or_create(tmp_path / "a").close()


@pytest.mark.parametrize(
    "content", [b"this is not a database at all, but long enough to be looked at" * 20, b"SQLite format 3\x00"]
)
def test_a_damaged_database_is_said(tmp_path, content):
    Library.create(tmp_path / "a").close()
    (tmp_path / "a.seedcap" / "library.db").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|not a Seedcap library"):
        Library.open(tmp_path / "a")


def test_another_programs_database_is_left_alone(tmp_path):
    folder = tmp_path / "a.seedcap"
    folder.mkdir()
    with sqlite3.connect(folder / "library.db") as connection:
        connection.execute("CREATE TABLE albums (id INTEGER)")
    connection.close()
    with pytest.raises(UserError, match="not a Seedcap library"):
        Library.open(folder)


def test_a_failed_open_gives_the_lock_back(tmp_path):
    Library.create(tmp_path / "a").close()
    database = tmp_path / "a.seedcap" / "library.db"
    good = database.read_bytes()
    database.write_bytes(b"x" * 5000)
    with pytest.raises(UserError):
        Library.open(tmp_path / "a", exclusive=True)
    database.write_bytes(good)
    Library.open(tmp_path / "a", exclusive=True).close()


def test_one_application_at_a_time_but_its_workers_and_readers_come_in(tmp_path):
    with Library.create(tmp_path / "a", exclusive=True):
        with pytest.raises(UserError, match=rf"open in another Seedcap \(process {os.getpid()}\)"):
            Library.open(tmp_path / "a", exclusive=True)
        with Library.open(tmp_path / "a") as worker:
            assert queries.counts(worker).photos == 0
    Library.open(tmp_path / "a", exclusive=True).close()


_HOLD = """
import sys, time
from pathlib import Path
from core.library.library import Library
library = Library.open(Path(sys.argv[1]), exclusive=True)
print("open", flush=True)
time.sleep(60)
"""


def test_the_lock_holds_between_processes_and_dies_with_its_holder(tmp_path):
    Library.create(tmp_path / "a").close()
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLD), str(tmp_path / "a")],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=rf"process {other.pid}\b"):
            Library.open(tmp_path / "a", exclusive=True)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    Library.open(tmp_path / "a", exclusive=True).close()


def test_what_was_cut_off_is_said_to_be_interrupted_by_the_next_application_only(tmp_path):
    with library_with(tmp_path, 2) as library:
        run = runs.create_run(library, "recommended", {})
        job = ledger.start_job(library, "caption", {}, [1, 2])
        with Library.open(library.path) as worker:
            assert runs.find_run(worker, run.id).status == "running"
        Library.open(library.path, exclusive=True).close()
        assert runs.find_run(library, run.id).status == "interrupted"
        assert ledger.find_job(library, job).state == "interrupted"


def test_for_photos_finds_the_library_that_holds_the_folder(tmp_path):
    photos = photo_folder(tmp_path / "my photos: 2024?", 1)
    (photos / "sub").mkdir()
    with Library.for_photos(photos) as library:
        assert library.path.parent == libraries_dir()
        assert library.name.startswith("my photos")
        look(library, photos)
        path = library.path
    second = photo_folder(tmp_path / "elsewhere", 1)
    with Library.for_photos(photos / "sub") as library:
        assert library.path == path
        look(library, second)
    with Library.for_photos(second) as library:
        assert library.path == path
    with Library.for_photos(tmp_path) as library:
        assert library.path != path
    with pytest.raises(UserError, match="no folder"):
        Library.for_photos(tmp_path / "nowhere")


def test_for_photos_passes_over_a_damaged_library(tmp_path):
    photos = photo_folder(tmp_path / "photos", 1)
    broken = libraries_dir() / "broken.seedcap"
    broken.mkdir(parents=True)
    (broken / "library.db").write_bytes(b"x" * 5000)
    with Library.for_photos(photos) as library:
        assert library.path != broken


def test_a_network_drive_is_warned_about(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nnas:/x /mnt/my\\040nas nfs4 rw 0 0\n/dev/sdb /mnt/my\\040nas/disk xfs rw 0 0\n"
    )
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    assert "network drive" in place.network_warning(Path("/mnt/my nas/photos/a.seedcap"))
    for fine in ("/mnt/my nas/disk/a.seedcap", "/home/me/a.seedcap", "/mnt/my nasty"):
        assert place.network_warning(Path(fine)) is None
    monkeypatch.setattr(place, "_MOUNTS", tmp_path / "not there")
    assert place.network_warning(Path("/mnt/my nas")) is None


def test_two_folders_of_one_name_get_two_libraries(tmp_path):
    first, second = (photo_folder(tmp_path / place / "photos", 1) for place in "ab")
    with Library.for_photos(first) as one, Library.for_photos(second) as two:
        assert one.path != two.path


def test_a_library_in_a_folder_whose_name_is_not_unicode(tmp_path):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    place = tmp_path / os.fsdecode(b"caf\xe9%20?x=1#")
    with Library.create(place / "a", exclusive=True) as library:
        look(library, photo_folder(place / "photos", 1))
    with Library.open(place / "a") as library:
        assert queries.folders(library) == [place / "photos"]


_TYPE = """
import sys
from pathlib import Path
from core.library import edits
from core.library.library import Library
library = Library.open(Path(sys.argv[1]), exclusive=True)
for number in range(100_000):
    caption = edits.add_seed(library, 1, f"caption {number}")
    if number % 3 == 2:
        edits.undo(library)
        print(f"gone {number}", flush=True)
    else:
        print(f"kept {number}", flush=True)
"""


@pytest.mark.parametrize("after", [1, 20])
def test_what_was_typed_survives_a_kill(tmp_path, after):
    with library_with(tmp_path, 1) as library:
        path = library.path
    typing = subprocess.Popen(
        [sys.executable, "-c", _TYPE, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    said = [typing.stdout.readline() for _ in range(after)]
    typing.kill()
    said += typing.stdout.readlines()  # what it still said was done as well
    typing.wait()
    typing.stdout.close()
    with Library.open(path, exclusive=True) as library:
        texts = {caption.text for caption in queries.captions_of(library, [1])[1]}
        kept = {int(line.split()[1]) for line in said if line.startswith("kept") and line.endswith("\n")}
        gone = {int(line.split()[1]) for line in said if line.startswith("gone") and line.endswith("\n")}
        assert {f"caption {number}" for number in kept} <= texts
        assert not {f"caption {number}" for number in gone} & texts
        assert len(texts) <= len(kept) + 1  # at most the step that it was in the middle of
        with library.session() as session:
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        while edits.undo(library):
            pass
        assert queries.captions_of(library, [1]) == {1: []}


# -- several threads and processes ------------------------------------------------------------------------------------


def test_many_threads_read_and_write_at_once(tmp_path):
    with library_with(tmp_path, 4) as library:
        stop = threading.Event()

        def read() -> int:
            rounds = 0
            while not stop.is_set():
                rows = queries.captions_of(library, [1, 2, 3, 4])
                # Both captions of a photo come in one transaction: never one of them alone.
                assert all(len(captions) % 2 == 0 for captions in rows.values())
                rounds += 1
            return rounds

        def write(number: int) -> None:
            for turn in range(10):
                image = 1 + number
                add_candidates(library, None, {image: [f"{number} {turn} a", f"{number} {turn} b"]}, "add")

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            writers = [pool.submit(write, number) for number in range(4)]
            try:
                for writer in writers:
                    writer.result()
            finally:
                stop.set()
            assert all(reader.result() > 0 for reader in readers)
        assert [len(rows) for rows in queries.captions_of(library, [1, 2, 3, 4]).values()] == [20] * 4


def _write_in_process(path: Path, number: int) -> None:
    with Library.open(path) as library:
        for turn in range(15):
            edits.add_seed(library, 1, f"{number} {turn}")


def test_worker_processes_and_the_application_write_without_losing_anything(tmp_path):
    with library_with(tmp_path, 1) as library, Library.open(library.path, exclusive=True) as app:
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=_write_in_process, args=(app.path, number)) for number in range(2)]
        for worker in workers:
            worker.start()
        for turn in range(15):
            edits.add_seed(app, 1, f"app {turn}")
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
            worker.close()
        texts = {caption.text for caption in queries.captions_of(app, [1])[1]}
        assert len(texts) == 45


def test_a_writer_that_began_by_reading_waits_instead_of_failing(tmp_path):
    """With a plain BEGIN the second writer would fail at once: its snapshot is out of date when it comes to write."""
    with library_with(tmp_path, 1) as library:
        started = threading.Event()

        def other() -> None:
            started.wait()
            edits.add_seed(library, 1, "other")

        thread = threading.Thread(target=other)
        thread.start()
        with library.writing() as session:
            session.connection().exec_driver_sql("SELECT count(*) FROM caption").scalar()
            started.set()
            threading.Event().wait(0.05)
            session.connection().exec_driver_sql("UPDATE image SET width = 1")
        thread.join()
        assert len(queries.captions_of(library, [1])[1]) == 1


def test_a_library_busy_for_too_long_is_said_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr("core.library.db.BUSY_TIMEOUT_MS", 50)
    with library_with(tmp_path, 1) as library, library.writing(), pytest.raises(UserError, match="busy"):
        edits.add_seed(library, 1, "x")


def test_a_full_disk_is_said_in_words_and_loses_nothing(tmp_path):
    with library_with(tmp_path, 1) as library:
        edits.add_seed(library, 1, "kept")
        with library.session() as session:
            pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
        full = event.listens_for(library._engine, "begin")(
            lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        )
        with pytest.raises(UserError, match=r"disk .* is full"):
            for number in range(50):
                lines = [f"{number} {line} " + "x" * 5000 for line in range(9)]
                edits.add_captions(library, {1: lines}, is_seed=True)
        event.remove(library._engine, "begin", full)
        assert "kept" in [caption.text for caption in queries.captions_of(library, [1])[1]]


def test_a_mistake_in_the_program_is_not_dressed_up(tmp_path):
    with library_with(tmp_path, 1) as library, pytest.raises(DBAPIError), library.session() as session:
        session.connection().exec_driver_sql("SELECT nonsense FROM nowhere")


# -- queries ----------------------------------------------------------------------------------------------------------


def test_ids_in_numpy_arrays_are_ids(tmp_path):
    with library_with(tmp_path, 3) as library:
        ids = queries.image_ids(library)
        assert ids.dtype == np.int64
        edits.add_seed(library, ids[1], "a kite")
        assert [row.id for row in queries.image_rows(library, ids[::-1])] == [3, 2, 1]
        assert list(queries.captions_of(library, ids)) == [1, 2, 3]
        assert edits.accept(library, np.array([1])) == 0
        job = ledger.start_job(library, "caption", {"n": 1}, ids)
        ledger.finish_item(library, job, ids[0])
        assert ledger.next_items(library, job, 5) == [2, 3]


def test_filters(tmp_path):
    with library_with(tmp_path, 6) as library:
        edits.add_seed(library, 1, "A red_kite flies")
        add_candidates(library, None, {2: ["a red house"], 3: ["100% cotton"], 4: ["wrong"]})
        edits.accept(library, [caption.id for caption in queries.captions_of(library, [2])[2]])
        edits.reject(library, [caption.id for caption in queries.captions_of(library, [4])[4]])

        def ids(**conditions) -> list[int]:
            return queries.image_ids(library, **conditions).tolist()

        assert ids(filter="state:seed") == [1]
        assert ids(filter="state:accepted") == [1, 2]
        assert ids(filter="state:candidate") == [3]
        assert ids(filter="state:rejected") == [4]
        assert ids(has_caption=True) == [1, 2, 3]
        assert ids(has_caption=False) == [4, 5, 6]
        assert ids(text="RED") == [1, 2]
        assert ids(text="red flies") == [1]
        assert ids(text=["a red"]) == [1, 2]
        assert ids(text="100%") == [3] and ids(text=["1%n"]) == []
        assert ids(text="d_k") == [1] and ids(text="r_d") == []
        assert ids(text="05.png") == [6]
        assert ids(text="red", filter="state:accepted", ids=[2, 3]) == [2]
        assert ids(ids=[5, 1, 77, 3], sort="given") == [5, 1, 3]
        assert ids(ids=[]) == []
        counts = queries.counts(library)
        assert (counts.seeds, counts.accepted, counts.candidates, counts.rejected) == (1, 2, 1, 1)
        with pytest.raises(ValueError):
            ids(sort="given")


def test_unlabelled_are_the_photos_without_a_seed_of_their_own_or_of_a_copy(tmp_path):
    with library_with(tmp_path, 3) as library:
        photos = tmp_path / "photos"
        (photos / "copy.png").write_bytes((photos / "00.png").read_bytes())
        look(library, photos)
        assert [one for one, _ in queries.unlabelled(library)] == [1, 2, 3, 4]
        edits.add_seed(library, 1, "a kite")
        assert [one for one, _ in queries.unlabelled(library)] == [2, 3]
        (photos / "01.png").unlink()
        look(library, photos)
        assert [one for one, _ in queries.unlabelled(library)] == [3]


def test_more_ids_than_sqlite_has_variables(tmp_path):
    with library_with(tmp_path, 2) as library:
        many = range(1, 300_000)
        assert len(queries.image_rows(library, many)) == 2
        assert len(queries.captions_of(library, [1, 2, *range(10, 50_000)])) == 49_992


def test_the_questions_of_the_grid_are_answered_by_an_index_alone(tmp_path):
    """SQLite takes a partial index only where the question spells its condition in the very same way."""
    with library_with(tmp_path, 1) as library:
        asked: list[tuple[str, tuple]] = []

        @event.listens_for(library._engine, "before_cursor_execute")
        def note(connection, cursor, statement, parameters, context, many):
            if statement.startswith("SELECT"):
                asked.append((statement, parameters))

        queries.image_ids(library, filter="state:seed", has_caption=True)
        event.remove(library._engine, "before_cursor_execute", note)
        with library.session() as session:
            plans = [
                session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()[0].detail
                for statement, parameters in asked
            ]
        assert "COVERING INDEX ix_image_live" in plans[0]
        assert len(plans) == 3 and all("COVERING INDEX ix_caption_state_live" in plan for plan in plans[1:])


def test_the_library_of_a_renamed_folder_is_found_by_its_photos(tmp_path):
    photos = photo_folder(tmp_path / "photos", 5)
    with Library.for_photos(photos) as library:
        look(library, photos)
        path = library.path
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))  # with the same times, and the original is still there
    with Library.for_photos(copy) as library:
        assert library.path != path
    (tmp_path / "empty").mkdir()
    photos.rename(tmp_path / "renamed")
    for name in ("03.png", "04.png"):
        (tmp_path / "renamed" / name).unlink()
    write_photo(tmp_path / "renamed" / "00.png", seed=70)
    write_photo(tmp_path / "renamed" / "new.png", seed=71)
    for folder, same in (("empty", False), ("renamed", False), ("renamed", True)):
        if same:
            (tmp_path / "renamed" / "new.png").unlink()  # now most are known
        with Library.for_photos(tmp_path / folder) as library:
            assert (library.path == path) == same
            made = library.path
        if not same:
            shutil.rmtree(made)


def test_who_holds_a_library_survives_a_power_cut(tmp_path, monkeypatch):
    """Else the lock's file could come back empty, as after a clean end, and the database would not be looked over."""
    synced: dict[int, bytes] = {}
    fsync = os.fsync
    lock = tmp_path / "a.seedcap" / "lock"

    def seen(number: int) -> None:
        synced[os.fstat(number).st_ino] = lock.read_bytes() if lock.exists() else b""
        fsync(number)

    monkeypatch.setattr(os, "fsync", seen)
    with Library.create(tmp_path / "a", exclusive=True):
        assert synced.get(lock.stat().st_ino) == str(os.getpid()).encode()
        assert os.name == "nt" or lock.parent.stat().st_ino in synced, "and so does the name of the file"
