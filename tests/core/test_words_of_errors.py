"""What stops the window's work says nothing of the command line; that has its own words for it (core/cli_flags.py)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import core
from core.cli_flags import FLAGS

ROOT = Path(core.__file__).parent
_COMMANDS = re.compile(r"seedcap [a-z]+|models get|--[a-z]")
FILES = [ROOT / "devices.py", ROOT / "report/document.py"]
FILES += [file for part in ("hub", "encoders", "captioner", "training") for file in sorted((ROOT / part).glob("*.py"))]


def said(file: Path) -> list[str]:
    """Every text in a module but its docstrings and names of flags."""
    tree = ast.parse(file.read_text("utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in texts if id(node) not in silent]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_sentence_asks_for_a_command(file):
    assert [text for text in said(file) if _COMMANDS.search(text)] == []


def test_each_topic_that_is_named_has_words_for_the_command_line():
    named = {
        word.value.value
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "topic" and isinstance(word.value, ast.Constant)
    }
    assert {"get model", "list models", "connection"} <= named <= set(FLAGS)
