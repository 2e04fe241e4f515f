"""Captions files of other programs: reading them, and finding the photos that they name."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.exchange import tables
from core.exchange.captions_file import read_captions
from core.exchange.imports import import_captions
from core.exchange.matching import PhotoNames, Place
from core.library import edits, queries
from core.library.candidates import add_candidates
from core.library.library import Library
from tests.core.photos import captions_by_name, library_with, look, write_file, write_photo


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 4) as library:
        yield library


# -- reading ----------------------------------------------------------------------------------------------------------

_TWO = (("a.jpg", "a kite"), ("a.jpg", "a red kite"), ("b.jpg", "zwei Drachen, grün"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", 'image,caption\na.jpg,a kite\na.jpg,a red kite\nb.jpg,"zwei Drachen, grün"\n'),
        ("c.csv", 'image,caption\r\na.jpg,a kite\r\na.jpg,a red kite\r\n\r\nb.jpg,"zwei Drachen, grün"'),
        ("c.csv", 'n,Image , CAPTION,x\n1,a.jpg,a kite,\n2,a.jpg,a red kite,\n3,b.jpg,"zwei Drachen, grün",\n'),
        ("c.csv", "\ufeffimage;caption\na.jpg;a kite\na.jpg;a red kite\nb.jpg;zwei Drachen, grün\n"),
        ("c.csv", "image,caption\na.jpg,a kite\na.jpg,a red kite\nb.jpg,\"zwei Drachen, grün\"\n".encode("utf-16")),
        ("c.csv", "image;caption\na.jpg;a kite\na.jpg;a red kite\nb.jpg;zwei Drachen, grün\n".encode("cp1252")),
        ("c.tsv", "file_name\ttext\na.jpg\ta kite\na.jpg\ta red kite\nb.jpg\tzwei Drachen, grün\n"),
        ("c.txt", "a.jpg#0\ta kite\na.jpg#1\ta red kite\nb.jpg#0\tzwei Drachen, grün\n"),
        ("c.jsonl", '{"file_name": "a.jpg", "text": "a kite"}\n\n{"file": "a.jpg", "caption": "a red kite"}\n'
                    '{"image": "b.jpg", "caption": "zwei Drachen, grün", "score": 1}\n'),
        ("c.jsonl", '{"file": "a.jpg", "captions": ["a kite", {"text": "a red kite"}]}\n'
                    '{"file": "b.jpg", "caption": "zwei Drachen, gr\\u00fcn"}'),
        ("c.json", json.dumps({
            "images": [{"id": 7, "file_name": "a.jpg"}, {"id": "9", "file_name": "b.jpg"}, {"id": 10}],
            "annotations": [
                {"image_id": 7, "caption": "a kite"}, {"image_id": 7, "caption": "a red kite"},
                {"image_id": 9, "caption": "zwei Drachen, grün"}, {"image_id": 99, "caption": "of no photo"},
            ],
        })),
        ("c.json", json.dumps({"images": [
            {"filename": "a.jpg", "sentences": [{"raw": "a kite"}, {"raw": "a red kite"}]},
            {"filename": "b.jpg", "sentences": [{"raw": "zwei Drachen, grün"}]},
        ]})),
        ("c.json", json.dumps({"a.jpg": ["a kite", "a red kite"], "b.jpg": "zwei Drachen, grün"})),
        ("c.json", json.dumps([{"image": "a.jpg", "caption": "a kite"}, {"image": "a.jpg", "caption": "a red kite"},
                               {"image": "b.jpg", "caption": "zwei Drachen, grün"}])),
    ],
)  # fmt: skip
def test_every_usual_form_says_the_same(tmp_path, name, content):
    assert read_captions(write_file(tmp_path / name, content)).entries == _TWO


def test_text_files_beside_photos(tmp_path):
    write_file(tmp_path / "s" / "a.txt", "\ufeffa kite\n\n  a red kite \n")
    write_file(tmp_path / "s" / "sub" / "b.jpg.txt", "two kites")
    write_file(tmp_path / "s" / "empty.txt", " \n")
    write_file(tmp_path / "s" / "b.jpg", b"\x00")
    found = read_captions(tmp_path / "s")
    assert found.entries == (("a", "a kite"), ("a", "  a red kite "), ("sub/b.jpg", "two kites"))
    assert found.skipped == ("empty.txt: empty",)


def test_lines_that_say_nothing_are_counted_out(tmp_path):
    found = read_captions(write_file(tmp_path / "c.csv", "image,caption\na.jpg,\n,x\na.jpg\nb.jpg,fine\n"))
    assert found.entries == (("b.jpg", "fine"),)
    assert [line.split(":")[0] for line in found.skipped] == ["line 2", "line 3", "line 4"]
    found = read_captions(
        write_file(tmp_path / "c.jsonl", '{"file": "a.jpg", "error": "x"}\n[1]\n{"file": "b", "caption": "y"}')
    )
    assert found.entries == (("b", "y"),) and len(found.skipped) == 2


@pytest.mark.parametrize(
    ("name", "content", "entries", "skipped"),
    [
        ("c.csv", 'image,caption\n1.png,one\n2.png,"a sign\n3.png,three\n4.png,"a\nb"\n',
         [("1.png", "one"), ("3.png", "three"), ("4.png", "a\nb")], ["line 3"]),
        ("c.tsv", '1.png\t"open\n2.png\t"Stop" sign\n3.png\ta 10" screen',
         [("2.png", "Stop sign"), ("3.png", 'a 10" screen')], ["line 1"]),
        ("c.csv", 'sep=;\nimage;caption\n1.png;"open\n2.png;two\n', [("2.png", "two")], ["line 3"]),
        ("c.csv", "image,caption\n1.png,a dog, a cat\n2.png,two,,\n",
         [("1.png", "a dog, a cat"), ("2.png", "two")], []),
        ("c.csv", "1.png;a dog; a cat\n2.png;two\n", [("1.png", "a dog; a cat"), ("2.png", "two")], []),
        ("c.csv", "image,caption,by\n1.png,a dog, a cat,Ann\n2.png,two,Ann,,\n", [("2.png", "two")], ["line 2"]),
        ("c.json", '{"images": [{"id": 1, "file_name": "1.png"}, {"id": 2}], "annotations": ['
         '{"image_id": 1, "caption": "one"}, {"image_id": 7, "caption": "x"}, {"image_id": 1}, 3]}',
         [("1.png", "one")], ["image 2", "annotation 2", "annotation 3", "annotation 4"]),
        ("c.json", '[{"file": "1.png", "caption": "one"}, {"file": "2.png"}, 7]',
         [("1.png", "one")], ["item 2", "item 3"]),
        ("c.json", '{"1.png": "one", "2.png": []}', [("1.png", "one")], ["“2.png”"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_one_place_is_listed_and_costs_nothing_else(tmp_path, name, content, entries, skipped):
    found = read_captions(write_file(tmp_path / name, content))
    assert list(found.entries) == entries
    assert [line.split(":")[0] for line in found.skipped] == skipped and found.skipped_count == len(skipped)


@settings(max_examples=60, deadline=None)
@given(
    captions=st.lists(st.text('ab,;"\n ', max_size=8).map(lambda text: f"x{text}"), min_size=1, max_size=6),
    bad=st.sets(st.integers(0, 6)),
)
def test_a_quote_that_is_never_closed_costs_its_own_line(captions, bad):
    lines = []
    for number, text in enumerate(captions):
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerow([f"{number}.png", text])
        lines += ['bad.png,"open\n'] * (number in bad) + [stream.getvalue()]
    skipped = []
    found = tables.rows("".join(lines), ",", lambda line, why: skipped.append(line))
    assert [row for _, row in found] == [[f"{number}.png", text] for number, text in enumerate(captions)]
    assert len(skipped) == len(bad & set(range(len(captions))))


def test_each_line_of_a_table_is_looked_at_twice_at_most(monkeypatch):
    looked_at = []
    left = tables._left
    monkeypatch.setattr(
        tables, "_left", lambda line, *args, **more: looked_at.append(line) or left(line, *args, **more)
    )
    skipped = []
    assert not list(tables.rows('a","\n' * 500, ",", lambda line, why: skipped.append(line)))
    assert len(skipped) == 500 and len(looked_at) == 999


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("c.csv", "", "empty"),
        ("c.csv", "a,b\n1,2\n", "which column"),
        ("c.csv", b"image,caption\n\x00\x01", "not a text file"),
        ("c.csv", "image,caption\na.jpg," + "x" * 200_000 + "\n", "line 2"),
        ("c.jsonl", '{"file": \n', "line 1"),
        ("c.json", "{", "not JSON"),
        ("c.json", "[" * 100_000, "nested too deeply"),
        ("c.json", "[1, 2]", "No captions"),
        ("c.json", '{"images": [], "annotations": 3}', "No captions"),
        ("c.json", "7", "No captions"),
        ("not-there.csv", None, "no file"),
    ],
)
def test_what_cannot_be_read_is_refused_naming_the_file(tmp_path, name, content, words):
    if content is not None:
        write_file(tmp_path / name, content)
    with pytest.raises(UserError, match=words) as caught:
        read_captions(tmp_path / name)
    assert name in str(caught.value) and caught.value.next_step


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".txt"]),
    content=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='{}[]":,;\t\n\\imagecaptionfl_1é ', max_size=200).map(str.encode),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["images", "annotations", "id", "image_id", "file_name", "caption"]), inner
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_any_content_is_read_or_refused_never_more(tmp_path, suffix, content):
    try:
        for name, text in read_captions(write_file(tmp_path / f"c{suffix}", content)).entries:
            assert name.strip() and text.strip()
    except UserError:
        pass


# -- names ------------------------------------------------------------------------------------------------------------


def test_names_are_matched_from_exact_to_loose(tmp_path):
    photos = tmp_path / "photos"
    names = [
        "a/1.jpg",
        "b/1.jpg",
        "b/2.jpg",
        "Straße.JPG",
        unicodedata.normalize("NFD", "café.png"),
        "c/x.png",
        "c/x.jpg",
    ]
    for number, name in enumerate(names):
        write_photo(photos / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, photos)
        rows = queries.images_of(library)
    finder = PhotoNames(rows)

    def found(name: str) -> list[str]:
        return sorted(row.relative_path for row in rows if row.id in finder.match(name).ids)

    assert found("a/1.jpg") == ["a/1.jpg"]
    assert found("a\\1.jpg") == ["a/1.jpg"]
    assert found("./a/1.jpg") == ["a/1.jpg"]
    assert found(str(photos / "b" / "1.jpg")) == ["b/1.jpg"]
    assert found("1.jpg") == ["a/1.jpg", "b/1.jpg"]
    assert found("elsewhere/2.jpg") == found("C:\\photos\\2.jpg") == found("2") == ["b/2.jpg"]
    assert found("STRASSE.jpg") == ["Straße.JPG"]
    assert found("café.png") == [unicodedata.normalize("NFD", "café.png")]
    assert found("c/x") == ["c/x.jpg", "c/x.png"]
    assert found("c/x.jpg") == ["c/x.jpg"]
    assert found("nothing.jpg") == found("") == []


def test_a_photo_of_another_folder_is_not_taken_for_one_that_is_here(tmp_path):
    write_photo(tmp_path / "photos" / "a" / "1.jpg", seed=1)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        finder = PhotoNames(queries.images_of(library))
    both = finder.resolve(["b/1.jpg", "a/1.jpg"])
    assert (list(both.ids), both.unmatched, both.ambiguous) == (["a/1.jpg"], ("b/1.jpg",), ())
    neither = finder.resolve(["b/1.jpg", "c/1.jpg"])
    assert (neither.ids, neither.unmatched, set(neither.ambiguous)) == ({}, (), {"b/1.jpg", "c/1.jpg"})
    assert list(finder.resolve(["b/1.jpg"]).ids) == ["b/1.jpg"]


@pytest.fixture
def years(tmp_path):
    """Photos 1.png, 2024/1.png, 2023/2.png, and in a second folder other/3.png."""
    for number, name in enumerate(("photos/1.png", "photos/2024/1.png", "photos/2023/2.png", "other/3.png")):
        write_photo(tmp_path / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        look(library, tmp_path / "other")
        yield library


@pytest.mark.parametrize(
    ("place", "names", "meant"),
    [
        ("photos/2024", ["1.png"], ["2024/1.png"]),
        ("photos/2024", ["1"], ["2024/1.png"]),
        ("photos/2024", ["2.png", "3.png"], [None, None]),
        ("photos/2024", ["2023/2.png", "../1.png", "1.PNG"], ["2023/2.png", "1.png", "2024/1.png"]),
        ("photos/2024", ["1.png", "2024/1.png"], ["1.png", "2024/1.png"]),  # an export of the whole library, put here
        ("photos", ["1.png", "2024/1.png", "2.png"], ["1.png", "2024/1.png", "2023/2.png"]),
        ("photos", ["2024/2.png"], [None]),
        ("photos/captions", ["1.png", "2.png", "3.png"], ["1.png", "2023/2.png", "3.png"]),
        ("elsewhere", ["2024/1.png", "./2.png", " 2.png"], ["2024/1.png", "2023/2.png", "2023/2.png"]),
    ],
)
def test_names_are_read_from_where_their_file_lies(tmp_path, years, place, names, meant):
    rows = {row.id: row.relative_path for row in queries.images_of(years)}
    found = PhotoNames(queries.images_of(years)).resolve(names, Place(str(tmp_path / place)))
    assert [rows.get(found.ids.get(name)) for name in names] == meant and not found.ambiguous


def test_a_sidecar_speaks_of_the_photo_beside_it(tmp_path, years):
    texts = {"1.txt": "root", "2024/1.txt": "of 2024", "2024/2.txt": "of a photo that is gone", "2.txt": "gone, too"}
    for name, text in texts.items():
        write_file(tmp_path / "photos" / name, text)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for folder, captions, unmatched in (("photos/2024", 1, {"2"}), ("link", 1, {"2", "2024/2"})):
        report = import_captions(years, tmp_path / folder)
        assert (report.captions, set(report.unmatched), report.ambiguous) == (captions, unmatched, ())
    assert {name: rows[0][0] for name, rows in captions_by_name(years).items()} == {
        "1.png": "root",
        "2024/1.png": "of 2024",
    }
    write_file(tmp_path / "photos" / "2024" / "metadata.jsonl", '{"file_name": "2.png", "text": "not here"}\n')
    with pytest.raises(UserError, match="None of the photos"):
        import_captions(years, tmp_path / "photos" / "2024" / "metadata.jsonl")


# -- importing --------------------------------------------------------------------------------------------------------


def test_imported_seeds_are_one_step_and_imported_once(library, tmp_path):
    edits.add_seed(library, 1, "mine")
    source = write_file(
        tmp_path / "c.csv", "image,caption\n00.png,one\n00.png,mine\n00.png,one\n02.png,two\nzz.png,x\n01,y\n"
    )
    report = import_captions(library, source)
    assert (report.captions, report.present, report.photos) == (3, 2, 3)
    assert (report.unmatched, report.ambiguous, report.skipped) == (("zz.png",), (), ())
    assert captions_by_name(library) == {
        "00.png": [("mine", "accepted", True), ("one", "accepted", True)],
        "01.png": [("y", "accepted", True)],
        "02.png": [("two", "accepted", True)],
    }
    assert import_captions(library, source).captions == 0
    assert edits.undo(library) == "Import captions from c.csv"
    assert captions_by_name(library) == {"00.png": [("mine", "accepted", True)]}


def test_imported_candidates_wait_to_be_looked_at_and_no_job_replaces_them(library, tmp_path):
    import_captions(library, write_file(tmp_path / "c.csv", "image,caption\n00.png,by somebody\n"), "candidate")
    add_candidates(library, None, {1: ["by the model"]}, "replace-model")
    assert captions_by_name(library) == {
        "00.png": [("by somebody", "candidate", False), ("by the model", "candidate", False)]
    }
    with pytest.raises(ValueError):
        import_captions(library, tmp_path / "c.csv", "accepted")


def test_a_file_about_other_photos_is_said(library, tmp_path):
    with pytest.raises(UserError, match="None of the photos"):
        import_captions(library, write_file(tmp_path / "c.csv", "image,caption\nx.jpg,one\n"))
    assert edits.can_undo(library) is None


def test_a_caption_as_long_as_a_file_is_listed_and_the_others_taken(library, tmp_path):
    lines = [json.dumps({"file": "00.png", "caption": text}) for text in ("x" * 20_000, "short")]
    report = import_captions(library, write_file(tmp_path / "c.jsonl", "\n".join(lines)))
    assert report.captions == 1 and "20,000 characters" in report.skipped[0]
