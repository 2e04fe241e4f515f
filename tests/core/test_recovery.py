"""Damaged libraries: seen when opened, never overwritten, and what can be read of them is kept."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core.cli import main
from core.errors import UserError
from core.jobs import QuietContext
from core.library import db, edits, integrity, ledger, queries, recovery, recovery_files, runs, scores
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.pagescan import DatabasePages
from core.library.records import ScoreRow
from core.library.relative import stays_inside
from tests.core.photos import library_with
from tests.migrations.marks import marks
from tests.migrations.test_migrations import _thaw

LONG = "a long caption " * 600  # more than a page of 4,096 bytes: SQLite continues it elsewhere
PAGE = 4096


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A library of 60 photos with enough captions for several pages of every kind."""
    with library_with(tmp_path_factory.mktemp("template"), 60) as library:
        for image in range(1, 61):
            edits.add_captions(
                library, {image: [f"caption {n} of {image} " + "x" * 60 for n in range(20)]}, is_seed=True
            )
        edits.add_seed(library, 7, LONG)
        run = runs.create_run(library, "recommended", {"encoder": "starter"})
        runs.set_current_run(library, run.id)
        job = ledger.start_job(library, "caption", {}, range(1, 61))
        made = add_candidates(library, run.id, {1: ["model text"]}, "add", job_id=job)
        scores.write_scores(library, "e" * 64, {made[1][0]: ScoreRow(0.5, 1, 60, 2, 0.1)}, gallery_version="v")
        return library.path


@pytest.fixture
def folder(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "mine.seedcap"))


def texts(folder: Path) -> dict[int, set[str]]:
    with Library.open(folder) as library:
        return {image: {c.text for c in rows} for image, rows in queries.captions_of(library, range(1, 61)).items()}


def pages_of(database: Path, table: str) -> list[int]:
    """The pages of a table or index, the root first, found by walking the tree."""
    with closing(sqlite3.connect(database)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    data, found, waiting = database.read_bytes(), [], [root]
    while waiting:
        number = waiting.pop()
        found.append(number)
        page = data[(number - 1) * PAGE : number * PAGE]
        if page[0] in (2, 5):  # an inner page: its children
            cells = int.from_bytes(page[3:5], "big")
            offsets = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(cells)]
            waiting += [int.from_bytes(page[at : at + 4], "big") for at in offsets]
            waiting.append(int.from_bytes(page[8:12], "big"))
    return found


def spoil(database: Path, page: int, content: bytes = b"\xa5" * PAGE) -> None:
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(content)


def crashed(folder: Path) -> None:
    """As a killed program leaves the lock."""
    (folder / "lock").write_bytes(b"12345")


# -- seen when opened -------------------------------------------------------------------------------------------------


def test_after_a_crash_a_damaged_library_is_refused_with_the_command_that_helps(folder):
    database = folder / "library.db"
    spoil(database, pages_of(database, "caption")[-1])
    before = database.read_bytes()
    crashed(folder)
    with pytest.raises(UserError, match="damaged") as caught:
        Library.open(folder, exclusive=True)
    assert f"seedcap doctor {folder} --recover" in caught.value.next_step
    assert database.read_bytes() == before
    with pytest.raises(UserError, match="damaged"):  # and it is still not in order
        Library.open(folder, exclusive=True)


def test_a_library_that_was_closed_is_not_read_through(folder, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("every page is read")

    monkeypatch.setattr(integrity, "check_pages", forbidden)
    for _ in range(2):
        Library.open(folder, exclusive=True).close()
    crashed(folder)
    with pytest.raises(AssertionError):
        Library.open(folder, exclusive=True)


def test_damage_met_later_is_said_in_words(folder):
    database = folder / "library.db"
    for page in pages_of(database, "caption"):
        spoil(database, page)
    with Library.open(folder) as library, pytest.raises(UserError, match="damaged") as caught:
        queries.captions_of(library, [1])
    assert "doctor" in caught.value.next_step


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE caption SET created_at = 'yesterday'", "a time belongs"),
        ("UPDATE caption SET text = CAST(x'ff' AS TEXT)", "damaged"),
        ("UPDATE run SET config = '{'", "damaged"),
    ],
)
def test_values_that_make_no_sense_are_damage_and_no_crash(folder, statement, error):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute(statement)
    with Library.open(folder) as library, pytest.raises(UserError, match=error):
        queries.captions_of(library, [1])
        runs.runs(library)


# -- getting it back --------------------------------------------------------------------------------------------------


DAMAGED = ("a leaf of captions", "an inner page of captions", "an index", "names", "photos", "edits")


@pytest.mark.parametrize("which", DAMAGED)
def test_everything_that_the_damage_did_not_reach_is_kept(folder, which):
    database = folder / "library.db"
    tables = {"an index": "ix_caption_state_live", "names": "name_fts_data", "photos": "image", "edits": "edit"}
    table = tables.get(which, "caption")
    pages = pages_of(database, table)
    spoil(database, pages[0] if which == "an inner page of captions" else pages[-1])
    damaged, expected = database.read_bytes(), texts_of_template(folder)
    report = recovery.recover(QuietContext(), folder)
    assert report.damaged.read_bytes() == damaged
    kept = texts(folder)
    if which == "a leaf of captions":
        lost = sum(len(expected[image] - kept.get(image, set())) for image in expected)
        assert 0 < lost < 60 and any("'caption' could not be read" in line for line in report.lost)
    else:
        assert kept == expected
    assert all(kept.get(image, set()) <= expected[image] for image in expected)
    with Library.open(folder, exclusive=True) as library:
        edits.add_seed(library, 1, "and on it goes")
        assert runs.current_run(library) is not None
        assert edits.undo(library) == "Write a caption"
        named = [queries.image_ids(library, filter=row.relative_path) for row in queries.images_of(library)]
        assert [one.tolist() for one in named] == [[one] for one in queries.image_ids(library).tolist()]
    assert integrity.examine(folder).problems == ()
    assert db.read_version(folder / "library.db") == db.SCHEMA_VERSION


def texts_of_template(folder: Path) -> dict[int, set[str]]:
    expected = {image: {f"caption {n} of {image} " + "x" * 60 for n in range(20)} for image in range(1, 61)}
    expected[7].add(LONG.strip())
    expected[1].add("model text")
    return expected


def test_where_sqlite_sees_no_database_at_all_the_pages_are_read(folder):
    database = folder / "library.db"
    spoil(database, 1)
    with pytest.raises(UserError, match="damaged"):
        Library.open(folder)
    report = recovery.recover(QuietContext(), folder)
    assert report.kept["image"] == 60
    assert texts(folder) == texts_of_template(folder)


def test_captions_of_a_lost_photo_stay_and_are_listed(folder):
    database = folder / "library.db"
    for page in pages_of(database, "image"):
        spoil(database, page)
    report = recovery.recover(QuietContext(), folder)
    assert report.words is not None and "caption 3 of 12 " in report.words.read_text(encoding="utf-8")
    assert texts(folder) == texts_of_template(folder)
    with Library.open(folder) as library:
        assert queries.counts(library).missing == 60
    assert any("captions belong to photos" in line for line in report.lost)


def test_nothing_readable_leaves_everything_as_it_was(folder):
    database = folder / "library.db"
    database.write_bytes(os.urandom(40 * PAGE))
    before = database.read_bytes()
    with pytest.raises(UserError, match="Nothing in the file could be read"):
        recovery.recover(QuietContext(), folder)
    assert database.read_bytes() == before
    assert not list(folder.glob("library-recovered-*")) and not (folder / recovery_files.NOTE).exists()


_TYPE_AND_DIE = """
import os, sys
from pathlib import Path
from core.library import edits
from core.library.library import Library
library = Library.open(Path(sys.argv[1]), exclusive=True)
edits.add_seed(library, 3, "typed last")
os._exit(9)
"""


def test_what_the_log_holds_is_kept_too(template, tmp_path):
    """Killed before the log was moved into the file, and the file damaged as well."""
    folder = Path(shutil.copytree(template, tmp_path / "mine.seedcap"))
    subprocess.run([sys.executable, "-c", _TYPE_AND_DIE, folder], cwd=Path(__file__).parents[2], check=False)
    assert (folder / "library.db-wal").stat().st_size > 0
    spoil(folder / "library.db", pages_of(template / "library.db", "ix_caption_image_id")[0])
    before = {file.name: file.read_bytes() for file in folder.glob("library.db*") if not file.name.endswith("-shm")}
    assert integrity.examine(folder).problems
    assert before == {name: (folder / name).read_bytes() for name in before}
    report = recovery.recover(QuietContext(), folder)
    assert report.damaged.with_name(report.damaged.name + "-wal").stat().st_size > 0
    assert "typed last" in texts(folder)[3]


def test_a_library_in_use_is_not_recovered(folder):
    with Library.open(folder, exclusive=True), pytest.raises(UserError, match="open in another"):
        recovery.recover(QuietContext(), folder)


def test_a_newer_library_is_not_recovered(folder):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(UserError, match="newer Seedcap"):
        recovery.recover(QuietContext(), folder)


class PowerCut(BaseException):
    """Nothing after this moment happens."""


def test_a_power_cut_while_recovering_leaves_a_library(folder, monkeypatch):
    database = folder / "library.db"
    spoil(database, pages_of(database, "edit")[-1])
    damaged = database.read_bytes()
    moves = []
    original = Path.replace

    for stop_at in range(1, 10):

        def replace(self, target, stop_at=stop_at):
            moves.append(self.name)
            if len(moves) == stop_at:
                raise PowerCut
            return original(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        try:
            recovery.recover(QuietContext(), folder)
            break
        except PowerCut:
            moves.clear()
            whole = not integrity.check_pages(database)
            assert whole or database.read_bytes() == damaged
    else:
        pytest.fail("it never finished")
    assert stop_at >= 3
    monkeypatch.undo()
    assert texts(folder) == texts_of_template(folder)


def test_a_swap_that_was_cut_off_is_finished_by_the_next_opener(folder):
    recovered = folder / "library-recovered-1.db"
    with closing(sqlite3.connect(folder / "library.db")) as source, closing(sqlite3.connect(recovered)) as target:
        source.backup(target)
    (folder / "library.db").write_bytes(b"damaged")
    (folder / "library.db-wal").write_bytes(b"of the damaged one")
    (folder / recovery_files.NOTE).write_text(json.dumps({"recovered": recovered.name}))
    Library.open(folder, exclusive=True).close()
    assert texts(folder) == texts_of_template(folder)
    assert not (folder / recovery_files.NOTE).exists() and not recovered.exists()


@pytest.mark.parametrize("name", ["../../elsewhere.db", "/etc/passwd", "library-recovered-/../../x", 7, None])
def test_the_note_of_a_swap_leads_nowhere_else(folder, tmp_path, name):
    (tmp_path / "elsewhere.db").write_bytes(b"mine")
    (folder / recovery_files.NOTE).write_text(json.dumps({"recovered": name}))
    Library.open(folder, exclusive=True).close()
    assert texts(folder) == texts_of_template(folder)
    assert (tmp_path / "elsewhere.db").read_bytes() == b"mine"


def test_no_room_for_the_copy_is_said_and_nothing_changes(folder, monkeypatch):
    before = (folder / "library.db").read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match="No space left"):
        recovery.recover(QuietContext(), folder)
    assert (folder / "library.db").read_bytes() == before


def test_an_older_library_is_recovered_and_then_brought_up_to_date(tmp_path):
    folder = _thaw(tmp_path, "0001")
    database = folder / "library.db"
    with closing(sqlite3.connect(database)) as connection:
        wanted = {row[0] for row in connection.execute("SELECT text FROM caption WHERE live")}
    spoil(database, pages_of(database, "ix_caption_state_live")[0])
    with pytest.raises(UserError, match="damaged"):
        Library.open(folder)
    recovery.recover(QuietContext(), folder)
    with Library.open(folder, exclusive=True) as library:
        found = queries.captions_of(library, range(1, 10))
        assert {one.text for rows in found.values() for one in rows} == wanted
        assert edits.undo(library) is not None  # the undo log came along
    assert integrity.examine(folder).problems == ()


def test_the_pages_give_what_the_table_gives(folder):
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        wanted = set(connection.execute("SELECT id, text FROM caption"))
    rows = {(number, values[2]) for number, values in DatabasePages(folder / "library.db").rows() if len(values) >= 9}
    assert wanted <= rows


# -- the command ------------------------------------------------------------------------------------------------------


def test_doctor_examines_and_recovers(folder, capsys, tmp_path):
    assert main(["doctor", str(folder.with_suffix(""))]) == 0
    assert "is whole: 60 photos, 1,202 captions" in capsys.readouterr().out
    assert main(["doctor", str(folder), "--recover"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    database = folder / "library.db"
    spoil(database, pages_of(database, "caption")[-1])
    assert main(["doctor", str(folder)]) == 1
    assert f"seedcap doctor {folder} --recover" in capsys.readouterr().out
    result = tmp_path / "r.json"
    assert main(["doctor", str(folder), "--recover", "--json", str(result)]) == 1
    said = capsys.readouterr().out
    report = json.loads(result.read_text())
    assert report["kept"]["image"] == 60 and report["damaged"] in said and report["lost"][0] in said
    assert main(["doctor", str(folder)]) == 0


def test_doctor_says_what_is_no_library(tmp_path, capsys):
    assert main(["doctor", str(tmp_path / "nothing")]) == 2
    assert "no library" in capsys.readouterr().err
    assert main(["doctor", "--recover"]) == 2


# -- databases of strangers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON caption BEGIN UPDATE caption SET text = 'bad'; END",
        "CREATE VIEW v AS SELECT * FROM caption",
        "CREATE VIRTUAL TABLE words USING fts5(x)",
    ],
)
def test_what_only_a_stranger_put_there_is_refused_and_left_behind(folder, statement):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute(statement)
    with pytest.raises(UserError, match="which no Seedcap has put there"):
        Library.open(folder)
    recovery.recover(QuietContext(), folder)
    assert texts(folder) == texts_of_template(folder)


def test_our_own_schema_is_known(tmp_path):
    """Renew ``KNOWN_OBJECTS`` (keeping the old marks) when a migration brings a trigger, view or virtual table."""
    Library.create(tmp_path / "new").close()
    assert set(marks(tmp_path / "new.seedcap" / "library.db").values()) <= integrity.KNOWN_OBJECTS


def test_a_database_without_our_tables_is_damaged(folder):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute("ALTER TABLE caption RENAME COLUMN author TO writer")
    with pytest.raises(UserError, match="the table caption lacks author"):
        Library.open(folder)


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/passwd", "a/../../b", "", ".."])
def test_a_row_that_leads_out_of_its_folder_is_refused_and_left_behind(folder, path):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute("UPDATE image SET relative_path = ? WHERE id = 5", (path,))
    with Library.open(folder) as library, pytest.raises(UserError, match="outside its folder"):
        queries.image_rows(library, [5])
    recovery.recover(QuietContext(), folder)
    with Library.open(folder) as library:
        (row,) = queries.image_rows(library, [5])
        assert row.missing and row.path == Path("/recovered/photo 5")
    assert texts(folder)[5] == texts_of_template(folder)[5]


@pytest.mark.parametrize("path", ["a.png", "a..b/..c.png", "...", "sub/é.jpg", os.fsdecode(b"caf\xe9.png")])
def test_odd_names_are_names(path):
    assert stays_inside(path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_database_that_is_a_link_is_refused(folder, tmp_path):
    elsewhere = (folder / "library.db").rename(tmp_path / "elsewhere.db")
    (folder / "library.db").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"):
        Library.open(folder)
