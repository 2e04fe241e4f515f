"""Starts Seedcap: the app where it is asked for and there is a display, the command line for everything else."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from core.children import RUN_MODULE, is_built, own_search_path, run_module
from core.display import has_display, lacking_library
from core.telemetry import send_nothing

_HEADLESS = ("--help", "--headless", "--json", "--out")  # argparse takes their beginnings, too


def wants_app(argv: Sequence[str]) -> bool:
    """Nothing, ``open`` and ``demo`` mean the app, unless there is no display or only help is wanted.

    A Qt platform named in the environment (``offscreen``, ``linuxfb``) counts as a display for ``open``, which can do
    nothing else; ``demo`` goes headless instead of showing itself to nobody, and when its results are to be kept.
    """
    options = [argument.split("=")[0] for argument in argv]
    if "-h" in options or any(name.startswith(option) for option in options if option[2:] for name in _HEADLESS):
        return False
    if not argv or argv[0] == "open":
        return has_display() or bool(os.environ.get("QT_QPA_PLATFORM"))
    return argv[0] == "demo" and has_display()


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    send_nothing()  # before any model library is imported; inherited by the worker processes
    os.environ.setdefault("TQDM_DISABLE", "1")  # commands report their own progress
    if arguments[:1] == [RUN_MODULE]:
        return run_module(arguments[1:])
    if wants_app(arguments):
        if importlib.util.find_spec("PySide6") is None:
            print("seedcap: The app needs PySide6. Install all of Seedcap, as its README says.", file=sys.stderr)
            return 2
        if lacking := lacking_library():
            print(
                f"seedcap: The window needs the system library {lacking}, which is not installed. Install the packages "
                "that the README lists for Linux; every command works without them.",
                file=sys.stderr,
            )
            return 2
        from gui.app import main as run_app

        return run_app(arguments)
    from core.cli import main as run_command

    return run_command(arguments or ["open"])


if __name__ == "__main__":
    if is_built():
        import multiprocessing

        own_search_path(os.environ)  # before the workers that multiprocessing spawns, and that begin here, too
        multiprocessing.freeze_support()
    sys.exit(main())
