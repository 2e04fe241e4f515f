"""The crash benchmark, short; and that its instruments tell what they should: points, unsynced writes, full disks."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from core.bench import crash
from core.bench.crash_check import Expected, check
from core.bench.crash_work import Place, state_of
from core.bench.crash_work import prepare as prepare_place
from core.bench.fault_points import sqlite_can_be_watched
from core.bench.power_cut import Snapshot, read_journal
from core.jobs import QuietContext
from core.library import edits
from core.library.library import Library

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX thing"),
    pytest.mark.skipif(not sqlite_can_be_watched(), reason="this Python's SQLite is linked in invisibly"),
]


def test_nothing_is_lost_damaged_or_repeated():
    result = crash.run(QuietContext(), crash.CrashRequest(kills=6, seed=1, train=False))
    measures = {one.name: one.value for one in result.measures}
    assert (measures["lost"], measures["damaged"], measures["repeated"]) == (0, 0, 0), result.table()
    assert measures["kills"] == 6 and measures["power_cuts"] == 3
    assert measures["fault_points"] > 200


def in_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own: what watches its writes cannot be taken away again."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


WRITE_ROWS = """
import sqlite3, sys
from pathlib import Path
from core.bench.fault_points import FaultPoints
folder, stop_at, synchronous = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
points = FaultPoints(stop_at=stop_at or None, journal=folder / "journal")
points.install()
connection = sqlite3.connect(folder / "db" / "x.db", isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute(f"PRAGMA synchronous={synchronous}")
connection.execute("CREATE TABLE t (a)")
for number in range(20):
    connection.execute("INSERT INTO t VALUES (?)", (number,))
    print(number, flush=True)
print("points", points.count)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.parametrize(("synchronous", "safe"), [("FULL", True), ("OFF", False)])
def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path, synchronous, safe):
    (tmp_path / "db").mkdir()
    done = in_process(WRITE_ROWS, tmp_path, 0, synchronous)
    assert done.returncode == 0, done.stderr
    journal = read_journal(tmp_path / "journal")
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "db", kept)
    lost = 0
    for seed in range(10):
        shutil.rmtree(tmp_path / "db")
        shutil.copytree(kept, tmp_path / "db")
        Snapshot([], tmp_path / "shadow").cut_power(journal, random.Random(seed))
        (tmp_path / "db" / "x.db-shm").unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(tmp_path / "db" / "x.db")) as connection:
                rows = [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]
        except sqlite3.DatabaseError:
            rows = []
        assert rows == list(range(len(rows)))
        lost += rows != list(range(20))
    assert (lost == 0) == safe


def test_a_process_ends_at_the_point_that_was_asked_for(tmp_path):
    (tmp_path / "db").mkdir()
    whole = in_process(WRITE_ROWS, tmp_path, 0, "FULL")
    points = int(whole.stdout.split()[-1])
    assert points > 60  # at least two writes and a sync for each row
    for stop_at in (points // 3, points // 2, points - 2):
        shutil.rmtree(tmp_path / "db")
        (tmp_path / "db").mkdir()
        done = in_process(WRITE_ROWS, tmp_path, stop_at, "FULL")
        assert done.returncode == -signal.SIGKILL
        said = [int(line) for line in done.stdout.split()]
        with closing(sqlite3.connect(tmp_path / "db" / "x.db")) as connection:
            rows = [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]
        assert rows[: len(said)] == said and len(rows) <= len(said) + 1


FILES = """
import os, sys
from pathlib import Path
from core.bench.fault_points import FaultPoints
folder = Path(sys.argv[1]) / "files"
FaultPoints(journal=Path(sys.argv[1]) / "journal").install()
def write(name, text, sync):
    with (folder / name).open("w") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(file.fileno())
write("synced.part", "new", True)
os.replace(folder / "synced.part", folder / "synced")
descriptor = os.open(folder, os.O_RDONLY)
os.fsync(descriptor)
write("loose.part", "new words", False)
os.replace(folder / "loose.part", folder / "loose")
"""


def test_files_and_names_that_were_not_synced_may_be_lost(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("synced", "loose", "untouched"):
        (folder / name).write_text("old")
    snapshot = Snapshot([folder], tmp_path / "shadow")
    assert in_process(FILES, tmp_path).returncode == 0
    journal, after = read_journal(tmp_path / "journal"), tmp_path / "after"
    folder.rename(after)
    seen = set()
    for seed in range(40):
        shutil.rmtree(folder, ignore_errors=True)
        after.rename(folder)  # the very files, since the journal knows them by their numbers
        keep = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
        snapshot.cut_power(journal, random.Random(seed))
        assert (folder / "synced").read_text() == "new" and (folder / "untouched").read_text() == "old"
        seen.add((folder / "loose").read_text() if (folder / "loose").exists() else None)
        if seed == 0:
            assert keep["untouched"][0] == b"old"
        folder.rename(after)
        if (after / "loose").read_text() != "new words":
            break
    assert seen - {"new words"}


EXPORT = """
import sys
from pathlib import Path
from core.bench.fault_points import FaultPoints
from core.exchange.exports import plan_export, write_export
from core.jobs import QuietContext
from core.library.library import Library
out = Path(sys.argv[2])
FaultPoints(journal=out.parent / "journal").install()
with Library.open(Path(sys.argv[1])) as library:
    for format in ("txt", "xmp", "csv"):
        plan = plan_export(library, format, out / format / ("all.csv" if format == "csv" else "deep"))
        assert write_export(plan, QuietContext()).written == len(plan.items)
import os
os._exit(0)
"""


def test_an_export_that_was_acknowledged_survives_a_power_cut(place, tmp_path):
    """New files, in folders that are new as well, and the journal that undoes them."""
    library, out = Path(shutil.copytree(place.library, tmp_path / "a.seedcap")), tmp_path / "out"
    out.mkdir()
    snapshot = Snapshot([out, library], tmp_path / "shadow")
    done = in_process(EXPORT, library, out)
    assert done.returncode == 0, done.stderr
    journal = read_journal(tmp_path / "journal")
    undo = sorted((library / "exports").glob("*/journal.jsonl"))
    before = {path: path.read_bytes() for path in [*undo, *(path for path in out.rglob("*") if path.is_file())]}
    assert len(before) > 20 and len(undo) == 3
    for seed in range(8):
        snapshot.cut_power(journal, random.Random(seed))
        assert {path: path.read_bytes() for path in before if path.exists()} == before


PUT = """
import os, sys
from pathlib import Path
from core.bench.fault_points import FaultPoints
from core.disk import put_folder_in_place
out = Path(sys.argv[1])
FaultPoints(journal=out.parent / "journal").install()
for name in ("first", "second"):  # the second takes the place of the first
    new = out / f".{name}"
    (new / "lm" / "deep").mkdir(parents=True)
    for file in ("a.json", "lm/config.json", "lm/deep/weights"):
        (new / file).write_text(f"{name} {file}")
    put_folder_in_place(new, out / "model")
os._exit(0)
"""


def test_a_folder_that_was_put_in_place_survives_a_power_cut_whole(tmp_path):
    """The names in its folders and the folder's own as well."""
    out = tmp_path / "out"
    out.mkdir()
    snapshot = Snapshot([out], tmp_path / "shadow")
    done = in_process(PUT, out)
    assert done.returncode == 0, done.stderr
    for seed in range(8):
        snapshot.cut_power(read_journal(tmp_path / "journal"), random.Random(seed))
        files = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
        parts = ("a.json", "lm/config.json", "lm/deep/weights")
        assert {f"model/{file}": f"second {file}" for file in parts}.items() <= files.items()


# -- a full disk ------------------------------------------------------------------------------------------------------

FULL = """
import sys
from pathlib import Path
from core.bench.fault_points import FaultPoints
from core.errors import UserError
from core.library import edits
from core.library.library import Library
FaultPoints(full_at=int(sys.argv[2])).install()
typed = 0
try:
    with Library.open(Path(sys.argv[1]), exclusive=True) as library:
        for number in range(12):
            edits.add_seed(library, 1, f"typed {number}")
            typed += 1
except UserError as error:
    print(typed, error)
else:
    print(typed, "all")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("crash") / "work")
    place.root.mkdir()
    prepare_place(place)
    return place


@pytest.mark.parametrize("full_at", [1, 20, 33])
def test_a_disk_that_is_full_from_any_write_on_is_said_and_nothing_is_lost(place, tmp_path, full_at):
    folder = Path(shutil.copytree(place.library, tmp_path / "full.seedcap"))
    done = in_process(FULL, folder, full_at)
    assert done.returncode == 0, done.stderr
    typed, _, sentence = done.stdout.partition(" ")
    assert "disk that holds full is full" in sentence and "Free some space" in sentence
    with Library.open(folder, exclusive=True) as library:
        from core.library.queries import captions_of

        texts = {caption.text for caption in captions_of(library, [1])[1]}
    assert {f"typed {number}" for number in range(int(typed))} <= texts
    assert len(texts) <= int(typed) + 2


# -- what the check sees ----------------------------------------------------------------------------------------------


def test_the_check_sees_what_is_lost_damaged_and_repeated(place, tmp_path):
    mine = Place(tmp_path / "work")
    shutil.copytree(place.root, mine.root)
    expected = Expected()
    with Library.open(mine.library, exclusive=True) as library:
        edits.add_seed(library, 1, "typed")
        said = [{"did": "add", "state": state_of(library, [1]), "undo": "Write a caption", "redo": None}]
    assert check(mine, expected, said) == []
    with closing(sqlite3.connect(mine.library / "library.db")) as connection, connection:
        connection.execute("UPDATE caption SET live = 0 WHERE text = 'typed'")
        connection.execute(
            "INSERT INTO caption (image_id, text, author, state, is_seed, live, created_at) "
            "VALUES (2, 'Said 7 twice', 'run', 'candidate', 0, 1, '2026-01-01T00:00:00+00:00')"
        )
    (mine.exports / "a.txt").write_text("torn")
    said = [{"doing": "export", "files": {str(mine.exports / "a.txt"): "0" * 64}}]
    found = check(mine, expected, said)
    assert sorted(one.kind for one in found) == ["damaged", "lost", "repeated"]
    assert check(mine, expected, []) == []  # said once
    (mine.library / "library.db").write_bytes(os.urandom(20_000))
    assert {one.kind for one in check(mine, expected, [])} == {"damaged"}
