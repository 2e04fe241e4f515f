"""The guide says what the program does: filters, commands and pictures that it shows are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.cli import COMMANDS
from core.library.filters.fields import FIELDS, STATES
from core.library.filters.parser import parse

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
FIRST_COLUMN = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_every_filter_of_the_guide_is_understood_and_no_field_is_left_out():
    text = (GUIDE / "finding.md").read_text("utf-8")
    shown = FIRST_COLUMN.findall(text)
    assert len(shown) > len(FIELDS)
    for one in (*shown, "kite OR ball", "NOT state:accepted", "-beach"):
        assert one in text
        parse(one)
    assert all(f"`{name}:" in text for name in FIELDS) and all(state in text for state in STATES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere_and_commands_exist(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        assert "://" in link or (page.parent / link).exists(), link
    for command in re.findall(
        r"seedcap ([a-z][a-z-]*)", "\n".join(re.findall(r"`[^`]+`|```sh.*?```", text, re.DOTALL))
    ):
        assert command in COMMANDS, command
