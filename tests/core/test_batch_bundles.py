"""The bundle that captions: made once, in another process, and made anew when its model changes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from core.batch import bundles
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.onnx.bundle import load_manifest
from tests.core.test_batch import Watching


def test_the_starter_is_exported_once_and_again_when_damaged(tiny_starter, tiny_bundle, monkeypatch):
    made = []

    def export(ctx, source, folder, *_):
        made.append(source)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_bundle, folder)

    monkeypatch.setattr(bundles, "export_in_process", export)
    first = bundles.starter_bundle(QuietContext())
    assert bundles.starter_bundle(QuietContext()) == first and made == ["starter"]
    (first / "decoder.onnx").write_bytes(b"damaged")
    assert bundles.starter_bundle(QuietContext()) == first and made == ["starter"] * 2


def test_a_run_that_was_trained_on_gets_a_new_bundle(tiny_starter, tiny_bundle, tmp_path, monkeypatch):
    made = []

    def export(ctx, source, folder, *_):
        made.append(source)
        shutil.copytree(tiny_bundle, folder, dirs_exist_ok=True)

    monkeypatch.setattr(bundles, "export_in_process", export)
    run = tmp_path / "run"
    shutil.copytree(tiny_starter / "captioner", run / "stage2")
    bundles.exported(QuietContext(), str(run), tmp_path / "bundle")
    (run / "stage2" / "state.safetensors").write_bytes(b"where training is")
    bundles.exported(QuietContext(), str(run), tmp_path / "bundle")
    assert len(made) == 1
    (run / "stage2" / "mapper.safetensors").write_bytes(b"other weights")
    bundles.exported(QuietContext(), str(run), tmp_path / "bundle")
    assert len(made) == 2


def test_another_starter_gets_another_bundle(tiny_starter, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "exported", lambda ctx, source, folder: folder)
    first = bundles.starter_bundle(QuietContext())
    other = Path(shutil.copytree(tiny_starter, tmp_path / "other"))
    (other / "captioner" / "mapper.safetensors").write_bytes(b"something else")
    monkeypatch.setenv("SEEDCAP_STARTER", str(other))
    assert bundles.starter_bundle(QuietContext()) != first
    monkeypatch.setenv("SEEDCAP_STARTER", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="starter models are not at"):
        bundles.starter_bundle(QuietContext())


def in_place_of_the_export(monkeypatch, code: str) -> None:
    """Another program in the place of the one that exports."""
    command = [sys.executable, "-c", "import sys, time\n" + code]
    monkeypatch.setattr(bundles, "module_command", lambda *_arguments: command)


def test_a_failed_export_says_why(tmp_path, monkeypatch):
    said = "print('Loading the model 1/2', file=sys.stderr); print('seedcap: The run is empty.', file=sys.stderr)"
    in_place_of_the_export(monkeypatch, said + "; sys.exit(2)")
    ctx = Watching()
    with pytest.raises(UserError, match="could not be exported: The run is empty"):
        bundles.export_in_process(ctx, "run", tmp_path / "out")
    assert "Exporting the model, once: Loading the model" in ctx.messages


def test_an_export_that_crashes_shows_its_last_words(tmp_path, monkeypatch):
    in_place_of_the_export(monkeypatch, "raise SystemError('oh dear')")
    with pytest.raises(UserError, match="oh dear"):
        bundles.export_in_process(QuietContext(), "run", tmp_path / "out")


def test_an_export_can_be_cancelled(tmp_path, monkeypatch):
    """Its process is ended; the fixture that looks for leftovers would find it."""
    in_place_of_the_export(monkeypatch, "print('begun', file=sys.stderr, flush=True); time.sleep(600)")
    with pytest.raises(Cancelled):
        bundles.export_in_process(Watching(lambda self: len(self.messages) > 1), "run", tmp_path / "out")


def test_an_export_that_was_ended_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    """It cannot tidy up itself; and what was left by one whose app was killed with it goes the next time."""
    half = (
        "import os; os.mkdir(sys.argv[-1] + f'/.out.{os.getpid()}-half'); print('begun', file=sys.stderr, flush=True)"
    )
    in_place_of_the_export(monkeypatch, f"sys.argv.append({str(tmp_path)!r}); {half}; time.sleep(600)")
    old, of_another = tmp_path / ".out.7-left", tmp_path / ".out.8-working"
    for folder in (old, of_another):
        (folder / "graphs").mkdir(parents=True)
    os.utime(old, (1e9, 1e9))
    seen = []

    def begun(self):
        seen.extend(tmp_path.glob(".out.*-half"))
        return bool(seen)

    with pytest.raises(Cancelled):
        bundles.export_in_process(Watching(begun), "run", tmp_path / "out")
    assert seen and list(tmp_path.iterdir()) == [of_another]


def test_a_starter_with_an_outline_is_not_exported(tiny_starter, tiny_bundle, tmp_path, monkeypatch):
    from core.onnx.outline import OUTLINE, write_outline

    monkeypatch.setattr(bundles, "export_in_process", lambda *_: pytest.fail("exported"))
    models = Path(shutil.copytree(tiny_starter, tmp_path / "models"))
    monkeypatch.setenv("SEEDCAP_STARTER", str(models))
    assert bundles.filled_starter() is None  # no outline yet
    write_outline(models, tiny_bundle, models / OUTLINE)
    made = bundles.starter_bundle(QuietContext())
    assert made == bundles.starter_folder()
    (made / "decoder.onnx").write_bytes(b"damaged")
    assert bundles.filled_starter() == made and load_manifest(made).source == "starter"
    (models / "captioner" / "mapper.safetensors").write_bytes(b"other numbers")
    assert bundles.filled_starter() is None
    assert [path.name for path in made.parent.iterdir()] == [made.name]  # nothing half done
