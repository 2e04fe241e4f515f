"""Marks texts for translators where they cannot be looked up: docs/translating.md. No Qt here."""

from __future__ import annotations


def tr(text: str) -> str:
    """The text as it is. ``pyside6-lupdate`` goes by the name of this function, and ``gui.words.tr`` looks the text up
    when it is shown. For tables made before a translator is installed, and for what core and worker processes say."""
    return text
