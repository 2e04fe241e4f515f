"""What an edit changed: the pieces spell both texts, and are told apart without colour."""

from __future__ import annotations

import re

import pytest

from gui import theme
from gui.app import make_application
from gui.widgets.diff_label import DiffLabel
from gui.word_diff import Piece, as_html, word_diff, words_of


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a dog on a pier", "a brown dog on the pier"),
        ("two birds", ""),
        ("", "two birds"),
        ("same", "same"),
        ("红色的车", "蓝色的车"),
        ("one  <b>two</b>\nthree", "one <i>two</i> three, four"),
    ],
)
def test_the_pieces_spell_both(before, after):
    pieces = word_diff(before, after)
    assert "".join(one.text for one in pieces if one.kind != "added") == before
    assert "".join(one.text for one in pieces if one.kind != "removed") == after
    assert all(one.text for one in pieces)


def test_words_change_whole_and_neighbours_change_together():
    assert word_diff("a dog sat", "a doe sat") == (
        Piece("same", "a "), Piece("removed", "dog"), Piece("added", "doe"), Piece("same", " sat"),
    )  # fmt: skip
    assert [one.kind for one in word_diff("in the dark wood", "in a light wood")] == [
        "same", "removed", "added", "same",
    ]  # fmt: skip
    assert [one.text for one in word_diff("红色的车", "蓝色的车")] == ["红", "蓝", "色的车"]


def test_marked_by_more_than_colour_and_escaped():
    text = as_html(word_diff("a <b>", "a & c"), "#111111", "#222222")
    assert re.search(r"#111111[^>]*line-through[^>]*>&lt;b&gt;<", text)
    assert re.search(r"#222222[^>]*underline[^>]*>&amp; c<", text)
    assert words_of(word_diff("a dog", "a cat there"), "added") == "cat there"
    plain = re.sub(r"<[^>]+>", "", as_html(word_diff("A man", "one man"), "#111111", "#222222"))
    assert plain == "A one man", "what was taken out and what was put in are two words"


def test_the_label_follows_the_theme_and_reads_aloud(qtbot, qapp):
    make_application()
    label = DiffLabel()
    qtbot.addWidget(label)
    label.show_change("a dog", "a big cat")
    assert label.accessibleName() == "Removed: dog. Added: big cat" and not label.isHidden()
    for mode in ("light", "dark"):
        theme.theme().set_mode(mode)
        assert theme.colour("bad").name() in label.text() and theme.colour("good").name() in label.text()
    label.show_change("a dog", "a dog")
    assert label.isHidden() and label.accessibleName() == ""
    theme.theme().set_mode("light")
