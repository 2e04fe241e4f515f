"""The guide says what the program does; that its links and commands are there is seen in test_pages.py."""

from __future__ import annotations

import re
from pathlib import Path

from core.library.filters.fields import FIELDS, STATES
from core.library.filters.parser import parse

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
FIRST_COLUMN = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_every_filter_of_the_guide_is_understood_and_no_field_is_left_out():
    text = (GUIDE / "finding.md").read_text("utf-8")
    shown = FIRST_COLUMN.findall(text)
    assert len(shown) > len(FIELDS)
    for one in (*shown, "kite OR ball", "NOT state:accepted", "-beach"):
        assert one in text
        parse(one)
    assert all(f"`{name}:" in text for name in FIELDS) and all(state in text for state in STATES)
