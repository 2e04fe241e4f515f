"""What installers are made of: whose the files are, the lists about them, the menu entry, the icons."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from contents import NEVER, Contents, Part, bill_of_materials, contents_of, unlocked, write
from icons import write_icons

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "packaging"
NUMPY = Path(numpy.__file__)
LOCK = (FOLDER / "linux-cuda.lock").read_text("utf-8")
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)$", LOCK, re.MULTILINE))


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


def test_copies_of_other_packages_belong_to_the_package_that_brings_them(tmp_path, monkeypatch):
    copies = tmp_path / "large/copies"
    for folder, name, file in ((tmp_path, "large", "large/copies/small.py"), (copies, "small", "small.py")):
        about = folder / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "RECORD").write_text(f"{file},,\n")
    (copies / "small.py").touch()
    both = [metadata.PathDistribution(next(folder.glob("*.dist-info"))) for folder in (tmp_path, copies)]
    monkeypatch.setattr(metadata, "distributions", lambda: both)
    assert [part.name for part in contents_of([copies / "small.py"], ROOT).parts] == ["python", "large"]


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


def test_the_folder_does_not_stand_before_the_library_of_its_name():
    assert not (FOLDER / "__init__.py").exists()
    asked = "import packaging.version, sys; print(sys.path[0], packaging.version.__file__, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    searched_first, found = done.stdout.splitlines()
    assert searched_first == ""  # the folder with `packaging` in it
    assert not Path(found).is_relative_to(FOLDER)


def test_the_lock_has_what_the_program_requires_in_versions_that_it_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = {canonicalize_name(name): version for name, version in LOCKED.items()}
    here = {"platform_machine": "x86_64", "sys_platform": "linux", "python_version": "3.11"}
    for text in [*project["dependencies"], *project["optional-dependencies"]["metadata"]]:
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate(here):
            assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), text
        else:
            assert canonicalize_name(asked.name) not in locked, text
    assert not NEVER & set(locked)


def test_a_bill_of_what_was_locked_agrees_with_the_lock():
    parts = [Part("pypi", name, version, "MIT", ()) for name, version in LOCKED.items()]
    parts += [Part("deb", "libx", "1", "MIT", ()), Part("pypi", "seedcap", "0.1.0", "Apache-2.0", ())]
    assert unlocked(bill_of_materials(parts, "0.1.0"), LOCK) == []


def test_a_bill_that_differs_from_the_lock_is_told_and_fails(tmp_path):
    parts = (
        Part("pypi", "Some_Thing", "1.0+cpu", "MIT", ()),
        Part("pypi", "old", "2.0", "MIT", ()),
        Part("pypi", "more", "3.0", "MIT", ()),
    )
    (tmp_path / "bill").write_text(json.dumps(bill_of_materials(parts, "0.1.0")))
    (tmp_path / "lock").write_text("some-thing==1.0\nold==1.9\n# old==2.0 once\n")
    command = [sys.executable, str(FOLDER / "contents.py"), str(tmp_path / "bill"), str(tmp_path / "lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = ["old 2.0 is inside; 1.9 is locked.", "more 3.0 is inside; nothing of it is locked."]
    assert (done.stdout.splitlines(), done.returncode) == (said, 1), done.stderr


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


def test_the_recipe_and_the_workflows_name_what_is_there():
    recipe = (FOLDER / "seedcap.spec").read_text("utf-8")
    compile(recipe, "seedcap.spec", "exec")
    assert "untested on Windows and macOS" in recipe.split("import ")[0]
    for named in re.findall(r'ROOT / "([^"]+)"', recipe):
        assert (ROOT / named).exists(), named
    for name in ("installers.yml", "holes.yml"):
        workflow = (ROOT / ".github/workflows" / name).read_text("utf-8")
        assert workflow.startswith("# Untested")
        named = re.findall(r"\bpackaging/[\w.-]+", workflow)
        assert "packaging/linux-cuda.lock" in named
        assert [one for one in named if not (ROOT / one).is_file()] == []
    assert "torch" in LOCKED
