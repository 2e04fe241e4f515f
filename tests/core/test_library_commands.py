"""The commands import, export, suggest and search, as a person types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from core.cli import main
from core.encoders import find
from core.errors import UserError
from core.jobs import QuietContext
from core.library import edits, queries, runs
from core.library.library import Library
from core.onnx.bundle import BundleError
from tests.core.photos import FakeEncoder, library_with, photo_folder, write_photo


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", 4)


def _run(tmp_path, *words) -> tuple[int, dict]:
    result = tmp_path / "result.json"
    code = main([*map(str, words), "--json", str(result)])
    return code, json.loads(result.read_text("utf-8")) if result.exists() else {}


def test_import_makes_the_library_and_takes_captions_in(tmp_path, photos, capsys):
    (tmp_path / "c.csv").write_text("image,caption\n00.png,a kite\n01.png,two kites\nother.png,x\n")
    code, data = _run(tmp_path, "import", tmp_path / "lib", photos, "--captions", tmp_path / "c.csv")
    assert code == 0
    assert (data["scan"]["found"], data["captions"]["captions"], data["counts"]["seeds"]) == (4, 2, 2)
    assert data["captions"]["unmatched"] == ["other.png"]
    out = capsys.readouterr().out
    assert "4 photos: 4 new" in out and "2 captions of 2 photos taken in as seeds" in out and "other.png" in out
    code, data = _run(tmp_path, "import", tmp_path / "lib.seedcap", photos)
    assert code == 0 and data["scan"]["added"] == 0 and data["captions"] is None


def test_import_lists_what_could_not_be_used_and_says_so_by_its_exit_status(tmp_path, photos, capsys):
    (photos / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(photos / "one.gif")
    code, data = _run(tmp_path, "import", tmp_path / "lib", photos)
    assert code == 1
    assert {Path(error["path"]).name for error in data["scan"]["errors"]} == {"empty.jpg", "one.gif"}
    out = capsys.readouterr().out
    assert "2 could not be used" in out and "The file is empty." in out and "too small" in out


def test_import_tells_of_photos_that_came_back(tmp_path, photos, capsys):
    _run(tmp_path, "import", tmp_path / "lib", photos)
    away = [(photos / name).rename(tmp_path / name) for name in ("00.png", "01.png", "02.png")]
    assert _run(tmp_path, "import", tmp_path / "lib", photos)[1]["scan"]["missing"] == 3
    assert capsys.readouterr().out.count("3 missing now.") == 1
    for path in away[:2]:
        path.rename(photos / path.name)
    (photos / "another name.png").write_bytes(away[2].read_bytes())
    scanned = _run(tmp_path, "import", tmp_path / "lib", photos)[1]["scan"]
    assert (scanned["returned"], scanned["renamed"], scanned["missing"]) == (2, 1, 0)
    assert "1 renamed or moved, 0 missing now, 2 that were missing are back." in capsys.readouterr().out
    _run(tmp_path, "import", tmp_path / "lib", photos)
    assert "back" not in capsys.readouterr().out


def test_import_candidates(tmp_path, photos):
    (tmp_path / "c.csv").write_text("image,caption\n00.png,a kite\n")
    arguments = ("import", tmp_path / "lib", photos, "--captions", tmp_path / "c.csv", "--as", "candidate")
    assert _run(tmp_path, *arguments)[1]["counts"]["candidates"] == 1


def test_wrong_input_is_exit_status_2_in_words(tmp_path, photos, capsys):
    assert _run(tmp_path, "import", tmp_path / "lib", tmp_path / "nowhere")[0] == 2
    assert _run(tmp_path, "import", tmp_path / "lib", photos, "--captions", tmp_path / "none.csv")[0] == 2
    for command in (("export",), ("suggest",), ("search", "a kite")):
        assert _run(tmp_path, command[0], tmp_path / "no library", *command[1:])[0] == 2
    error = capsys.readouterr().err
    assert "no folder" in error and "no file" in error and error.count("There is no library at") == 3


def test_import_waits_for_nobody_when_the_library_is_open(tmp_path, photos, capsys):
    with Library.create(tmp_path / "lib", exclusive=True):
        assert _run(tmp_path, "import", tmp_path / "lib", photos)[0] == 2
    assert "open in another Seedcap" in capsys.readouterr().err


def test_export_lists_writes_and_keeps(tmp_path, capsys):
    with library_with(tmp_path, 3) as library:
        for image in (1, 2):
            edits.add_seed(library, image, f"caption {image}")
    photos = tmp_path / "photos"
    code, data = _run(tmp_path, "export", library.path, "--format", "txt", "--dry-run")
    assert code == 0 and data["dry_run"] and [one["action"] for one in data["files"]] == ["create", "create"]
    assert "Nothing was written." in capsys.readouterr().out and not list(photos.glob("*.txt"))
    assert _run(tmp_path, "export", library.path)[1]["written"] == 2
    (photos / "00.txt").write_text("mine")
    code, data = _run(tmp_path, "export", library.path)
    assert code == 1 and data["kept"] == [str(photos / "00.txt")] and (photos / "00.txt").read_text() == "mine"
    assert "were kept" in capsys.readouterr().out
    assert _run(tmp_path, "export", library.path, "--overwrite")[0] == 0
    assert (photos / "00.txt").read_text() == "caption 1\n"
    assert _run(tmp_path, "export", library.path, "--format", "coco", "--out", tmp_path / "c.json")[0] == 0
    assert len(json.loads((tmp_path / "c.json").read_text())["annotations"]) == 2


# -- suggest and search -----------------------------------------------------------------------------------------------


class _Words(FakeEncoder):
    """Knows two words; anything else lies between them."""

    def encode_texts(self, texts, prompt=True):
        colours = {"red": (1, -1, -1), "blue": (-1, -1, 1)}
        rows = [np.repeat(colours.get(text, (0, 0, 0.1)), 9) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


@pytest.fixture
def coloured(tmp_path, monkeypatch):
    """A library of 5 reddish and 3 bluish photos, read by an encoder that sees colours."""
    monkeypatch.setattr(find, "library_encoder", lambda library: _Words())
    folder = tmp_path / "coloured"
    folder.mkdir()
    for number in range(8):
        rng = np.random.default_rng(number)
        pixels = np.full((24, 24, 3), 30) + rng.integers(0, 20, (24, 24, 3))
        pixels[..., 0 if number < 5 else 2] += 190
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}-{'red' if number < 5 else 'blue'}.png")
    with Library.create(tmp_path / "colours") as library:
        from tests.core.photos import look

        look(library, folder)
        yield library


def test_search_finds_by_words_best_first(coloured, tmp_path, capsys):
    code, data = _run(tmp_path, "search", coloured.path, "blue", "-n", "4")
    assert code == 0 and data["photos"] == 8
    names = [Path(hit["file"]).name for hit in data["hits"]]
    assert sorted(names[:3]) == ["5-blue.png", "6-blue.png", "7-blue.png"] and "red" in names[3]
    cosines = [hit["cosine"] for hit in data["hits"]]
    assert cosines == sorted(cosines, reverse=True)
    assert capsys.readouterr().out.splitlines()[0].endswith(names[0])


def test_search_lists_photos_that_cannot_be_read_and_finds_the_others(coloured, tmp_path):
    path = queries.images_of(coloured)[0].path
    path.unlink()
    code, data = _run(tmp_path, "search", coloured.path, "red")
    assert code == 1 and len(data["hits"]) == 7 and data["failed"][0][0] == str(path)


def test_search_by_a_filter_lists_photos_with_their_captions(coloured, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(find, "library_encoder", lambda library: pytest.fail("no model is needed"))
    ids = queries.image_ids(coloured)
    edits.add_captions(coloured, {int(one): [f"caption of {one}"] for one in ids[:3]}, is_seed=True)
    code, data = _run(tmp_path, "search", coloured.path, "--filter", "state:seed red", "-n", "2")
    assert (code, data["photos"]) == (0, 3)
    assert [(hit["image_id"], hit["caption"], hit["state"]) for hit in data["hits"]] == [
        (one, f"caption of {one}", "accepted") for one in ids[:2]
    ]
    assert "… and 1 more" in capsys.readouterr().out
    code, data = _run(tmp_path, "search", coloured.path, "--filter", "nosuchword", "--sort", "score")
    assert (code, data["hits"]) == (0, []) and "No photo fits" in capsys.readouterr().out


def test_search_by_words_among_the_photos_of_a_filter(coloured, tmp_path):
    code, data = _run(tmp_path, "search", coloured.path, "blue", "--filter", "red OR 7-blue")
    assert code == 0 and data["photos"] == 6
    assert Path(data["hits"][0]["file"]).name == "7-blue.png"


NO_SENSE = (
    (("   ",), "no words"),
    (("red", "-n", "0"), "at least one"),
    ((), "nothing to search for"),
    (("--filter", "state:done"), "character 1"),
    (("red", "--filter", "("), "condition is expected"),
)


@pytest.mark.parametrize(("words", "expected"), NO_SENSE)
def test_a_search_that_makes_no_sense(coloured, tmp_path, capsys, words, expected):
    assert _run(tmp_path, "search", coloured.path, *words)[0] == 2
    assert expected in capsys.readouterr().err


def test_suggest_names_photos_of_kinds_that_have_no_caption_yet(coloured, tmp_path, monkeypatch, capsys):
    code, data = _run(tmp_path, "suggest", coloured.path, "-n", "2")
    assert code == 0 and data["labelled"] == 0
    kinds = [Path(photo["file"]).stem.split("-")[1] for photo in data["photos"]]
    assert kinds == ["red", "blue"]  # the larger kind first, then the other one
    edits.add_seed(coloured, data["photos"][0]["image_id"], "something red")

    def no_encoder(library):
        raise AssertionError("every photo has a vector already: no model is needed")

    monkeypatch.setattr(find, "library_encoder", no_encoder)
    code, data = _run(tmp_path, "suggest", coloured.path, "-n", "1")
    assert data["labelled"] == 1 and "blue" in data["photos"][0]["file"]
    for image in queries.image_ids(coloured):
        edits.add_seed(coloured, image, "labelled")
    assert _run(tmp_path, "suggest", coloured.path)[1]["photos"] == []
    assert "Every photo has a caption already." in capsys.readouterr().out


def test_suggest_passes_over_copies_of_labelled_photos(coloured, tmp_path):
    from tests.core.photos import look

    first = queries.images_of(coloured)[0]
    (first.path.parent / "copy.png").write_bytes(first.path.read_bytes())
    look(coloured, first.path.parent)
    edits.add_seed(coloured, first.id, "red")
    _, data = _run(tmp_path, "suggest", coloured.path, "-n", "20")
    assert len(data["photos"]) == 7
    assert "copy.png" not in {Path(photo["file"]).name for photo in data["photos"]}


@pytest.mark.parametrize("words", [("search", "red"), ("suggest",)])
def test_photos_that_a_scan_brings_in_meanwhile_are_left_for_the_next_time(tmp_path, coloured, monkeypatch, words):
    from tests.core.photos import look

    real = find.embed_library

    def embed_while_a_scan_runs(library, encoder, ctx):
        report = real(library, encoder, ctx)
        write_photo(queries.folders(library)[0] / "late.png", seed=77)
        look(library, queries.folders(library)[0])
        return report

    monkeypatch.setattr(find, "embed_library", embed_while_a_scan_runs)
    code, data = _run(tmp_path, words[0], coloured.path, *words[1:], "-n", "20")
    assert code == 0
    assert "late.png" not in json.dumps(data)
    assert len(queries.contents(coloured)) == 9


# -- which encoder ----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """What was opened instead of real models; a bundle folder that holds the file ``broken`` is refused."""
    log: list[str] = []

    def open_bundle(folder):
        log.append(f"bundle {folder.name}")
        if (folder / "broken").exists():
            raise BundleError("broken")
        return SimpleNamespace(encoder=FakeEncoder())

    # In the place of the real modules, which take seconds to import.
    for name, part in (
        ("core.onnx.session", {"open_bundle": open_bundle}),
        ("core.encoders.open_clip_encoder", {"load_encoder": lambda name, device: log.append(f"open_clip {name}")}),
    ):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**part))
    starter = tmp_path / "starter-bundle"
    monkeypatch.setattr(find, "filled_starter", lambda: starter if starter.exists() else None)
    return log


def _bundle(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_the_encoder_is_the_models_own_and_from_a_bundle_if_there_is_one(tmp_path, opened):
    with library_with(tmp_path, 1) as library:
        find.library_encoder(library)
        starter = _bundle(tmp_path / "starter-bundle")
        find.library_encoder(library)
        (starter / "broken").touch()
        find.library_encoder(library)
        run = runs.create_run(library, "recommended", {"request": {"encoder": "open_clip:X/y"}})
        runs.set_current_run(library, run.id)
        find.library_encoder(library)
        _bundle(library.bundles_dir / run.id)
        find.library_encoder(library)
    assert opened == [
        "open_clip starter", "bundle starter-bundle", "bundle starter-bundle", "open_clip starter",
        "open_clip open_clip:X/y", f"bundle {run.id}",
    ]  # fmt: skip


def test_jobs_say_what_is_wrong_with_a_request(tmp_path):
    write_photo(tmp_path / "a.png")
    with pytest.raises(UserError, match="no library"):
        find.search_job(QuietContext(), find.SearchRequest(tmp_path / "none", "x"))
    with pytest.raises(UserError, match="at least one"):
        find.suggest_job(QuietContext(), find.SuggestRequest(tmp_path / "none", 0))
