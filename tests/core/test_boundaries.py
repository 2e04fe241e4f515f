"""Which part may import what: read from the sources by import-linter, and seen in a fresh process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH = ("torch", "transformers", "open_clip", "timm", "peft")
MODEL_LIBRARIES = (*TORCH, "onnxruntime")
QT = ("PySide6", "pyqtgraph")

TORCH_FREE = (
    "core.cli",
    "core.jobs",
    "core.library",
    "core.hub",
    "core.images",
    "core.exchange",
    "core.batch",
    "core.metrics",
    "core.ranking",
    "core.captioner.decoding",
    "core.captioner.rerank",
    "core.encoders.encoder",
    "core.encoders.load",
    "core.encoders.store",
    "core.encoders.search",
    "core.encoders.embed",
    "core.onnx.bundle",
    "core.onnx.session",
    "core.onnx.precision_loss",
    "core.onnx.quantize",
    "core.onnx.half",
    "core.onnx.outliers",
    "core.onnx.samples",
    "core.onnx.smaller",
    "core.starter.scenes",
    "core.starter.truth",
    "core.training.so_far",
    "core.training.time_left",
)


def modules_below(*names: str) -> list[str]:
    """These modules and, for packages, all modules inside; alembic's scripts are run, not imported."""
    found: list[str] = []
    for name in names:
        base = ROOT.joinpath(*name.split("."))
        if base.with_suffix(".py").is_file():
            found.append(name)
        for file in sorted(base.rglob("*.py")) if base.is_dir() else ():
            relative = file.relative_to(ROOT).with_suffix("")
            if "versions" in relative.parts or file.name == "env.py":
                continue
            found.append(".".join(part for part in relative.parts if part != "__init__"))
    return found


def loaded_after(statement: str, suspects: tuple[str, ...]) -> list[str]:
    """Run ``statement`` in a fresh process; which of the suspects are loaded afterwards."""
    code = f"import sys\n{statement}\nprint([name for name in {suspects!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout.strip().splitlines()[-1])


def import_all(modules: list[str]) -> str:
    return "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)


def test_the_probe_sees_an_import():
    assert loaded_after("import core.metrics, numpy", ("numpy", "torch")) == ["numpy"]


@pytest.mark.parametrize("name", TORCH_FREE)
def test_torch_free_modules_exist(name):
    assert importlib.util.find_spec(name), f"{name} is promised to be free of torch, and is not there"


def test_torch_free_modules_load_no_torch_and_no_qt():
    assert loaded_after(import_all(modules_below(*TORCH_FREE)), (*TORCH, *QT)) == []


def test_commands_are_light_at_import():
    heavy = (*MODEL_LIBRARIES, *QT, "alembic", "sqlalchemy", "onnx", "tokenizers", "pydantic")
    assert loaded_after(import_all(modules_below("core.commands")), heavy) == []


def test_the_overview_imports_no_command():
    statement = "import core.cli\ncore.cli.main(['--help'])\ncore.cli.main(['nonsense'])"
    commands = tuple(name for name in modules_below("core.commands") if name.count(".") == 2)
    heavy = ("numpy", "PIL", *MODEL_LIBRARIES, *QT, *(name for name in commands if not name.endswith(".result")))
    assert loaded_after(statement, heavy) == []


def test_the_window_loads_no_model_library():
    assert loaded_after(import_all(modules_below("gui")), MODEL_LIBRARIES) == []


def test_no_core_module_names_qt_or_the_gui():
    """Also inside functions, which importing would not show."""
    pytest.importorskip("importlinter")
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("package", ["core", "gui", "tests"])
def test_package_files_are_empty(package):
    """An import in ``__init__.py`` would be paid by everything inside the package."""
    full = [str(f.relative_to(ROOT)) for f in (ROOT / package).rglob("__init__.py") if f.read_text().strip()]
    assert full == []
