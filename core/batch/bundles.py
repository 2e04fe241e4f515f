"""Which bundle captions: the one given, the library's own, or the starter's, exported once and kept."""

from __future__ import annotations

import hashlib
import queue
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from core import paths
from core.children import child_environment, module_command
from core.disk import clear_beside, new_folder_beside, put_folder_in_place
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.bundle import SCHEMA, BundleError, load_manifest, sha256_of
from core.onnx.outline import OUTLINE, fill
from core.onnx.precision_loss import PrecisionLoss, loss_of
from core.onnx.source import STARTER, model_sha256


def starter_bundle(ctx: JobContext) -> Path:
    """The bundle of the starter models in the cache, which is made now when it is missing, damaged or of another
    starter: filled from the outline that came with them, else exported."""
    return filled_starter() or exported(ctx, STARTER, starter_folder())


def filled_starter() -> Path | None:
    """The starter's bundle, which takes seconds to have; ``None`` where only an export can make it: of models without
    an outline of their own.

    Raises ``UserError`` where the models are not there.
    """
    folder = starter_folder()
    if _is_sound(folder, model_sha256(STARTER)):
        return folder
    models = paths.starter_dir()
    if not (models / OUTLINE).is_dir():
        return None
    clear_beside(folder)
    try:
        with new_folder_beside(folder) as new:
            if not fill(models, models / OUTLINE, new):
                return None
            put_folder_in_place(new, folder)
    except OSError:  # no room, no right: an export says so in words
        return None
    return folder


def starter_folder() -> Path:
    """Where the starter's bundle lies in the cache, or will lie."""
    return paths.cache_dir() / "bundles" / f"starter-{_starter_fingerprint()}"


def exported(
    ctx: JobContext, source: str, folder: Path, distinctive: float | None = None, more: Sequence[str] = ()
) -> Path:
    """The bundle of ``source`` at ``folder``, which is exported first unless a sound one of it is there.

    ``distinctive``: of a mix of the stages of a run, see :class:`core.onnx.export.ExportRequest`. ``more``: arguments
    of the command ``bundle``.
    """
    if not _is_sound(folder, model_sha256(source, distinctive)):
        mixed = [] if distinctive is None else ["--distinctive", repr(distinctive)]
        export_in_process(ctx, source, folder, [*mixed, *more])
    return folder


def smaller(ctx: JobContext, library: Path, source: str, folder: Path) -> PrecisionLoss | None:
    """Make the int8 bundle of ``source`` at ``folder``, unless it is there; what it loses on the library's photos."""
    exported(ctx, source, folder, more=["--precision", "int8", "--photos", str(library)])
    return loss_of(folder)


def export_in_process(ctx: JobContext, source: str, folder: Path, more: Sequence[str] = ()) -> None:
    """Run ``bundle source folder more`` in a process of its own: the one that captions never loads torch.

    Raises ``UserError`` with what that process said when it failed; cancelling ends it.
    """
    ctx.progress(0, None, "Exporting the model, once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_beside(folder)
    process = subprocess.Popen(
        module_command("core.cli", "bundle", source, str(folder), *more),
        env=child_environment(PYTHONIOENCODING="utf-8"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stderr is not None
    reader = threading.Thread(target=_read_lines, args=(process.stderr, lines), daemon=True)
    reader.start()
    said: list[str] = []
    try:
        while True:
            ctx.check_cancelled()
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                continue
            if line is None:
                break
            said = [*said, line][-20:]
            ctx.progress(*_counted(line))
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()  # asked to end it would finish the graph it writes
            process.wait()
        reader.join()
        process.stderr.close()
        clear_beside(folder, process.pid)  # what was ended could not
    if status != 0:
        words = next((line for line in reversed(said) if line.startswith("seedcap: ")), None)
        message = words.removeprefix("seedcap: ") if words else "\n".join(said) or f"exit status {status}"
        raise UserError(f"The model could not be exported: {message}", topic="" if words else "export failed")


def _counted(line: str) -> tuple[int, int | None, str]:
    """A line of progress as numbers and words: ``Writing the decoder 2/3``."""
    found = re.fullmatch(r"(.*?)\s*(\d+)/(\d+)", line)
    words = f"Exporting the model, once: {found[1] if found else line}"
    return (int(found[2]), int(found[3]), words) if found else (0, None, words)


def _read_lines(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        if line.strip():
            lines.put(line.strip())
    lines.put(None)


def _is_sound(folder: Path, checkpoint: str) -> bool:
    """Whether a whole bundle is there, of this schema, and of the checkpoint as it is now."""
    try:
        manifest = load_manifest(folder)
    except BundleError:
        return False
    return manifest.schema == SCHEMA and manifest.decoder.checkpoint_sha256 == checkpoint


def _starter_fingerprint() -> str:
    """A hash over every file of the starter: another starter gets another bundle."""
    folder = paths.starter_dir()
    if not (folder / "captioner" / "checkpoint.json").is_file():
        raise UserError(f"The starter models are not at {folder}.", "Install Seedcap again.", topic="no starter")
    digest = hashlib.sha256(f"bundle schema {SCHEMA}\n".encode())
    for part in ("encoder", "lm", "captioner"):
        for path in sorted(p for p in (folder / part).rglob("*") if p.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:16]
