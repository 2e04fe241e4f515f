"""The filter language: what it says, how its mistakes are pointed at, and that SQL means what the evaluator means."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.library import meta, queries
from core.library.filters import compiler
from core.library.filters.evaluator import CaptionFacts, PhotoFacts, matches
from core.library.filters.fields import STATES
from core.library.filters.nodes import And, Author, ByRun, Date, InFolder, Not, Number, Or, State, Words, leaves
from core.library.filters.parser import parse
from core.library.library import Library
from core.library.paging import page, path_query, scored_query
from core.library.tables import Caption, Folder, Gallery, Image, Run, Score

# --- SQL against the evaluator ---

DAY = date(2026, 5, 20)
TEXTS = (
    "a red car", "Red cars on a beach", "a rédcar", "the dog's bone", "100% of it", "红色的汽车", "色红",
    "كَلْب أسود", "हिन्दी गीत", "a \"quoted\" dog", "☕ and tea", "Straße", "car red",
)  # fmt: skip
PATHS = (
    "2024/05/IMG_1.jpg", "2024/red car.png", "top.jpg", "Étés/dog.jpg", "a%b/c_d.jpg", "2025/x/y/z.jpg",
    "caf\udce9.png", "\u212aelvin's.jpg",
)  # fmt: skip
MOMENT = datetime(2026, 5, 20, 12, tzinfo=UTC)
RUNS = ("20260101-a", "20260202-b")

captions = st.builds(
    CaptionFacts,
    text=st.sampled_from(TEXTS),
    author=st.just("run"),
    run_id=st.sampled_from((None, *RUNS)),
    state=st.sampled_from(("candidate", "accepted", "rejected")),
    is_seed=st.booleans(),
    created_at=st.sampled_from([MOMENT + timedelta(days=days) for days in (-400, -20, 0, 1, 12)]),
    score=st.sampled_from((None, -0.1, 0.2, 0.5, 0.9)),
    rank=st.sampled_from((1.0, 2.5, 40.0)),
)


def _sound(caption: CaptionFacts, human: bool) -> CaptionFacts:
    values = dict(vars(caption))
    values["is_seed"] = caption.is_seed and caption.state == "accepted"
    values["rank"] = None if caption.score is None else caption.rank
    if human:
        values |= {"author": "human", "run_id": None}
    return CaptionFacts(**values)


sound_captions = st.builds(_sound, captions, st.booleans())
photos = st.builds(
    PhotoFacts,
    root=st.sampled_from(("/photos/Été 2024", "/home/me")),
    path=st.sampled_from(PATHS),
    captions=st.lists(sound_captions, max_size=3).map(tuple),
    mtime_ns=st.sampled_from([int((MOMENT + timedelta(days=days)).timestamp()) * 10**9 for days in (-400, -20, 0, 9)]),
    changed_at=st.sampled_from((None, MOMENT)),
    failed=st.sampled_from((False, False, False, True)),
    missing=st.sampled_from((False, False, False, True)),
    removed=st.sampled_from((False, False, False, True)),
)
ASKED = (
    *TEXTS, "re", "red car", "car", "IMG", "g_1", "%", "☕", "色", "2024/0", "été", "हि", "كل",
    ".PNG", "kelvin", "n's.j",
)  # fmt: skip
FOLDERS = ("2024", "PHOTOS", "été 2024/2024", "me/a%B", "/2025/x", "z.jpg", "2024/05", "/", "4/2", "Été 2024/1/É")
leaf_texts = st.one_of(
    st.builds(Words, st.sampled_from(ASKED), st.booleans()),
    st.builds(State, st.sampled_from(STATES)),
    st.builds(
        Number,
        st.sampled_from(("score", "rank")),
        st.sampled_from(("<", "<=", ">", ">=", "=")),
        st.sampled_from((-0.05, 0.0, 0.2, 0.4, 0.5, 0.9, 1.0, 2.0, 2.5, 40.0)),
    ),
    st.builds(InFolder, st.sampled_from(FOLDERS)),
    st.builds(Author, st.sampled_from(("human", "run"))),
    st.builds(ByRun, st.sampled_from(("starter", "current", "2026", "20260202", "nosuch"))),
    st.builds(
        lambda field, operator, days: Date(field, operator, *days),
        st.sampled_from(("written", "date")),
        st.sampled_from(("<", "<=", ">", ">=", "=")),
        st.sampled_from(((DAY, DAY), (date(2026, 5, 1), date(2026, 5, 31)), (date(2025, 1, 1), date(2025, 12, 31)))),
    ),
)
trees = st.recursive(
    leaf_texts,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def empty_library(tmp_path_factory):
    with Library.create(tmp_path_factory.mktemp("filters") / "test") as library:
        with library.writing() as session:
            session.add_all(
                Run(id=one, preset="p", config={}, seed=0, status="done", metrics={}, gates=[], created_at=MOMENT)
                for one in RUNS
            )
            session.add(Gallery(id=1, encoder="e", version="v"))
            session.add(Gallery(id=2, encoder="e", version="old"))
            meta.put(session, meta.SHOWN_GALLERY, "1")
        yield library


def _fill(library: Library, facts: list[PhotoFacts], current_run: str | None) -> dict[int, PhotoFacts]:
    """These photos and no others; a path that two of them share is told apart by a folder on top."""
    made: dict[int, PhotoFacts] = {}
    with library.writing() as session:
        for table in (Score, Caption, Image, Folder):
            session.execute(table.__table__.delete())
        meta.put(session, meta.CURRENT_RUN, current_run)
        roots: dict[str, int] = {}
        caption_id = 0
        for number, photo in enumerate(facts, start=1):
            photo = PhotoFacts(**{**vars(photo), "path": f"{number}/{photo.path}"})
            if photo.root not in roots:
                folder = Folder(path=photo.root, added_at=MOMENT)
                session.add(folder)
                session.flush()
                roots[photo.root] = folder.id
            session.add(
                Image(
                    id=number, folder_id=roots[photo.root], relative_path=photo.path, mtime_ns=photo.mtime_ns,
                    changed_at=photo.changed_at, error="broken" if photo.failed else None,
                    missing_since=MOMENT if photo.missing else None,
                    removed_at=MOMENT if photo.removed else None,
                )
            )  # fmt: skip
            session.flush()
            for one in photo.captions:
                caption_id += 1
                session.add(
                    Caption(
                        id=caption_id, image_id=number, text=one.text, author=one.author, run_id=one.run_id,
                        state=one.state, is_seed=one.is_seed, live=True, created_at=one.created_at,
                    )
                )  # fmt: skip
                session.flush()
                values = {"rank": one.rank, "gallery_size": 9}
                if one.score is not None:
                    session.add(Score(gallery_id=1, caption_id=caption_id, clip_s=one.score, **values))
                session.add(Score(gallery_id=2, caption_id=caption_id, clip_s=2.0, rank=7.0, gallery_size=9))
            caption_id += 1  # a caption that is history says nothing
            session.add(
                Caption(
                    id=caption_id, image_id=number, text="gone dog car", author="human", state="accepted",
                    is_seed=True, live=False, created_at=MOMENT,
                )
            )  # fmt: skip
            made[number] = photo
    return made


WAYS = {
    "begin with a set": {"compiler._FETCHED": 0, "compiler._SCANNED": 0},
    "look up in a set": {"compiler._FETCHED": float("inf")},
    "ask each photo": {"compiler.RARE": -1, "compiler._COUNTED": -1},
}


def _go(patch: pytest.MonkeyPatch, way: str) -> None:
    """Make the compiler take one of its ways, which otherwise depends on how many photos there are."""
    for name, value in WAYS[way].items():
        patch.setattr(f"core.library.filters.{name}", value)
    patch.setattr("core.library.paging.RARE", -1 if way == "ask each photo" else 1000)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(photos, min_size=1, max_size=5), trees, st.sampled_from((None, RUNS[0])), st.sampled_from(list(WAYS)))
def test_sql_means_what_the_evaluator_means(empty_library, facts, tree, current, way):
    made = _fill(empty_library, facts, current)
    expected = {one for one, photo in made.items() if matches(tree, photo, current_run=current)}
    assert set(queries.image_ids(empty_library, filter=tree).tolist()) == expected
    with pytest.MonkeyPatch.context() as patch:
        _go(patch, way)
        for sort in ("path", "score", "weakest", "distinctiveness"):
            found: list[int] = []
            cursor = None
            while True:
                some = page(empty_library, tree, sort=sort, after=cursor, limit=2)
                found += some.ids.tolist()
                cursor = some.next
                if cursor is None:
                    break
            assert sorted(found) == sorted(expected), sort  # each once
            whole = queries.image_ids(empty_library, filter=tree, sort=sort)
            assert found == whole.tolist(), sort


# --- speed: which way SQLite goes ---


def _plan(library: Library, text: str, sort: str = "path", *, way: str = "begin with a set") -> str:
    with pytest.MonkeyPatch.context() as patch, library.session() as session:
        _go(patch, way)
        tree = parse(text)
        make = path_query if sort == "path" else scored_query
        query = make(session, tree, None, 200) if sort == "path" else make(session, tree, sort, None, 200)  # type: ignore[arg-type]
        compiled = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}".replace("%", "%%")).all()
        return "\n".join(row[3] for row in rows)


COMMON = (
    "", "dog", "state:accepted", "state:none", "score:<0.5", "rank:>3", "author:me", "written:2026", "date:2024",
    "run:current", "folder:2024", "NOT (dog OR state:seed)",
)  # fmt: skip


@pytest.mark.parametrize("text", COMMON)
def test_a_page_by_path_is_read_from_an_index_in_order(empty_library, text):
    plan = _plan(empty_library, text, way="ask each photo")
    assert plan.startswith("SCAN image USING") and "INDEX ix_image_live" in plan.splitlines()[0]
    assert "TEMP B-TREE" not in plan
    assert "SCAN caption" not in plan and "SCAN score" not in plan


@pytest.mark.parametrize("text", COMMON)
def test_a_page_by_score_walks_through_the_scores_in_order(empty_library, text):
    first, *rest = _plan(empty_library, text, "score", way="ask each photo").splitlines()
    assert first == "SEARCH score USING COVERING INDEX ix_score_clip_s (gallery_id=?)"
    assert not any("SCAN" in line for line in rest)


RARE_ONES = (
    "dog", "state:rejected", "score:>0.9", "rank:1", "author:me", "date:2024", "written:today", "folder:xyz",
)  # fmt: skip


@pytest.mark.parametrize("text", RARE_ONES)
def test_a_rare_condition_is_where_the_search_begins(empty_library, text):
    _fill(empty_library, [PhotoFacts("/r", "x.jpg")], None)
    lines = _plan(empty_library, text).splitlines()
    assert lines[0] == "SEARCH image USING INTEGER PRIMARY KEY (rowid=?)"
    assert not any(line.startswith(("SCAN score", "SCAN image USING INTEGER")) for line in lines)
    scanned = {line.split(" VIRTUAL TABLE")[0] for line in lines if line.startswith("SCAN")}
    indexes = {"dog": {"SCAN caption_fts", "SCAN name_fts"}, "folder:xyz": {"SCAN name_fts"}}
    assert scanned == indexes.get(text, set())  # neither names nor captions are looked through


@pytest.mark.parametrize("text", RARE_ONES)
def test_photos_are_looked_up_in_the_set_of_a_less_rare_condition_in_order(empty_library, text):
    _fill(empty_library, [PhotoFacts("/r", "x.jpg")], None)
    plan = _plan(empty_library, text, way="look up in a set")
    assert plan.startswith("SCAN image USING") and "INDEX ix_image_live" in plan.splitlines()[0]
    assert "TEMP B-TREE FOR ORDER" not in plan
    assert "SCAN image" not in plan.splitlines()[1:]  # no name is looked at but those walked past


def test_of_two_common_words_that_seldom_meet_one_is_collected(empty_library):
    with empty_library.session() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.library.filters.compiler.RARE", 5)
        patch.setattr("core.library.filters.compiler._seen", lambda asked, session, limit: 6)

        def queries_of(photos: int) -> list[str]:
            patch.setattr("core.library.filters.compiler._photos", lambda session: photos)
            return [str(part) for part in compiler.where(parse("dog car"), session).clauses]

        assert sum("MATCH" in part for part in queries_of(7)) == 0  # most photos have both words: the page is full soon
        assert sum("MATCH" in part for part in queries_of(100_000)) == 1


def test_the_next_page_begins_after_the_last(empty_library):
    with empty_library.session() as session:
        from core.library.paging import Cursor

        query = path_query(session, parse(""), Cursor(1, "x.jpg"), 200)
        compiled = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        (row, *_) = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    assert row[3].startswith("SEARCH image USING") and "(folder_id,relative_path)>(?,?)" in row[3]


def test_photos_that_come_between_two_pages_move_nothing(empty_library):
    _fill(empty_library, [PhotoFacts("/r", f"{letter}.jpg") for letter in "bdf"], None)
    first = page(empty_library, limit=2)
    with empty_library.writing() as session:
        root = session.scalar(select(Folder.id))
        session.add(Image(folder_id=root, relative_path="0.jpg"))
        session.add(Image(folder_id=root, relative_path="3/e.jpg"))
    assert first.ids.tolist() == [1, 2] and first.next is not None
    second = page(empty_library, after=first.next, limit=2)
    assert second.ids.tolist() == [5, 3] and second.next is None


def test_the_name_index_follows_every_change(empty_library):
    _fill(empty_library, [PhotoFacts("/r", name) for name in ("red.jpg", "bl\udcfce.jpg", "red too.jpg")], None)

    def found(word: str) -> list[int]:
        """By the index alone: what it says and the names do not have would not be seen otherwise."""
        with empty_library.session() as session:
            (hits,) = (compiler.question(item, compiler.Context(session)) for item in leaves(parse(word)))
            assert set(session.scalars(hits.ids)) == set(session.scalars(hits.probe))
            return sorted(session.scalars(hits.probe))

    assert (found("red"), found("jpg"), found("e.jpg")) == ([1, 3], [1, 2, 3], [2])
    with empty_library.writing() as session:
        connection = session.connection()
        connection.exec_driver_sql("DELETE FROM caption")
        connection.exec_driver_sql("UPDATE image SET relative_path = 'green.jpg' WHERE id = 1")
        connection.exec_driver_sql("UPDATE image SET relative_path = 'red.png', id = 7 WHERE id = 2")
        connection.exec_driver_sql("DELETE FROM image WHERE id = 3")
    assert (found("red"), found("green"), found("jpg"), found("e.jpg")) == ([7], [1], [1], [])
    with empty_library.writing() as session:
        session.connection().exec_driver_sql("INSERT INTO name_fts(name_fts) VALUES ('integrity-check')")
        session.connection().exec_driver_sql("DELETE FROM folder")
    assert found("jpg") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [("ab", "ab.jpg"), ("été", "été.jpg"), ("a" * 500, "a" * 500), ('"a \\"b"', 'a "b.jpg'),
     ("folder:r/1/x", "xy/z.jpg"), ("folder:/r", "z.jpg"), ("folder:q/", "q/z.jpg")],
)  # fmt: skip
def test_names_are_found_with_and_without_the_index(empty_library, text, name):
    _fill(empty_library, [PhotoFacts("/r", name), PhotoFacts("/s", "other.jpg")], None)
    assert queries.image_ids(empty_library, filter=text).tolist() == [1]
    assert page(empty_library, text).ids.tolist() == [1]


def test_the_word_index_follows_every_change(empty_library):
    _fill(empty_library, [PhotoFacts("/r", "x.jpg")], None)
    with empty_library.writing() as session:
        root = session.scalar(select(Image.id))
        session.add(Caption(id=50, image_id=root, text="Überholt", author="human", state="accepted", live=True,
                            created_at=MOMENT))  # fmt: skip

    def found(word: str) -> int:
        return len(queries.image_ids(empty_library, filter=word))

    assert found("uberholt") == 1 and found('"überholt"') == 1 and found("gone") == 0
    with empty_library.writing() as session:
        session.connection().exec_driver_sql("UPDATE caption SET live = 0 WHERE id = 50")
        session.connection().exec_driver_sql("UPDATE caption SET live = 1 WHERE id <> 50")
    assert found("uberholt") == 0 and found("gone") == 1
    with empty_library.writing() as session:
        session.connection().exec_driver_sql("DELETE FROM image")
        index = session.connection().exec_driver_sql("SELECT count(*) FROM caption_fts WHERE caption_fts MATCH 'gone'")
        assert index.scalar() == 0
        session.connection().exec_driver_sql("INSERT INTO caption_fts(caption_fts) VALUES ('integrity-check')")
