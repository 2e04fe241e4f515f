"""Which models captions can be made with, and what their bundles' manifests say of how they were checked. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core import paths
from core.errors import UserError

if TYPE_CHECKING:
    from core.onnx.precision_loss import PrecisionLoss

STARTER = "starter"  # as a captioning names it


@dataclass(frozen=True)
class Checked:
    """``same``: of how many photos a bundle said the same as its model, and of how many it was asked; None where there
    is no bundle yet, or it does not say. ``loss``: what was measured of smaller numbers. ``refused``: why a folder is
    no bundle."""

    same: tuple[int, int] | None = None
    loss: PrecisionLoss | None = None
    refused: str = ""


def checked(library: Path, run_id: str | None) -> Checked:
    """What is known of the exact bundle of a run, without one of the starter, and of that with smaller numbers."""
    from core.onnx.bundle import faster_folder
    from core.onnx.outline import OUTLINE

    exact = paths.starter_dir() / OUTLINE if run_id is None else library / "bundles" / run_id
    return Checked(checked_bundle(exact).same, checked_bundle(faster_folder(library, run_id)).loss)


def checked_bundle(folder: Path) -> Checked:
    """What the manifest in ``folder`` says; its files are looked through when it captions."""
    from core.onnx.bundle import load_manifest
    from core.onnx.precision_loss import read_loss

    try:
        manifest = load_manifest(folder, verify=False)
    except UserError as error:
        return Checked(refused=str(error))
    return Checked(manifest.same_captions, read_loss(manifest.precision_loss))
