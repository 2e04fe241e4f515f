"""How unsure the library's model is of its own captions, for the photos it is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.captioner.decoding import DecodingOptions, decode
from core.errors import UserError
from core.jobs import JobContext
from core.library.library import Library
from core.library.records import RunRow
from core.library.runs import current_run
from core.onnx.bundle import BundleError
from core.training.runfolder import kept_checkpoint

if TYPE_CHECKING:
    from core.captioner.decoding import DecoderSession

_LONGEST = 32


def model_doubts(library: Library, encoder_fingerprint: str, vectors: np.ndarray, ctx: JobContext) -> np.ndarray | None:
    """Nats a token ``[n]`` of the greedy captions of unit ``vectors`` ``[n, dim]``: −mean log p, higher is less sure.

    ``None`` where no model can be asked: none was trained yet, it reads other vectors, or its files are gone.
    """
    run = current_run(library)
    if run is None or run.encoder_fingerprint != encoder_fingerprint or not len(vectors):
        return None
    ctx.progress(0, None, "Asking the model what it is unsure of")
    try:
        session = _session(library, run)
    except UserError:
        return None  # which photos to caption can be said without it
    options = DecodingOptions(method="greedy", max_tokens=_LONGEST)
    return np.array([-found[0].average for found in decode(session, vectors, options, ctx)])


def _session(library: Library, run: RunRow) -> DecoderSession:
    """The run's bundle where it was exported, else its checkpoint (which takes torch)."""
    folder = library.bundles_dir / run.id
    if (folder / "manifest.json").is_file():
        from core.onnx.session import open_bundle

        try:
            return open_bundle(folder).decoder
        except BundleError:
            pass  # a damaged export: captioning says so and makes it again
    from core.captioner.checkpoint import load_captioner
    from core.captioner.torch_decoder import TorchDecoder

    return TorchDecoder(load_captioner(kept_checkpoint(run.folder), run.encoder_fingerprint))
