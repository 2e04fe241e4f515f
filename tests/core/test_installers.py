"""What installers are made of: whose the files are, the lists about them, the menu entry, the icons."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy
import pytest
from PIL import Image

from installers.contents import NEVER, Contents, Part, bill_of_materials, contents_of, write
from installers.icons import write_icons

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "installers"
NUMPY = Path(numpy.__file__)


@pytest.fixture(autouse=True)
def few_packages(monkeypatch):
    """To read the lists of all files of all packages takes seconds."""
    names = [name for name in ("numpy", "pillow_heif") if importlib.util.find_spec(name)]
    monkeypatch.setattr(metadata, "distributions", lambda: [metadata.distribution(name) for name in names])


def test_files_are_known_by_the_package_they_came_with(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "main.py").touch()
    stray = tmp_path / "stray.so"
    stray.touch()
    inside = contents_of([NUMPY, Path(json.__file__), own / "main.py", stray], own)
    assert [part.name for part in inside.parts] == ["python", "numpy"]
    assert inside.unknown == (stray.resolve(),)
    found = inside.parts[1]
    assert found.version == metadata.version("numpy")
    assert found.purl == f"pkg:pypi/numpy@{found.version}"
    assert "BSD" in found.licence
    assert any("BSD" in text.read_text("utf-8") or "Redistribution" in text.read_text("utf-8") for text in found.texts)


def test_metadata_alone_puts_no_package_inside():
    distribution = metadata.distribution("numpy")
    about = next(file for file in distribution.files or () if file.name == "METADATA")
    inside = contents_of([Path(str(distribution.locate_file(about)))], ROOT)
    assert [part.name for part in inside.parts] == ["python"]
    assert not inside.unknown


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="asks Debian's list of packages")
def test_libraries_of_the_system_have_a_package_and_its_terms():
    library = next(Path("/usr/lib").glob("*-linux-gnu/libc.so.6"))
    part = next(part for part in contents_of([library], ROOT).parts if part.kind == "deb")
    assert part.name == "libc6"
    assert "GPL" in part.texts[0].read_text("utf-8")


def test_what_must_not_be_shipped_ends_the_build():
    heif = pytest.importorskip("pillow_heif")
    assert "pillow-heif" in NEVER
    with pytest.raises(SystemExit, match=r"Not to be shipped, but collected: pillow.heif"):
        contents_of([Path(heif.__file__)], ROOT)


def test_the_lists_say_what_is_inside(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "LICENSE").write_text(f"text {number}")
    parts = (
        Part("deb", "libx", "1:2+b1", "see its text", ()),
        Part("pypi", "Some_Thing", "1.0+cpu", "MIT", tuple(folder / "LICENSE" for folder in folders)),
        Part("pypi", "seedcap", "0.1.0", "Apache-2.0", ()),
    )
    write(Contents(parts, (Path("/odd/what.so"),)), "0.1.0", tmp_path / "lists")
    listed = (tmp_path / "lists/licences/README.txt").read_text("utf-8")
    assert "Some_Thing 1.0+cpu: MIT\n" in listed
    assert "libx 1:2+b1: see its text (it brings no text)\n" in listed
    assert "what.so" in listed
    assert "LESSER" in (tmp_path / "lists/licences/texts/LGPL-3.0.txt").read_text("utf-8")
    texts = sorted(file.read_text() for file in (tmp_path / "lists/licences/Some_Thing").iterdir())
    assert texts == ["text 0", "text 1"]
    assert (tmp_path / "lists/requirements.txt").read_text() == "Some_Thing==1.0\n"
    bill = json.loads((tmp_path / "lists/sbom.cdx.json").read_text("utf-8"))
    assert bill == bill_of_materials(parts, "0.1.0")
    assert [one["purl"] for one in bill["components"]] == [
        "pkg:deb/debian/libx@1%3A2%2Bb1",
        "pkg:pypi/some-thing@1.0%2Bcpu",
    ]


def test_the_icon_is_drawn_for_each_system(tmp_path):
    write_icons(tmp_path)
    with Image.open(tmp_path / "seedcap.png") as drawn:
        assert drawn.size == (512, 512)
        alpha = numpy.asarray(drawn)[..., 3]
        assert alpha.max() == 255
        assert 0.02 < (alpha > 0).mean() < 0.5
    with Image.open(tmp_path / "seedcap.ico") as icons:
        assert {(16, 16), (256, 256)} <= icons.info["sizes"]
    with Image.open(tmp_path / "seedcap.icns") as icons:
        assert icons.format == "ICNS"
    assert "currentColor" not in (tmp_path / "seedcap.svg").read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="menus of Linux desktops")
def test_the_menu_entry_leads_to_the_program_wherever_it_lies_and_goes_again(tmp_path):
    place = tmp_path / 'my "apps" $1 50% a\\b'
    place.mkdir()
    for name in ("seedcap.desktop", "add-to-menu.sh"):
        shutil.copy(FOLDER / name, place)
    (place / "seedcap.svg").write_text("<svg/>")
    data = tmp_path / "data"
    environment = {**os.environ, "XDG_DATA_HOME": str(data)}
    subprocess.run([place / "add-to-menu.sh"], env=environment, check=True)
    entry = (data / "applications/seedcap.desktop").read_text("utf-8")
    # https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html, undone from the outside in
    value = re.search(r"^Exec=(.*)$", entry, re.MULTILINE)
    assert value
    quoted = re.fullmatch(r'"(.*)" open %f', value[1].replace("\\\\", "\\"))
    assert quoted
    assert re.sub(r"\\(.)", r"\1", quoted[1]).replace("%%", "%") == f"{place}/seedcap"
    assert (data / "icons/hicolor/scalable/apps/seedcap.svg").is_file()
    subprocess.run([place / "add-to-menu.sh", "remove"], env=environment, check=True)
    assert not [file for file in data.rglob("*") if file.is_file()]


def test_the_recipe_and_its_workflow_name_what_is_there():
    recipe = (FOLDER / "seedcap.spec").read_text("utf-8")
    compile(recipe, "seedcap.spec", "exec")
    for named in re.findall(r'ROOT / "([^"]+)"', recipe):
        assert (ROOT / named).exists(), named
    workflow = (ROOT / ".github/workflows/installers.yml").read_text("utf-8")
    assert workflow.startswith("# Untested")
    for named in re.findall(r"\binstallers/[\w.-]+", workflow):
        assert (ROOT / named).exists(), named
    assert re.search(r"^torch==", (FOLDER / "linux-cuda.lock").read_text("utf-8"), re.MULTILINE)
