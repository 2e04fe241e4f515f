"""Captions from and for other programs."""

from __future__ import annotations

import csv
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.exchange import files
from core.exchange.captions_file import read_captions
from core.exchange.exports import plan_export, write_export
from core.exchange.imports import import_captions
from core.exchange.matching import PhotoNames, Place
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scores import write_scores
from tests.core.photos import library_with, look, photo_folder, write_photo

WHOLE_FILES = ("txt", "jsonl", "csv", "coco")
"""Formats whose files are all ours; XMP is merged, see test_xmp.py, and photos have their own test_embedded.py."""


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 4) as library:
        yield library


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


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
    assert read_captions(_write(tmp_path / name, content)).entries == _TWO


def test_text_files_beside_photos(tmp_path):
    _write(tmp_path / "s" / "a.txt", "\ufeffa kite\n\n  a red kite \n")
    _write(tmp_path / "s" / "sub" / "b.jpg.txt", "two kites")
    _write(tmp_path / "s" / "empty.txt", " \n")
    _write(tmp_path / "s" / "b.jpg", b"\x00")
    found = read_captions(tmp_path / "s")
    assert found.entries == (("a", "a kite"), ("a", "  a red kite "), ("sub/b.jpg", "two kites"))
    assert found.skipped == ("empty.txt: empty",)


def test_lines_that_say_nothing_are_counted_out(tmp_path):
    found = read_captions(_write(tmp_path / "c.csv", "image,caption\na.jpg,\n,x\na.jpg\nb.jpg,fine\n"))
    assert found.entries == (("b.jpg", "fine"),)
    assert [line.split(":")[0] for line in found.skipped] == ["line 2", "line 3", "line 4"]
    found = read_captions(
        _write(tmp_path / "c.jsonl", '{"file": "a.jpg", "error": "x"}\n[1]\n{"file": "b", "caption": "y"}')
    )
    assert found.entries == (("b", "y"),) and len(found.skipped) == 2


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
        _write(tmp_path / name, content)
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
        for name, text in read_captions(_write(tmp_path / f"c{suffix}", content)).entries:
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
        _write(tmp_path / "photos" / name, text)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for folder, captions, unmatched in (("photos/2024", 1, {"2"}), ("link", 1, {"2", "2024/2"})):
        report = import_captions(years, tmp_path / folder)
        assert (report.captions, set(report.unmatched), report.ambiguous) == (captions, unmatched, ())
    assert {name: rows[0][0] for name, rows in _captions(years).items()} == {"1.png": "root", "2024/1.png": "of 2024"}
    _write(tmp_path / "photos" / "2024" / "metadata.jsonl", '{"file_name": "2.png", "text": "not here"}\n')
    with pytest.raises(UserError, match="None of the photos"):
        import_captions(years, tmp_path / "photos" / "2024" / "metadata.jsonl")


@pytest.mark.parametrize("format", ["csv", "jsonl", "coco"])
def test_a_name_that_begins_with_a_space_is_a_name_of_its_own(tmp_path, format):
    for number, name in enumerate((" a.png", "a.png")):
        write_photo(tmp_path / "photos" / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"text of '{row.relative_path}'")
        expected = _captions(library)
        _export(library, format, tmp_path / "c.json" if format == "coco" else tmp_path / f"c.{format}")
        for _ in expected:
            edits.undo(library)
        import_captions(library, next(tmp_path.glob("c.*")))
        assert _captions(library) == expected
    loose = _write(tmp_path / "loose.csv", "caption, image\none, a.png\ntwo,a.png\n")
    assert [name.strip() for name, _ in read_captions(loose).entries] == ["a.png", "a.png"]


# -- importing --------------------------------------------------------------------------------------------------------


def _captions(library) -> dict[str, list[tuple[str, str, bool]]]:
    rows = {row.id: row.relative_path for row in queries.images_of(library)}
    found = queries.captions_of(library, rows)
    return {rows[one]: [(c.text, c.state, c.is_seed) for c in captions] for one, captions in found.items() if captions}


def test_imported_seeds_are_one_step_and_imported_once(library, tmp_path):
    edits.add_seed(library, 1, "mine")
    source = _write(
        tmp_path / "c.csv", "image,caption\n00.png,one\n00.png,mine\n00.png,one\n02.png,two\nzz.png,x\n01,y\n"
    )
    report = import_captions(library, source)
    assert (report.captions, report.present, report.photos) == (3, 2, 3)
    assert (report.unmatched, report.ambiguous, report.skipped) == (("zz.png",), (), ())
    assert _captions(library) == {
        "00.png": [("mine", "accepted", True), ("one", "accepted", True)],
        "01.png": [("y", "accepted", True)],
        "02.png": [("two", "accepted", True)],
    }
    assert import_captions(library, source).captions == 0
    assert edits.undo(library) == "Import captions from c.csv"
    assert _captions(library) == {"00.png": [("mine", "accepted", True)]}


def test_imported_candidates_wait_to_be_looked_at_and_no_job_replaces_them(library, tmp_path):
    import_captions(library, _write(tmp_path / "c.csv", "image,caption\n00.png,by somebody\n"), "candidate")
    add_candidates(library, None, {1: ["by the model"]}, "replace-model")
    assert _captions(library) == {"00.png": [("by somebody", "candidate", False), ("by the model", "candidate", False)]}
    with pytest.raises(ValueError):
        import_captions(library, tmp_path / "c.csv", "accepted")


def test_a_file_about_other_photos_is_said(library, tmp_path):
    with pytest.raises(UserError, match="None of the photos"):
        import_captions(library, _write(tmp_path / "c.csv", "image,caption\nx.jpg,one\n"))
    assert edits.can_undo(library) is None


def test_a_caption_as_long_as_a_file_is_listed_and_the_others_taken(library, tmp_path):
    lines = [json.dumps({"file": "00.png", "caption": text}) for text in ("x" * 20_000, "short")]
    report = import_captions(library, _write(tmp_path / "c.jsonl", "\n".join(lines)))
    assert report.captions == 1 and "20,000 characters" in report.skipped[0]


# -- exporting --------------------------------------------------------------------------------------------------------


def _label(library) -> None:
    edits.add_seed(library, 1, "a red kite, high up")
    edits.add_seed(library, 1, 'a "kite"\nin the wind ☕')
    (accepted,) = add_candidates(library, None, {2: ["accepted model text"]})[2]
    edits.accept(library, [accepted])
    add_candidates(library, None, {2: ["a candidate beside it"], 3: ["second", "best"]}, "add")
    worse, better = [c.id for c in queries.captions_of(library, [3])[3]]
    scores = {worse: ScoreRow(0.1, 2, 4, None, None), better: ScoreRow(0.6, 1, 4, None, None)}
    write_scores(library, "e", scores, gallery_version="v")


def _export(library, *args, **kwargs):
    return write_export(plan_export(library, *args, **kwargs), QuietContext())


def test_text_files_hold_the_accepted_captions_one_a_line(library, tmp_path):
    _label(library)
    plan = plan_export(library, "txt")
    assert (plan.photos, plan.without) == (2, 2)
    assert not list((tmp_path / "photos").glob("*.txt"))  # a plan writes nothing
    assert {item.action for item in plan.items} == {"create"}
    report = write_export(plan, QuietContext())
    assert (report.written, report.same, report.kept, report.failed) == (2, 0, (), ())
    assert (tmp_path / "photos" / "00.txt").read_text("utf-8") == 'a red kite, high up\na "kite" in the wind ☕\n'
    assert (tmp_path / "photos" / "01.txt").read_text("utf-8") == "accepted model text\n"
    _export(library, "txt", which="best")
    assert (tmp_path / "photos" / "02.txt").read_text("utf-8") == "best\n"
    assert (tmp_path / "photos" / "01.txt").read_text("utf-8") == "accepted model text\n"
    assert not list((tmp_path / "photos").glob(".*"))


@pytest.mark.parametrize("format", [*WHOLE_FILES, "xmp"])
def test_what_is_exported_comes_back_by_importing(library, tmp_path, format):
    _label(library)
    _export(
        library,
        format,
        tmp_path / "out" / ("" if format in ("txt", "xmp") else f"c.{'json' if format == 'coco' else format}"),
    )
    out = next(path for path in (tmp_path / "out").iterdir())
    with Library.create(tmp_path / "second") as second:
        look(second, tmp_path / "photos")
        import_captions(second, out.parent if format in ("txt", "xmp") else out)
        expected = ["a red kite, high up", 'a "kite"\nin the wind ☕']
        if format == "txt":
            expected[1] = 'a "kite" in the wind ☕'  # a line holds one caption
        got = _captions(second)
        assert [text for text, _, _ in got["00.png"]] == expected
        assert [text for text, _, _ in got["01.png"]] == ["accepted model text"]
        assert set(got) == {"00.png", "01.png"}


def test_jsonl_carries_what_other_programs_look_for_and_where_a_text_is_from(library, tmp_path):
    _label(library)
    _export(library, "jsonl", which="best")
    lines = [json.loads(line) for line in (tmp_path / "photos" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert [(line["file_name"], line["text"]) for line in lines] == [
        ("00.png", "a red kite, high up"), ("01.png", "accepted model text"), ("02.png", "best"),
    ]  # fmt: skip
    assert lines[0]["captions"][0] | {"score": None} == {
        "text": "a red kite, high up", "author": "human", "state": "accepted", "seed": True, "run": None, "score": None,
    }  # fmt: skip
    assert lines[2]["captions"][0]["score"] == 0.6


def test_csv_and_coco_hold_every_accepted_caption(library, tmp_path):
    _label(library)
    _export(library, "csv", tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["caption"]) for row in rows] == [
        ("00.png", "a red kite, high up"), ("00.png", 'a "kite"\nin the wind ☕'), ("01.png", "accepted model text"),
    ]  # fmt: skip
    _export(library, "coco", tmp_path / "c.json")
    coco = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert [(image["file_name"], image["width"], image["height"]) for image in coco["images"]] == [
        ("00.png", 48, 36), ("01.png", 48, 36),
    ]  # fmt: skip
    assert {one["image_id"] for one in coco["annotations"]} == {image["id"] for image in coco["images"]}
    assert len({one["id"] for one in coco["annotations"]}) == 3


@pytest.mark.parametrize("format", WHOLE_FILES)
def test_other_words_are_kept_unless_asked(library, tmp_path, format):
    _label(library)
    _export(library, format)
    item = plan_export(library, format).items[0]
    assert item.action == "same"
    item.path.write_text("written by somebody else\n")
    report = _export(library, format)
    assert report.kept == (item.path,) and report.written == 0
    assert item.path.read_text() == "written by somebody else\n"
    plan = plan_export(library, format, overwrite=True)
    assert plan.items[0].action == "replace"
    assert write_export(plan, QuietContext()).written == 1
    assert item.path.read_text("utf-8") == item.content


def test_words_that_appear_between_plan_and_writing_are_kept(library, tmp_path):
    _label(library)
    plan = plan_export(library, "txt", overwrite=True)
    assert {item.action for item in plan.items} == {"create"}
    (tmp_path / "photos" / "00.txt").write_text("just written")
    report = write_export(plan, QuietContext())
    assert report.kept == (tmp_path / "photos" / "00.txt",) and report.written == 1
    assert (tmp_path / "photos" / "00.txt").read_text() == "just written"


def test_line_ends_and_a_byte_order_mark_are_no_other_words(library, tmp_path):
    _label(library)
    (tmp_path / "photos" / "01.txt").write_bytes(b"\xef\xbb\xbfaccepted model text")
    assert [item.action for item in plan_export(library, "txt").items] == ["create", "same"]


def test_photos_that_share_a_stem_keep_their_own_files(tmp_path):
    photos = tmp_path / "photos"
    for number, name in enumerate(["1.png", "1.jpg", "A.webp", "a.gif", "2.png", "sub/1.png"]):
        write_photo(photos / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, photos)
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"text of {row.relative_path}")
        _export(library, "txt", tmp_path / "out")
        files_ = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
        assert files_ == {"1.png.txt", "1.jpg.txt", "A.webp.txt", "a.gif.txt", "2.txt", "sub/1.txt"}
        assert (tmp_path / "out" / "1.jpg.txt").read_text() == "text of 1.jpg\n"
        with Library.create(tmp_path / "second") as second:
            look(second, photos)
            report = import_captions(second, tmp_path / "out")
            assert (report.captions, report.ambiguous) == (6, ())
            assert {name: rows[0][0] for name, rows in _captions(second).items()} == {
                row.relative_path: f"text of {row.relative_path}" for row in queries.images_of(second)
            }


def test_two_folders_of_photos_do_not_mix(tmp_path):
    with Library.create(tmp_path / "test") as library:
        for place in ("a", "b"):
            look(library, photo_folder(tmp_path / place / "photos", 1))
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, str(row.path.parent.parent.name))
        assert _export(library, "txt", tmp_path / "out").written == 2
        texts = {path.read_text().strip() for path in (tmp_path / "out").rglob("*.txt")}
        assert texts == {"a", "b"}
        with pytest.raises(UserError, match="several folders"):
            plan_export(library, "csv")
        _export(library, "jsonl", tmp_path / "all.jsonl")
        names = [json.loads(line)["file_name"] for line in (tmp_path / "all.jsonl").read_text().splitlines()]
        assert names == [str(tmp_path / place / "photos" / "00.png") for place in ("a", "b")]


@pytest.mark.parametrize("format", [*WHOLE_FILES, "xmp"])
def test_a_name_that_is_not_unicode_survives_the_round_trip(tmp_path, format):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    photo = tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")
    write_photo(photo, seed=1)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        edits.add_seed(library, 1, "a café")
        out = tmp_path / "out"
        out.mkdir()
        assert _export(library, format, out).written == 1
        edits.undo(library)
        (made,) = out.iterdir()
        assert import_captions(library, out if format in ("txt", "xmp") else made).captions == 1


def test_a_name_that_is_not_unicode_spoils_no_other_caption_of_a_table(tmp_path):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    texts = {os.fsdecode(b"caf\xe9.png"): "ascii only", "café.png": "a twin", "z.png": "a dog 🙂"}
    for number, name in enumerate(texts):
        write_photo(tmp_path / "photos" / name, seed=number)
    with Library.create(tmp_path / "test") as library:
        look(library, tmp_path / "photos")
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, texts[row.relative_path])
        _export(library, "csv", tmp_path / "c.csv")
        for _ in texts:
            edits.undo(library)
        import_captions(library, tmp_path / "c.csv")
        assert {name: rows[0][0] for name, rows in _captions(library).items()} == texts


def test_nothing_to_export_is_said(library):
    with pytest.raises(UserError, match="accepted caption"):
        plan_export(library, "txt")
    add_candidates(library, None, {1: ["x"]})
    assert plan_export(library, "txt", which="best").photos == 1
    with pytest.raises(UserError, match="format"):
        plan_export(library, "docx")


def test_a_file_that_cannot_be_written_is_listed_and_the_others_are_written(library, tmp_path, monkeypatch):
    _label(library)
    write = files.write_temporary

    def fails_for_one(path, content):
        if path.name == "00.txt":
            raise OSError(30, "Read-only file system")
        return write(path, content)

    monkeypatch.setattr("core.exchange.writing.write_temporary", fails_for_one)
    report = _export(library, "txt")
    assert report.written == 1
    assert [(path.name, "Read-only" in reason) for path, reason in report.failed] == [("00.txt", True)]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch, moment):
    target = _write(tmp_path / "a.txt", "old")

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os if moment == "fsync" else Path, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(target, b"new", durable=True)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_written_files_have_the_usual_rights(tmp_path):
    if os.name == "nt":
        pytest.skip("Windows keeps permissions another way")
    plain = _write(tmp_path / "plain.txt", "x")
    files.write_atomically(tmp_path / "new.txt", b"x", durable=False)
    assert (tmp_path / "new.txt").stat().st_mode == plain.stat().st_mode
    plain.chmod(0o640)
    files.write_atomically(plain, b"y", durable=False)
    assert plain.stat().st_mode & 0o777 == 0o640
