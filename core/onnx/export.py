"""From a trained captioner to a bundle: three graphs, the tokenizers, a manifest, and the proof that they agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from core.captioner.blend import check_share, load_blend
from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner, read_info
from core.captioner.decoding import DecodingOptions
from core.disk import new_folder_beside, put_folder_in_place
from core.encoders.open_clip_encoder import OpenClipEncoder, load_encoder
from core.errors import UserError
from core.jobs import JobContext, PartOfWhole
from core.metrics.guards import BAD_ENDINGS
from core.onnx import bundle as files
from core.onnx import graphs, quantize
from core.onnx.bundle import SCHEMA, DecoderPart, EncoderPart, Manifest, write_manifest
from core.onnx.model_card import is_own_card, write_card
from core.onnx.parity import ParityReport, check_parity
from core.onnx.precision_loss import PrecisionLoss, read_loss
from core.onnx.samples import Pictures, library_of, of_library, rendered_scenes
from core.onnx.session import open_bundle
from core.onnx.smaller import Evidence, make_smaller
from core.onnx.source import STARTER, blend_ends, find_checkpoint, model_sha256
from core.onnx.tokenizer_files import encoder_tokenizer_file, tokenizer_content
from core.version import version

_TEXT_TOKENIZER = "text_tokenizer.json"
_PARITY_SCENES = 24
_LOSS_SCENES = 100
_TEXT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportRequest:
    """``source``: ``starter``, a run folder, or a checkpoint folder. ``out``: the bundle's folder, made or replaced.

    ``photos``: pictures for the parity check (none: rendered scenes), and to measure what smaller numbers lose, with
    ``captions`` of people for each photo (``()``: nobody has described it); none: those of the library whose run
    ``source`` is, else rendered scenes. ``decoding``: the bundle's defaults;
    by default greedy captions as long as the model's seeds ask for, that do not end in mid-sentence.
    ``distinctive``: for a run with both stages, a mix of them from 0 (stage 1) to 1 (stage 2) instead of the one kept.
    """

    source: str
    out: Path
    precision: str = "fp32"
    photos: tuple[Path, ...] = ()
    decoding: DecodingOptions | None = None
    distinctive: float | None = None
    captions: tuple[tuple[str, ...], ...] = ()
    on: str = "photos given"


@dataclass(frozen=True)
class ExportReport:
    """``bundle``: the folder written; ``bytes``: its size; ``model_hash``: identifies what it says. ``loss``: against
    fp32, where the numbers are smaller."""

    bundle: Path
    precision: str
    bytes: int
    model_hash: str
    parity: ParityReport
    loss: PrecisionLoss | None = None


def export_job(ctx: JobContext, request: ExportRequest) -> ExportReport:
    """Export, check parity, and put the bundle in place in one move: ``out`` never holds half of one.

    Raises:
        UserError: the source holds no captioner, ``out`` holds something else, or the precision is not offered.
    """
    quantize.check_precision(request.precision)
    checkpoints = _checkpoints(request)
    exact = request.precision == "fp32"
    with _new_folder(request.out) as folder:
        ctx.progress(0, 100, "Loading the model")
        encoder = load_encoder(read_info(checkpoints[0]).encoder_id)
        captioner = _captioner(request, checkpoints, encoder.fingerprint)
        writing = PartOfWhole(ctx, 10, 65 if exact else 40)
        manifest = _write_graphs(writing, request, encoder, captioner, folder)
        made_of = model_sha256(request.source, request.distinctive)
        manifest = replace(manifest, decoder=replace(manifest.decoder, checkpoint_sha256=made_of))
        manifest = write_manifest(manifest, folder)
        ctx.check_cancelled()
        if not exact:
            manifest = make_smaller(PartOfWhole(ctx, 40, 80), folder, manifest, request.precision, _evidence(request))
        parity = _parity(PartOfWhole(ctx, 65 if exact else 80, 100), request, encoder, captioner, folder)
        manifest = write_manifest(replace(manifest, parity=parity.to_dict()), folder)
        run = Path(request.source).expanduser()
        write_card(folder, manifest, run if (run / "report.json").is_file() else None)
    size = sum(entry.size for entry in manifest.files.values())
    loss = read_loss(manifest.precision_loss)
    return ExportReport(request.out, request.precision, size, manifest.model_hash, parity, loss)


def _evidence(request: ExportRequest) -> Evidence:
    """What smaller numbers are measured on: the photos given, else those of the run's library, else drawn scenes."""
    if request.photos:
        captions = request.captions or ((),) * len(request.photos)
        return Evidence(Pictures(request.photos), captions, request.on)
    library = library_of(request.source)
    if library is not None:
        found = of_library(library)
        if found.photos:
            return Evidence(Pictures(found.photos), found.captions, found.on)
    return Evidence(rendered_scenes(_LOSS_SCENES), ((),) * _LOSS_SCENES, "rendered scenes")


def _checkpoints(request: ExportRequest) -> tuple[Path, ...]:
    if request.distinctive is None:
        return (find_checkpoint(request.source),)
    check_share(request.distinctive)
    return blend_ends(request.source)


def _captioner(request: ExportRequest, checkpoints: tuple[Path, ...], fingerprint: str) -> Captioner:
    if request.distinctive is None:
        return load_captioner(checkpoints[0], fingerprint)
    return load_blend((checkpoints[0], checkpoints[1]), request.distinctive, fingerprint)


def _write_graphs(
    ctx: JobContext, request: ExportRequest, encoder: OpenClipEncoder, captioner: Captioner, folder: Path
) -> Manifest:
    steps = "Writing the image encoder", "Writing the text encoder", "Writing the decoder"
    ctx.progress(0, 3, steps[0])
    graphs.export_image_graph(encoder, folder / files.IMAGE_ENCODER)
    ctx.check_cancelled()
    ctx.progress(1, 3, steps[1])
    fixed_length = graphs.export_text_graph(encoder, folder / files.TEXT_ENCODER)
    ctx.check_cancelled()
    ctx.progress(2, 3, steps[2])
    shape = graphs.cache_shape(captioner)
    graphs.export_decoder_graph(captioner, shape, folder / files.DECODER)
    ctx.check_cancelled()
    ctx.progress(3, 3, "Graphs written")
    tokenizer, pad = _write_tokenizers(encoder, captioner, folder)
    return Manifest(
        schema=SCHEMA,
        made_by=f"seedcap {version()}",
        source=STARTER if request.source == STARTER else Path(request.source).name,
        precision="fp32",
        encoder=EncoderPart(
            id=encoder.id,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            prompt=encoder.prompt,
            preprocess=encoder.preprocess,
            tokenizer=tokenizer,
            context_length=encoder.context_length,
            pad_token_id=pad,
            fixed_length=fixed_length,
            logit_scale=float(encoder.logit_scale),
        ),
        decoder=_decoder_part(captioner, shape),
        decoding=_decoding(request, captioner),
    )


def _decoder_part(captioner: Captioner, shape: graphs.CacheShape) -> DecoderPart:
    info = captioner.info
    return DecoderPart(
        lm_id=info.lm_id,
        lm_sha256=_weights_sha256(captioner.lm),
        checkpoint_sha256="",
        tokenizer_sha256=info.tokenizer_sha256,
        prefix_length=info.prefix_length,
        layers=shape.layers,
        heads=shape.heads,
        head_dim=shape.head_dim,
        vocab_size=int(captioner.head(captioner.prefix(_zeros(captioner))[:, -1]).shape[-1]),
        max_positions=captioner.max_tokens + info.prefix_length,
        end_token_id=info.end_token_id,
    )


def _zeros(captioner: Captioner) -> Any:
    import torch

    return torch.zeros(1, captioner.info.dim)


def _decoding(request: ExportRequest, captioner: Captioner) -> dict[str, Any]:
    options = request.decoding or DecodingOptions(
        max_tokens=captioner.info.caption_tokens, bad_endings=bad_ending_tokens(captioner.tokenizer)
    )
    return asdict(replace(options, max_tokens=min(options.max_tokens, captioner.max_tokens)))


def bad_ending_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens that are, after another word, one of the words that leave a sentence open.

    A word of several tokens is left out: its last token ends other words as well.
    """
    before = "photo"  # any word: how a tokenizer marks a word's beginning is its own affair
    start = list(tokenizer(before, add_special_tokens=False)["input_ids"])
    found: set[int] = set()
    for word in BAD_ENDINGS:
        ids = list(tokenizer(f"{before} {word}", add_special_tokens=False)["input_ids"])
        if len(ids) == len(start) + 1 and ids[:-1] == start:
            found.add(ids[-1])
    return tuple(sorted(found))


def _write_tokenizers(encoder: OpenClipEncoder, captioner: Captioner, folder: Path) -> tuple[str, int]:
    """Write both tokenizers, or one where they are the same; the name of the encoder's file and its padding id."""
    ours = tokenizer_content(captioner.tokenizer.backend_tokenizer)
    theirs = encoder_tokenizer_file(encoder.tokenizer)
    (folder / files.TOKENIZER).write_text(ours, encoding="utf-8")
    if theirs.content == ours:
        return files.TOKENIZER, theirs.pad_token_id
    (folder / _TEXT_TOKENIZER).write_text(theirs.content, encoding="utf-8")
    return _TEXT_TOKENIZER, theirs.pad_token_id


def _parity(
    ctx: JobContext, request: ExportRequest, encoder: OpenClipEncoder, captioner: Captioner, folder: Path
) -> ParityReport:
    bundle = open_bundle(folder, provider="cpu")
    if request.photos:
        # Smaller numbers are measured on all of them; against the model a few are enough.
        most = None if request.precision == "fp32" else _PARITY_SCENES
        photos, on = Pictures(request.photos[:most]), request.on
    else:
        photos, on = rendered_scenes(_PARITY_SCENES), "rendered scenes"
    report = check_parity(bundle, encoder, captioner, photos, on, ctx)
    if request.precision == "fp32" and report.text_difference > _TEXT_TOLERANCE:
        raise UserError(
            f"The bundle's text encoder gives other vectors than the model's (by {report.text_difference:.3g}).",
            "This encoder's tokenizer is not understood; use another encoder, and report this as a fault.",
        )
    return report


def _weights_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = np.atleast_1d(tensor.detach().float().cpu().contiguous().numpy())
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place at the end, or vanishes on any failure."""
    out = out.absolute()
    if out.exists() and not _replaceable(out):
        raise UserError(f"{out} exists and is not a bundle.", "Choose a new folder for the bundle.")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(new_folder_beside(out))
        except OSError as error:
            raise UserError(
                f"The bundle cannot be written to {out}: {error.strerror}.", "Choose another place."
            ) from error
        yield folder
        put_folder_in_place(folder, out)


def _replaceable(out: Path) -> bool:
    """An empty folder, or a bundle and nothing else: many programs call a file manifest.json. A card that somebody has
    changed is somebody's."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir()}
    if not names:
        return True
    try:
        known = files.load_manifest(out, verify=False).files
    except files.BundleError:
        return False
    ours = {files.CARD} if is_own_card(out / files.CARD) else set()
    return names <= {files.MANIFEST, *known} | ours
