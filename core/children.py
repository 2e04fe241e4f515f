"""Processes that this program starts to run parts of itself.

In an installed build (made by PyInstaller) there is no Python to be asked for ``-m module``: the program itself runs
the module then, if it is one of ``MODULES``. See docs/decisions/0035.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
RUN_MODULE = "--run-module"
"""The first argument by which ``main.py`` is asked to run a module; in no help, since it is of no use to a person."""
MODULES = frozenset(
    {
        "core.bench.batch_memory",
        "core.bench.crash_child",
        "core.bench.library_parts",
        "core.bench.onnx_arms",
        "core.cli",
        "core.devices",
        "core.library.expression_child",
        "gui.bench_parts",
    }
)


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a Python process that imports the same ``core`` as this one; ``more`` is set in it."""
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": search, **more}


def is_built() -> bool:
    """Whether this is an installed build, without a Python beside it."""
    return bool(getattr(sys, "frozen", False))


def module_command(module: str, *arguments: str, alone: bool = False) -> list[str]:
    """The command line of a process that runs ``module``, one of ``MODULES``, as ``python -m`` does, in a
    :func:`child_environment`.

    ``alone``: the module needs nothing but the standard library, and starts sooner for it.
    """
    if module not in MODULES:
        raise ValueError(f"{module} is not in MODULES, so an installed build would not run it")
    if is_built():
        return [sys.executable, RUN_MODULE, module, *arguments]
    if alone:
        script = _ROOT.joinpath(*module.split(".")).with_suffix(".py")
        return [sys.executable, "-I", "-S", str(script), *arguments]
    # -P: what lies in the current folder, which may be one of photos, is not imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def run_module(arguments: Sequence[str]) -> int:
    """Run what stands behind ``RUN_MODULE``: a module of ``MODULES`` and its arguments. Others are refused."""
    module = arguments[0] if arguments else ""
    if module not in MODULES:
        raise SystemExit(f"seedcap: {RUN_MODULE} is not for {module or 'nothing'}.")
    sys.argv = list(arguments)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def own_search_path(environment: MutableMapping[str, str]) -> None:
    """Give other programs (ExifTool, a browser) back the search path for libraries that an installed build has changed
    for itself. Processes of the build's own must set it anew: PyInstaller's launcher does so when it is told that it
    begins afresh, and otherwise relies on what it inherits."""
    before = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    if before is not None:
        environment["LD_LIBRARY_PATH"] = before
    else:
        environment.pop("LD_LIBRARY_PATH", None)
    environment["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
