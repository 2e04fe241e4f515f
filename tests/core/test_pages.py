"""Pages about the project are true to it: links, commands, the picture of the parts, workflows and forms for issues."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from core.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)


@pytest.fixture(scope="module")
def picture():
    """The module that draws the parts; docs is no package."""
    spec = importlib.util.spec_from_file_location("picture_of_the_parts", ROOT / "docs" / "picture.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_and_commands_exist(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", CODE.sub("", text)):
        link = target[0] or target[1]
        assert "://" in link or (page.parent / link).exists(), link
    for command in re.findall(r"(?<!\.)\bseedcap ([a-z][a-z-]*)", "\n".join(CODE.findall(text))):
        assert command in COMMANDS, command


def test_every_screenshot_is_shown_somewhere_in_both_themes():
    there = {file.name for file in (ROOT / "docs" / "images").iterdir() if file.suffix != ".svg"}
    shown = set(re.findall(r"images/([a-z-]+\.webp)", "".join(page.read_text("utf-8") for page in PAGES)))
    assert there == shown, "python docs/screenshots.py takes them"
    assert {name.replace("-dark", "-light") for name in shown} == {name for name in shown if "-light" in name}


def test_the_picture_shows_the_packages_as_the_contracts_have_them(picture):
    assert picture.PICTURE.read_text("utf-8") == picture.draw(), "python docs/picture.py draws it anew"
    kinds = picture.bands()
    assert ("onnx", "export, graphs, parity") in kinds["some"]
    assert ("library", "") in kinds["never"]
    assert ("training", "") in kinds["torch"]
    drawn = {name for boxes in kinds.values() for name, _ in boxes}
    assert drawn == {file.parent.name for file in ROOT.glob("core/*/__init__.py")} == set(picture.DOES)


def test_what_is_drawn_without_torch_names_it_nowhere_at_the_top(picture):
    for name, _ in picture.bands()["never"]:
        for file in (ROOT / "core" / name).rglob("*.py"):
            assert not re.search(r"^(import|from) torch\b", file.read_text("utf-8"), re.MULTILINE), file


def test_every_decision_is_in_the_list_once():
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(file.name for file in ROOT.glob("docs/decisions/[0-9]*.md"))
    assert len({name[:4] for name in listed}) == len(listed), "a number stands for one decision"


def test_the_workflows_install_with_an_extra_that_is_there_and_run_every_check():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    linux, others = ((ROOT / name).read_text("utf-8") for name in (".ci/run", ".github/workflows/other-systems.yml"))
    for text in (linux, others):
        assert set(re.findall(r"'\.\[(\w+)\]'", text)) <= set(extras)
        for check in ("pytest -n 2 --dist loadfile", "ruff check", "ruff format", "pyright", "lint-imports"):
            assert check in text, check
    assert others.startswith("# Untested")


def test_the_workflow_brings_the_packages_that_the_checks_need_and_a_user_cannot_install():
    lists = re.findall(r"^(?:qt_libraries|tools)=\((.+)\)$", (ROOT / ".ci/run").read_text("utf-8"), re.M)
    needed = {package for one in lists for package in one.split()}
    installed = (ROOT / ".github/workflows/ci.yml").read_text("utf-8").split()
    assert len(lists) == 2 and needed <= set(installed), "tests that need them would be skipped without a word"


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda one: one.stem)
def test_forms_for_issues_have_what_the_site_asks_for(form):
    yaml = pytest.importorskip("yaml")
    read = yaml.safe_load(form.read_text("utf-8"))
    if form.stem == "config":
        assert set(read) <= {"blank_issues_enabled", "contact_links"}
        return
    assert read["name"] and read["description"]
    inputs = [one for one in read["body"] if one["type"] != "markdown"]
    assert len({one["id"] for one in inputs}) == len(inputs) > 0
    assert all(one["type"] in ("input", "textarea", "dropdown") and one["attributes"]["label"] for one in inputs)
