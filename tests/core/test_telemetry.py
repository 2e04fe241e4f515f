"""Nothing about this computer is told to the makers of libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from core import telemetry

ROOT = Path(__file__).resolve().parents[2]


def test_onnxruntime_writes_down_nothing_to_be_sent_however_it_is_reached(tmp_path):
    """It keeps an identifier and what is to be sent below the home folder, from its import on."""
    environment = {name: value for name, value in os.environ.items() if name not in telemetry.SWITCHES}
    places = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME")}
    asked = "import core.onnx.providers, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=ROOT, env={**environment, **places}, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_only_one_module_imports_onnxruntime_by_itself():
    """Parts of it are imported elsewhere, after it was told."""
    for file in (ROOT / "core").rglob("*.py"):
        if file.name == "runtime.py":
            continue
        text = file.read_text("utf-8")
        assert "import onnxruntime" not in text, file
        if "from onnxruntime." in text:
            before = text[: text.index("from onnxruntime.")]
            assert before.rstrip().endswith("send_nothing()"), file


def test_what_a_person_set_stays(monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    telemetry.send_nothing()
    assert (os.environ["DO_NOT_TRACK"], os.environ["ORT_DISABLE_TELEMETRY"]) == ("0", "1")
