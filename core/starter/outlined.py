"""The last step of making starter models: their bundle, exported and compared with them, without its numbers."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from core.children import child_environment, module_command
from core.errors import UserError
from core.jobs import JobContext
from core.onnx.outline import OUTLINE, write_outline
from core.onnx.source import STARTER


def add_outline(ctx: JobContext, models: Path) -> None:
    """Export the starter in ``models`` and put the outline of that bundle beside it; needed again with another torch
    or exporter only if the graphs shall follow.

    Raises ``UserError`` where it cannot be exported, or not be had back from its outline.
    """
    ctx.progress(0, None, "Exporting the bundle")
    with tempfile.TemporaryDirectory() as work:
        bundle = Path(work) / "bundle"
        command = module_command("core.cli", "bundle", STARTER, str(bundle))
        done = subprocess.run(command, env=child_environment(SEEDCAP_STARTER=str(models.absolute())), check=False)
        if done.returncode != 0:
            raise UserError(f"The bundle of {models} could not be exported.", "What is wrong stands above.")
        write_outline(models, bundle, models / OUTLINE)
