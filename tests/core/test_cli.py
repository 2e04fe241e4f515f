"""The command line's own behaviour, with a command that the test makes."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import main as program
from core import cli
from core.cli import main
from core.cli_flags import with_flags
from core.commands.result import CommandResult, to_json
from core.errors import UserError
from core.jobs import Cancelled, QuietContext

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(monkeypatch):
    """Adds a command ``probe`` whose body the test gives; returns a function that runs it."""

    def use(body, arguments=("probe",)):
        module = types.ModuleType("core.commands.probe_for_tests")
        module.HELP = "A probe."
        module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)
        module.run = body
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Entry("probe_for_tests", "probe things"))
        return cli.main(list(arguments))

    return use


def test_result_goes_to_stdout_and_json(command, tmp_path, capsys):
    out = tmp_path / "out.json"
    status = command(
        lambda args, ctx: CommandResult({"times": args.times}, "three rows"),
        ["probe", "--times", "3", "--json", str(out)],
    )
    assert status == 0
    assert json.loads(out.read_text()) == {"times": 3}
    assert capsys.readouterr().out == "three rows\n"
    assert [f.name for f in tmp_path.iterdir()] == ["out.json"], "a temporary file stayed"


def test_failed_items_make_status_1(command):
    assert command(lambda args, ctx: CommandResult({}, "", failed=2)) == 1


def test_user_error_is_said_in_words_and_makes_status_2(command, capsys):
    def body(args, ctx):
        raise UserError("cat.jpg is empty.", "Leave it out.")

    assert command(body) == 2
    captured = capsys.readouterr()
    assert "cat.jpg is empty. Leave it out." in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_bug_is_not_swallowed(command):
    def body(args, ctx):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(body)


def test_a_library_that_is_not_installed_is_named(command, capsys):
    def body(args, ctx):
        import not_installed_here.part  # noqa: F401

    assert command(body) == 2
    said = capsys.readouterr().err
    assert "not_installed_here" in said
    assert "README" in said


def test_a_module_of_ours_that_is_missing_is_a_bug(command):
    def body(args, ctx):
        import core.never_written  # noqa: F401

    with pytest.raises(ModuleNotFoundError):
        command(body)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, Cancelled])
def test_stopping_is_said_and_has_its_own_status(command, capsys, raised):
    def body(args, ctx):
        raise raised

    assert command(body) == cli.STOPPED
    assert "Stopped" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def heard():
    """These tests may themselves run under nohup."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("sent", [("SIGINT",), ("SIGTERM",), ("SIGHUP",), ("SIGHUP", "SIGHUP"), ("SIGTERM", "SIGHUP")])
def test_a_signal_waits_for_a_safe_point_however_often_it_comes(command, sent):
    numbers, seen = [getattr(signal, one) for one in sent], []

    def polite(args, ctx):
        for number in numbers:
            os.kill(os.getpid(), number)
        seen.append("went on")
        ctx.check_cancelled()
        seen.append("never")

    before = [signal.getsignal(number) for number in numbers]
    assert command(polite) == cli.STOPPED and seen == ["went on"]
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_ctrl_c_does_not_wait(command, first):
    seen = []

    def deaf(args, ctx):
        os.kill(os.getpid(), getattr(signal, first))
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("never")

    assert command(deaf) == cli.STOPPED and not seen


def test_what_is_ignored_on_purpose_stays_ignored(command, monkeypatch):
    """As under nohup."""
    seen, before = [], signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def body(args, ctx):
        os.kill(os.getpid(), signal.SIGHUP)
        ctx.check_cancelled()
        seen.append("went on")
        return CommandResult({}, "")

    try:
        assert command(body) == 0 and seen
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_has_gone_does_not_keep_a_job_from_ending_well(command, monkeypatch):
    class Gone(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    seen = []

    def body(args, ctx):
        ctx.progress(1, 4, "Working")
        os.kill(os.getpid(), signal.SIGHUP)
        ctx.progress(2, 4, "Working on")
        seen.append("went on")
        ctx.check_cancelled()

    assert command(body) == cli.STOPPED and seen


def test_missing_json_folder_is_refused_before_the_work(command, tmp_path, capsys):
    ran = []
    out = tmp_path / "nowhere" / "out.json"
    assert command(lambda args, ctx: ran.append(1), ["probe", "--json", str(out)]) == 2
    assert ran == []
    assert "nowhere" in capsys.readouterr().err


def test_json_file_that_is_a_folder_is_refused(command, tmp_path):
    assert command(lambda args, ctx: CommandResult({}), ["probe", "--json", str(tmp_path)]) == 2


@pytest.mark.parametrize("argv", [["prob"], ["--nonsense"], ["probe", "--times", "many"], []])
def test_wrong_usage_is_status_2(command, capsys, argv):
    assert command(lambda args, ctx: CommandResult({}), argv) == 2
    assert "seedcap" in capsys.readouterr().err


def test_a_near_miss_is_named(command, capsys):
    command(lambda args, ctx: CommandResult({}), ["prob"])
    assert "did you mean 'probe'" in capsys.readouterr().err


def test_version_is_that_of_the_project(capsys):
    assert cli.main(["--version"]) == 0
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in (ROOT / "pyproject.toml").read_text()


def test_every_listed_command_can_be_loaded_and_explains_itself(capsys):
    for name in cli.COMMANDS:
        assert cli.main([name, "--help"]) == 0, name
        assert f"seedcap {name}" in capsys.readouterr().out


def test_the_table_and_the_folder_of_commands_are_equal():
    files = {f.stem for f in (ROOT / "core" / "commands").glob("*.py")} - {"__init__", "result"}
    files = {name for name in files if not name.startswith("_")}
    assert {entry.module for entry in cli.COMMANDS.values()} == files


@dataclass(frozen=True)
class Point:
    x: float
    where: Path


def test_json_holds_dataclasses_numpy_and_odd_numbers():
    data = {"p": Point(float("nan"), Path("a/b")), "n": np.float32(0.5), "v": np.arange(2), "t": (1, None, True)}
    assert json.loads(to_json(data)) == {
        "p": {"x": None, "where": "a/b"},
        "n": 0.5,
        "v": [0, 1],
        "t": [1, None, True],
    }


def test_json_keeps_a_name_that_is_not_unicode():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert json.loads(to_json({"file": name}))["file"] == name
    assert "é".encode() in to_json({"file": "é"})


def test_json_refuses_what_it_cannot_say():
    with pytest.raises(TypeError):
        to_json({"f": object()})


@pytest.mark.parametrize(
    ("argv", "environment", "app"),
    [
        ([], {"DISPLAY": ":0"}, True),
        (["open", "photos"], {"WAYLAND_DISPLAY": "wayland-0"}, True),
        (["demo"], {"DISPLAY": ":0"}, True),
        (["demo", "--headless"], {"DISPLAY": ":0"}, False),
        (["demo", "--json=f"], {"DISPLAY": ":0"}, False),
        (["demo", "--out", "kept"], {"DISPLAY": ":0"}, False),
        (["demo", "--head"], {"DISPLAY": ":0"}, False),
        (["demo", "--photos", "photos", "--seeds", "4"], {"DISPLAY": ":0"}, True),
        (["demo"], {}, False),
        (["demo"], {"QT_QPA_PLATFORM": "offscreen"}, False),
        (["open"], {"QT_QPA_PLATFORM": "offscreen"}, True),
        (["open"], {}, False),
        (["open", "--help"], {"DISPLAY": ":0"}, False),
        (["caption", "open"], {"DISPLAY": ":0"}, False),
    ],
)
def test_what_starts_the_app(monkeypatch, argv, environment, app):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert program.wants_app(argv) is app


def test_without_a_display_the_app_says_what_to_do_instead():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py")], env=environment, capture_output=True, text=True, check=False
    )
    if sys.platform.startswith("linux"):
        assert done.returncode == 2
        assert "display" in done.stderr
        assert "Traceback" not in done.stderr


def test_progress_stays_off_stdout(command, capsys):
    def body(args: argparse.Namespace, ctx):
        ctx.progress(1, 2, "captioning")
        return CommandResult({}, "done")

    assert command(body) == 0
    captured = capsys.readouterr()
    assert captured.out == "done\n"
    assert "captioning 1/2" in captured.err


def test_the_command_line_names_flags_that_the_app_does_not(tmp_path, capsys):
    from core.exchange.exports import plan_export
    from core.library.library import Library
    from core.library.scan import scan
    from tests.core.photos import photo_folder

    with pytest.raises(UserError) as caught:
        Library.open(tmp_path / "none")
    assert "seedcap" not in str(caught.value)
    assert main(["suggest", str(tmp_path / "none")]) == 2
    assert "seedcap import LIB FOLDER" in capsys.readouterr().err
    with Library.create(tmp_path / "lib") as library:
        scan(library, photo_folder(tmp_path / "photos", 2), QuietContext())
        for which in ("accepted", "best"):
            with pytest.raises(UserError) as caught:
                plan_export(library, "txt", None, which=which)
            assert "--" not in str(caught.value)
    assert main(["export", str(tmp_path / "lib.seedcap")]) == 2
    assert "--best" in capsys.readouterr().err


def test_a_topic_survives_the_way_out_of_a_worker():
    import pickle

    error = pickle.loads(pickle.dumps(UserError("It is gone.", "Look again.", topic="no out")))
    assert with_flags(error) == "It is gone. Look again. Here: --out FILE"
    assert with_flags(UserError("It is gone.")) == "It is gone."
