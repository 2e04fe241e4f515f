"""Parts of the program in processes of their own: run by Python, or by the program itself where it was built."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import main as program
from core import children

ROOT = Path(__file__).resolve().parents[2]
ORDER = json.dumps({"pattern": "a+", "flags": 0, "by": "b", "texts": ["caat", "dog"], "most": 99, "memory": 1 << 30})


def run(command: list[str], said: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = children.child_environment()
    return subprocess.run(command, input=said, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def built(monkeypatch):
    """As in an installed build, where the interpreter is the program."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)


@pytest.mark.parametrize("module", sorted(children.MODULES))
def test_what_may_be_run_is_there_and_begins_when_it_is_run(module):
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    assert '__name__ == "__main__"' in Path(spec.origin).read_text("utf-8")


def test_no_other_place_starts_the_interpreter():
    """What is started elsewhere would be missing from an installed build."""
    uses = [
        file for part in ("core", "gui") for file in (ROOT / part).rglob("*.py") if "sys.executable" in file.read_text()
    ]
    assert [file.name for file in uses] == ["children.py"]


def test_a_module_that_a_build_would_not_run_is_refused_in_a_checkout_too():
    with pytest.raises(ValueError, match=r"core\.demo is not in MODULES"):
        children.module_command("core.demo")


def test_a_module_gets_its_arguments(tmp_path):
    done = run(children.module_command("core.cli", "--version"), cwd=tmp_path)
    assert re.fullmatch(r"seedcap \S+\n", done.stdout), done.stderr


def test_the_current_folder_is_not_imported_from(tmp_path):
    """A folder of photos of a stranger may hold anything."""
    (tmp_path / "core").mkdir()
    (tmp_path / "argparse.py").write_text("raise SystemExit('ran what lay in the folder')")
    done = run(children.module_command("core.cli", "--version"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["alone", "by the program"])
def test_the_child_for_expressions_answers_either_way(how, built):
    if how == "alone":
        command = [sys.executable, "-I", "-S", str(ROOT / "core/library/expression_child.py")]
    else:
        asked = children.module_command("core.library.expression_child", alone=True)
        assert asked[0] == sys.executable
        command = [sys.executable, str(ROOT / "main.py"), *asked[1:]]
    assert json.loads(run(command, ORDER).stdout) == {"replaced": {"0": "cbt"}}


def test_the_program_runs_no_other_module(capsys):
    for asked in ([], ["os"], ["core.starter.build"]):
        with pytest.raises(SystemExit, match="--run-module is not for"):
            program.main([children.RUN_MODULE, *asked])


def test_workers_that_a_build_spawns_have_the_search_path_of_before_too(built, monkeypatch):
    """They begin in main.py and leave it by freeze_support; once is enough, a second time would lose the path."""
    seen = []

    def leave() -> None:
        seen.append({name: os.environ.get(name) for name in ("LD_LIBRARY_PATH", "PYINSTALLER_RESET_ENVIRONMENT")})

    monkeypatch.setattr(multiprocessing, "freeze_support", leave)
    monkeypatch.setattr(sys, "argv", ["seedcap", "--version"])
    monkeypatch.setenv("PYINSTALLER_RESET_ENVIRONMENT", "")  # both are taken away again afterwards
    monkeypatch.setenv("LD_LIBRARY_PATH", "/built")
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/mine")
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
    assert seen == [{"LD_LIBRARY_PATH": "/mine", "PYINSTALLER_RESET_ENVIRONMENT": "1"}]
    assert os.environ["LD_LIBRARY_PATH"] == "/mine"


def test_other_programs_get_the_search_path_back_that_the_build_changed():
    changed = {"LD_LIBRARY_PATH": "/built", "LD_LIBRARY_PATH_ORIG": "/mine", "HOME": "/home"}
    children.own_search_path(changed)
    assert changed == {"LD_LIBRARY_PATH": "/mine", "HOME": "/home", "PYINSTALLER_RESET_ENVIRONMENT": "1"}
    alone = {"LD_LIBRARY_PATH": "/built"}
    children.own_search_path(alone)
    assert "LD_LIBRARY_PATH" not in alone
