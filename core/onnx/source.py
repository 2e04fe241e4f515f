"""What a bundle is exported from: the checkpoint that a name means, and a hash that tells whether it has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from core import paths
from core.errors import UserError
from core.onnx.bundle import sha256_of
from core.training.runfolder import warm_checkpoint

STARTER = "starter"


def find_checkpoint(source: str) -> Path:
    """The checkpoint folder that ``source`` means: of the starter, of a run (the stage that was kept), or itself."""
    if source == STARTER:
        return paths.starter_dir() / "captioner"
    folder = Path(source).expanduser()
    if (folder / "checkpoint.json").is_file():
        return folder
    kept = _kept_stage(folder / "report.json")
    if kept == "before":
        raise UserError(
            f"The run {folder.name} kept the model that it began with: nothing it tried was better.",
            f"Export that model, or name a stage of this run: {folder / 'stage1'}.",
        )
    for stage in (kept, "stage2", "stage1"):
        if stage and (folder / stage / "checkpoint.json").is_file():
            return folder / stage
    raise UserError(
        f"{folder} holds no trained captioner.",
        "Name a run folder (inside the library's 'runs' folder), a checkpoint folder, or 'starter'.",
    )


def blend_ends(source: str) -> tuple[Path, Path]:
    """The two checkpoints of a run between which its captions can be chosen: the wording it went into stage 2 with,
    and stage 2, also where that was not kept.

    Raises:
        UserError: ``source`` is no folder of a finished run with a stage 2.
    """
    run = Path(source).expanduser()
    report = _report(run / "report.json")
    if source == STARTER or report is None or not (run / "stage2" / "checkpoint.json").is_file():
        raise UserError(
            f"{source} has no stage 2 to mix with: only a run that practised on photos has.",
            "Name the folder of a run with both stages (inside the library's 'runs' folder).",
        )
    return warm_checkpoint(run), run / "stage2"


def model_sha256(source: str, distinctive: float | None = None) -> str:
    """The hash of what ``source`` means; of a mix of its stages where ``distinctive`` is given."""
    if distinctive is None:
        return checkpoint_sha256(find_checkpoint(source))
    parts = [checkpoint_sha256(folder) for folder in blend_ends(source)]
    return hashlib.sha256(f"blend {distinctive!r} {' '.join(parts)}".encode()).hexdigest()


def checkpoint_sha256(folder: Path) -> str:
    """A hash over the files of a checkpoint; what training keeps beside them does not count."""
    found = [folder / "checkpoint.json", folder / "mapper.safetensors"]
    found += sorted(path for path in (folder / "lm").rglob("*") if path.is_file())
    present = [path for path in found if path.is_file()]
    lines = "".join(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n" for path in present)
    return hashlib.sha256(lines.encode()).hexdigest()


def _kept_stage(report: Path) -> str | None:
    """Which model the run ended with (``before``, ``stage1``, ``stage2``), where its report says so."""
    kept = (_report(report) or {}).get("kept")
    return kept if kept in ("before", "stage1", "stage2") else None


def _report(file: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
