"""Whether a finished training's model becomes the library's: it has to win against the one that captions there now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import paths
from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner
from core.encoders.embed import embed_library
from core.encoders.encoder import Encoder
from core.encoders.load import load_encoder
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import JobContext, Titled
from core.library.library import Library
from core.library.queries import image_rows
from core.library.records import RunRow
from core.library.runs import current_run, encoder_name, set_current_run
from core.report.measure import judged_ids
from core.running_out import MAY_SAY_SO, NoRoomError, is_out_of_memory, where_it_fits
from core.training.data import TrainingData
from core.training.evaluate import Judge
from core.training.messages import COMPARING
from core.training.runfolder import kept_checkpoint
from core.training.verdict import IN_USE, Verdict, judge_against_current

NO_ROOM = "The library keeps the model it has: there was no memory to compare the new one with it."


@dataclass(frozen=True)
class Learned:
    """What a run ended with. ``from_starter``: its stages began with the starter's captioner, so that the starter has
    been compared with already."""

    captioner: Captioner
    encoder: Encoder
    data: TrainingData
    from_starter: bool


def take_over(library: Library, run: RunRow, learned: Learned, ctx: JobContext) -> str:
    """Make the run's model the library's, if it is better than the one in use; says which is used, in a sentence.

    Where no training's model is in use the starter's is, whatever this run began with.
    """
    current = current_run(library)
    if current is None:
        verdict = Verdict(True, IN_USE) if learned.from_starter else _compared(library, None, learned, ctx)
    else:
        verdict = Verdict(True, IN_USE) if current.id == run.id else _compared(library, current, learned, ctx)
    if verdict.better:
        set_current_run(library, run.id)
    return verdict.reason


def _compared(library: Library, current: RunRow | None, learned: Learned, ctx: JobContext) -> Verdict:
    """The new model against the one in use. The training has ended well by now: too little memory to compare does not
    fail it."""
    ctx.progress(0, None, COMPARING)
    try:
        return _judged(library, current, learned, ctx)
    except MAY_SAY_SO as error:
        if not is_out_of_memory(error):
            raise
        return Verdict(False, NO_ROOM)


def _judged(library: Library, current: RunRow | None, learned: Learned, ctx: JobContext) -> Verdict:
    """The new model against that of ``current``, or against the starter's; each sees photos with its own encoder."""
    new = learned.captioner
    try:
        folder = paths.starter_dir() / "captioner" if current is None else kept_checkpoint(current.folder)
        old = where_it_fits(lambda device: load_captioner(folder, device=device), new.device)
        longest = max(old.info.caption_tokens, new.info.caption_tokens)
        judge = Judge(learned.data, learned.encoder, new, min(longest, old.max_tokens, new.max_tokens), ctx)
        images = judge.images
        if old.info.encoder_fingerprint != learned.encoder.fingerprint:
            ids = judged_ids(learned.data, judge)
            images = _seen(library, old, encoder_name(current), ids, Titled(ctx, COMPARING))
    except NoRoomError:
        raise
    except UserError:
        return Verdict(True, IN_USE)  # the old model's files are gone or damaged: it cannot be the better one
    if images is None:
        return Verdict(False, "The library keeps the model it has: photos to compare the new one on cannot be read.")
    whose = "starter model" if current is None else "model it has"
    return judge_against_current(judge(old, images), judge(new), whose)


def _seen(library: Library, old: Captioner, name: str, image_ids: np.ndarray, ctx: JobContext) -> np.ndarray | None:
    """Unit rows ``[n, dim]`` of the photos as the encoder ``name`` of ``old`` sees them; ``None``: some cannot be read.

    Raises:
        UserError: that encoder is not here any more, or is another one now.
    """
    hashes = {row.id: row.content_hash for row in image_rows(library, image_ids)}
    wanted = [hashes.get(image_id, "") for image_id in image_ids.tolist()]
    store = VectorStore(library, old.info.encoder_fingerprint, old.info.dim)
    if store.missing(wanted):

        def embed(device: str) -> None:
            encoder = load_encoder(name, device)
            if encoder.fingerprint != old.info.encoder_fingerprint:
                raise UserError(f"The encoder '{name}' is not the one it was.", "Train again.")
            embed_library(library, encoder, ctx, only=set(wanted))

        where_it_fits(embed, old.device)
    return None if store.missing(wanted) else store.get(wanted)
