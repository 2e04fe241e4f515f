"""A bundle: the folder that captions photos with onnxruntime alone. Its manifest, and the checks before it is run.

A bundle comes from a disk, a colleague or the internet. Nothing in it is opened by a runtime before its manifest has
been understood and each file found to be inside the folder, listed, whole, and as it was when it was exported.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from core.errors import UserError
from core.images.preprocess import Preprocess
from core.onnx.onnx_file import MalformedOnnxError, external_locations

SCHEMA = 1
"""Version of the manifest. A bundle with a higher one was written by a newer Seedcap and is refused."""
MANIFEST = "manifest.json"
CARD = "README.md"
"""For people; no part of the model, so the manifest does not list it."""
IMAGE_ENCODER, TEXT_ENCODER, DECODER = "image_encoder.onnx", "text_encoder.onnx", "decoder.onnx"
TOKENIZER = "tokenizer.json"
REQUIRED = (IMAGE_ENCODER, TEXT_ENCODER, DECODER, TOKENIZER)
PRECISIONS = ("fp32", "fp16", "int8")

_EXPORT_AGAIN = "Export the bundle again with 'seedcap bundle', or take a fresh copy of it."
_MANIFEST_LIMIT = 4_000_000
_MOST_CACHED = 10_000_000
"""Keys of one token; language models of 70 billion parameters have 655,360."""
_T = TypeVar("_T")


class BundleError(UserError):
    """A bundle that cannot be trusted or understood; the message names the folder or file and the fault."""

    def __init__(self, message: str, next_step: str = _EXPORT_AGAIN) -> None:
        super().__init__(message, next_step)


@dataclass(frozen=True)
class FileEntry:
    """What a file of the bundle must be: ``sha256`` in hexadecimal, ``size`` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class EncoderPart:
    """The encoder inside: what vectors it makes, and how pictures and texts must be prepared for it.

    ``tokenizer``: the file with the encoder's own tokenizer. ``context_length``: the most tokens it reads.
    ``fixed_length``: texts are padded to ``context_length`` (otherwise to the longest of a batch). ``logit_scale``:
    what it multiplied cosines with when it learned; None in bundles of earlier versions.
    """

    id: str
    fingerprint: str
    dim: int
    prompt: str
    preprocess: Preprocess
    tokenizer: str
    context_length: int
    pad_token_id: int
    fixed_length: bool
    logit_scale: float | None = None


@dataclass(frozen=True)
class DecoderPart:
    """Mapper and language model: the shape of the cache (``layers``, ``heads``, ``head_dim``) and where they are from.

    ``max_positions``: the most vectors in a sequence, prefix included.
    """

    lm_id: str
    lm_sha256: str
    checkpoint_sha256: str
    tokenizer_sha256: str
    prefix_length: int
    layers: int
    heads: int
    head_dim: int
    vocab_size: int
    max_positions: int
    end_token_id: int


@dataclass(frozen=True)
class Manifest:
    """Everything a bundle says about itself. ``decoding``: its defaults; ``parity``: how it was checked.

    ``precision_loss``: what smaller numbers lose against fp32 (:mod:`core.onnx.precision_loss`); empty where nothing
    was measured, as in bundles of earlier versions.
    """

    schema: int
    made_by: str
    source: str
    precision: str
    encoder: EncoderPart
    decoder: DecoderPart
    decoding: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    precision_loss: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_hash(self) -> str:
        """A hash over the hashes of all files: the same captions come out where it is the same."""
        lines = "".join(f"{name} {entry.sha256}\n" for name, entry in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def same_captions(self) -> tuple[int, int] | None:
        """Of how many photos the bundle said the same as the model it was exported from, and of how many it was asked;
        ``None`` where the manifest does not say."""
        same, photos = self.parity.get("identical"), self.parity.get("photos")
        if not isinstance(same, int) or not isinstance(photos, int):
            return None
        return (same, photos) if 0 <= same <= photos and photos > 0 else None

    def to_json(self) -> str:
        values = asdict(self)
        values["encoder"]["preprocess"] = self.encoder.preprocess.to_dict()
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """Read and check the manifest of the bundle in ``folder``; with ``verify`` each file it lists as well.

    Raises :class:`BundleError` naming the first fault found.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a bundle: there is no such folder.", "Name the folder of a bundle.")
    manifest = _parse(folder / MANIFEST, _read_json(folder / MANIFEST))
    for name in (*REQUIRED, manifest.encoder.tokenizer):
        if name not in manifest.files:
            raise BundleError(f"The manifest of {folder} does not list {name}.")
    if verify:
        for name, entry in manifest.files.items():
            _verify(folder / name, entry)
        for name in manifest.files:
            if name.endswith(".onnx"):
                _verify_external_data(folder / name, manifest)
    return manifest


def faster_folder(library: Path, run_id: str | None) -> Path:
    """Where the int8 bundle of a library's model lies, or will lie; without a run that of the starter."""
    return library / "bundles" / f"{run_id or 'starter'}-int8"


def write_manifest(manifest: Manifest, folder: Path) -> Manifest:
    """Write it into ``folder`` with an entry for each file there; returns it with these entries."""
    found = sorted(path for path in folder.iterdir() if path.name not in (MANIFEST, CARD))
    listed = replace(manifest, files={path.name: describe_file(path) for path in found})
    (folder / MANIFEST).write_text(listed.to_json(), encoding="utf-8")
    return listed


def describe_file(path: Path) -> FileEntry:
    """The entry of a file that goes into a manifest."""
    return FileEntry(sha256_of(path), path.stat().st_size)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise BundleError(f"{path.parent} is not a bundle: it has no {MANIFEST}.", "Name the folder of a bundle.")
    if path.stat().st_size > _MANIFEST_LIMIT:
        raise BundleError(f"{path} is far too large for a manifest.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise BundleError(f"{path} is not a manifest.")
    return values


def _parse(path: Path, values: Mapping[str, Any]) -> Manifest:
    schema = _get(path, values, "schema", int)
    if schema > SCHEMA:
        raise BundleError(
            f"The bundle {path.parent} has schema {schema}, and this version of Seedcap knows schemas up to {SCHEMA}.",
            "Update Seedcap, or export the bundle with this version.",
        )
    if schema < 1:
        raise BundleError(f"{path} has no valid schema version ({schema}).")
    precision = _get(path, values, "precision", str)
    if precision not in PRECISIONS:
        raise BundleError(f"{path}: precision {precision!r} is none of {', '.join(PRECISIONS)}.")
    return Manifest(
        schema=schema,
        made_by=_get(path, values, "made_by", str),
        source=_get(path, values, "source", str),
        precision=precision,
        encoder=_parse_encoder(path, _get(path, values, "encoder", dict)),
        decoder=_parse_decoder(path, _get(path, values, "decoder", dict)),
        decoding=_get(path, values, "decoding", dict),
        files=_parse_files(path, _get(path, values, "files", dict)),
        parity=_get(path, values, "parity", dict),
        precision_loss=_get(path, {"precision_loss": {}, **values}, "precision_loss", dict),
    )


def _parse_encoder(path: Path, values: Mapping[str, Any]) -> EncoderPart:
    try:
        spec = Preprocess.from_dict(_get(path, values, "preprocess", dict))
    except ValueError as error:
        raise BundleError(f"{path}: 'preprocess' is not understood: {error}") from error
    tokenizer = _get(path, values, "tokenizer", str)
    _check_name(path, tokenizer)
    return EncoderPart(
        id=_get(path, values, "id", str),
        fingerprint=_get(path, values, "fingerprint", str),
        dim=_positive(path, values, "dim"),
        prompt=_get(path, values, "prompt", str),
        preprocess=spec,
        tokenizer=tokenizer,
        context_length=_positive(path, values, "context_length"),
        pad_token_id=_token(path, values, "pad_token_id"),
        fixed_length=_get(path, values, "fixed_length", bool),
        logit_scale=_scale(path, values),
    )


def _scale(path: Path, values: Mapping[str, Any]) -> float | None:
    scale = values.get("logit_scale")
    if scale is not None and not (isinstance(scale, int | float) and 0 < scale < math.inf):
        raise BundleError(f"{path}: 'logit_scale' is {scale!r}, not a number above 0.")
    return scale


def _parse_decoder(path: Path, values: Mapping[str, Any]) -> DecoderPart:
    part = DecoderPart(
        lm_id=_get(path, values, "lm_id", str),
        lm_sha256=_get(path, values, "lm_sha256", str),
        checkpoint_sha256=_get(path, values, "checkpoint_sha256", str),
        tokenizer_sha256=_get(path, values, "tokenizer_sha256", str),
        prefix_length=_positive(path, values, "prefix_length"),
        layers=_positive(path, values, "layers"),
        heads=_positive(path, values, "heads"),
        head_dim=_positive(path, values, "head_dim"),
        vocab_size=_positive(path, values, "vocab_size"),
        max_positions=_positive(path, values, "max_positions"),
        end_token_id=_token(path, values, "end_token_id"),
    )
    if part.layers * part.heads * part.head_dim > _MOST_CACHED:
        raise BundleError(f"{path}: a cache of {part.layers} × {part.heads} × {part.head_dim} numbers is of no model.")
    if part.end_token_id >= part.vocab_size:
        raise BundleError(f"{path}: the end token {part.end_token_id} is none of the {part.vocab_size} tokens.")
    if part.prefix_length >= part.max_positions:
        raise BundleError(f"{path}: a prefix of {part.prefix_length} leaves no room in {part.max_positions} positions.")
    return part


def _parse_files(path: Path, values: Mapping[str, Any]) -> dict[str, FileEntry]:
    entries: dict[str, FileEntry] = {}
    for name, entry in values.items():
        _check_name(path, name)
        if not isinstance(entry, dict):
            raise BundleError(f"{path}: the entry of {name} is not understood.")
        entries[name] = FileEntry(_get(path, entry, "sha256", str), _get(path, entry, "size", int))
    return entries


def _check_name(path: Path, name: str) -> None:
    """A file of a bundle lies in its folder, and its name says no more than that."""
    plain = name and name.isascii() and name.isprintable() and not set(name) & set('/\\:*?"<>|') and name[0] != "."
    if not plain:
        raise BundleError(f"{path} names the file {name!r}, which is not a plain name inside the bundle's folder.")


def _verify(path: Path, entry: FileEntry) -> None:
    if path.is_symlink():
        raise BundleError(f"{path} is a link: a bundle holds its files itself.")
    if not path.is_file():
        raise BundleError(f"The file {path} is missing.")
    size = path.stat().st_size
    if size != entry.size:
        raise BundleError(f"{path} has {size:,} bytes, and the manifest says {entry.size:,}: it is cut off or changed.")
    if sha256_of(path) != entry.sha256.lower():
        raise BundleError(f"{path} is not the file that was exported: its sha256 differs from the manifest's.")


def _verify_external_data(path: Path, manifest: Manifest) -> None:
    try:
        locations = external_locations(path)
    except (MalformedOnnxError, OSError) as error:
        raise BundleError(f"{path} is not a model in ONNX format: {error}.") from error
    for location in locations:
        _check_name(path, location)
        if location not in manifest.files:
            raise BundleError(f"{path} keeps numbers in the file {location!r}, which the manifest does not list.")


def _get(path: Path, values: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = values.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "missing" if key not in values else f"{value!r:.60}"
        raise BundleError(f"{path}: {key!r} must be of type {kind.__name__}, and is {found}.")
    return value


def _positive(path: Path, values: Mapping[str, Any], key: str) -> int:
    value = _get(path, values, key, int)
    if not 0 < value < 10_000_000:
        raise BundleError(f"{path}: {key!r} cannot be {value}.")
    return value


def _token(path: Path, values: Mapping[str, Any], key: str) -> int:
    value = _get(path, values, key, int)
    if not 0 <= value < 10_000_000:
        raise BundleError(f"{path}: {key!r} cannot be {value}.")
    return value
