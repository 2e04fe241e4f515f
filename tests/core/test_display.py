"""A window that cannot be shown is said before Qt would end the process over it."""

from __future__ import annotations

import ctypes

import pytest

import main
from core.display import has_display, lacking_library


@pytest.fixture
def x11(monkeypatch):
    """A display, for which a library is not installed."""

    def lacking(_path):
        raise OSError("libxcb-icccm.so.4: cannot open shared object file: No such file or directory")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lacking)


def test_a_missing_library_is_named_and_nothing_is_started(x11, capsys):
    assert has_display() and lacking_library() == "libxcb-icccm.so.4"
    assert main.main([]) == 2
    said = capsys.readouterr().err
    assert "libxcb-icccm.so.4" in said and "README" in said


@pytest.mark.parametrize(("name", "value"), [("QT_QPA_PLATFORM", "offscreen"), ("WAYLAND_DISPLAY", "wayland-0")])
def test_windows_that_are_shown_another_way_need_none_of_them(x11, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert lacking_library() is None


def test_without_a_display_nothing_is_looked_for(x11, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    assert lacking_library() is None and not has_display()
