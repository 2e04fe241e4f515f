"""One way of captioning photos, timed in a process of its own so that its memory can be told from the others'.

``python -m core.bench.onnx_arms`` reads an :class:`ArmRequest` as JSON and prints an :class:`ArmResult` as JSON.

``generate``: what one writes first, a photo at a time through transformers' ``generate``. ``clipcap``: the published
beam search of ClipCap (arXiv 2111.09734), which runs the whole sequence again for each token. ``torch``: the models of
the checkpoint in batches with a key/value cache. ``bundle``: onnxruntime. All begin with JPEG files and end with
sentences; none computes scores.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np

from core.batch.engine import Timers
from core.batch.pipeline import in_threads
from core.bench.memory import peak_mb
from core.captioner.decoding import DecodingOptions, decode
from core.images.preprocess import Preprocess, load_pixels
from core.onnx.threads import decode_threads, usable_cores

BATCH = 32
_PASSES = 3
Kind = Literal["generate", "clipcap", "torch", "bundle"]


@dataclass(frozen=True)
class ArmRequest:
    """``model``: a checkpoint folder, for ``bundle`` a bundle's. ``tokens``: the most words of a caption; ``exactly``:
    it has no fewer. A full batch is captioned before the clock runs."""

    kind: Kind
    model: str
    photos: tuple[str, ...]
    beams: int = 1
    tokens: int = 12
    exactly: bool = False

    @property
    def batch(self) -> int:
        return BATCH if self.kind in ("torch", "bundle") else 1

    @property
    def decoding(self) -> DecodingOptions:
        method = "greedy" if self.beams == 1 else "beam"
        return DecodingOptions(method=method, beams=self.beams, max_tokens=self.tokens, no_repeat_ngram=0)


@dataclass(frozen=True)
class ArmResult:
    """``rate``: photos a second. ``shares`` of the time: ``wait`` for decoded photos, ``encode``, ``generate``.
    ``prefill_s``: the fastest pass of one batch through encoder and prefix, in seconds a photo. ``peak_mb``: of the
    process."""

    rate: float
    captions: tuple[str, ...]
    shares: dict[str, float]
    prefill_s: float
    peak_mb: float


class Model(Protocol):
    """What an arm needs: pixels to vectors, vectors to tokens, tokens to words."""

    preprocess: Preprocess

    def embed(self, pixels: np.ndarray) -> np.ndarray: ...
    def generate(self, vectors: np.ndarray) -> list[Sequence[int]]: ...
    def prefill(self, embeddings: np.ndarray) -> object: ...
    def text(self, tokens: Sequence[int]) -> str: ...


class TorchModel:
    """The checkpoint in torch, with a key/value cache; the base of the other two in torch."""

    def __init__(self, request: ArmRequest) -> None:
        import torch

        from core.captioner.checkpoint import load_captioner, read_info
        from core.captioner.torch_decoder import TorchDecoder
        from core.encoders.open_clip_encoder import load_encoder

        torch.set_num_threads(usable_cores())
        folder = Path(request.model)
        self.encoder = load_encoder(read_info(folder).encoder_id)
        self.captioner = load_captioner(folder, self.encoder.fingerprint)
        if request.exactly:
            self.captioner.info = replace(self.captioner.info, end_token_id=-1)
        self.request, self.preprocess = request, self.encoder.preprocess
        self.embed, self.text = self.encoder.encode_images, self.captioner.decode
        self.session: Any = TorchDecoder(self.captioner)
        self.prefill = self.session.prefill

    def generate(self, vectors: np.ndarray) -> list[Sequence[int]]:
        return [best.tokens for best, *_ in decode(self.session, vectors, self.request.decoding)]


class ByGenerate(TorchModel):
    """Greedy captions by transformers' own ``generate``."""

    def generate(self, vectors: np.ndarray) -> list[Sequence[int]]:
        import torch

        captioner, tokens = self.captioner, self.request.tokens
        with torch.inference_mode():
            prefix = captioner.prefix(torch.from_numpy(vectors))
            found = cast(Any, captioner.lm).generate(
                inputs_embeds=prefix,
                attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
                max_new_tokens=tokens,
                min_new_tokens=tokens if self.request.exactly else 1,
                do_sample=False,
                pad_token_id=0,
            )
        return found.tolist()


class WholeSequences:
    """A decoder session without a cache: what it calls one is the sequences themselves, run anew for each token."""

    def __init__(self, captioner: Any) -> None:
        self._captioner, self.end_token_id = captioner, captioner.end_token_id

    def prefill(self, embeddings: np.ndarray) -> tuple[np.ndarray, Any]:
        import torch

        with torch.inference_mode():
            return self._logits(self._captioner.prefix(torch.from_numpy(embeddings)))

    def step(self, cache: Any, tokens: np.ndarray) -> tuple[np.ndarray, Any]:
        import torch

        with torch.inference_mode():
            words = self._captioner.embed_tokens(torch.from_numpy(tokens)[:, None])
            return self._logits(torch.cat([cache, words], dim=1))

    def select(self, cache: Any, rows: np.ndarray) -> Any:
        return cache[rows]

    def _logits(self, sequences: Any) -> tuple[np.ndarray, Any]:
        logits = self._captioner.lm(inputs_embeds=sequences, use_cache=False).logits
        return logits[:, -1].numpy(), sequences


class ByClipCap(TorchModel):
    """The published beam search, the whole sequence run for each token and its logits computed at every place."""

    def __init__(self, request: ArmRequest) -> None:
        super().__init__(request)
        self.session = WholeSequences(self.captioner)


class BundleModel:
    """The bundle on onnxruntime, on the processor."""

    def __init__(self, request: ArmRequest) -> None:
        from core.onnx.session import open_bundle

        self._bundle, self._options = open_bundle(Path(request.model), provider="cpu"), request.decoding
        if request.exactly:
            self._bundle.decoder.end_token_id = -1
        self.preprocess = self._bundle.encoder.preprocess
        self.embed, self.text = self._bundle.encoder.encode_images, self._bundle.text
        self.prefill = self._bundle.decoder.prefill

    def generate(self, vectors: np.ndarray) -> list[Sequence[int]]:
        return [best.tokens for best, *_ in decode(self._bundle.decoder, vectors, self._options)]


_MODELS: dict[Kind, type[TorchModel] | type[BundleModel]] = {
    "generate": ByGenerate, "clipcap": ByClipCap, "torch": TorchModel, "bundle": BundleModel
}  # fmt: skip


def run_arm(request: ArmRequest) -> ArmResult:
    """Caption all photos and tell how fast."""
    model = _MODELS[request.kind](request)
    _caption(model, request.photos[: request.batch], request.batch, Timers())
    timers, started = Timers(), time.perf_counter()
    captions = _caption(model, request.photos, request.batch, timers)
    rate = len(request.photos) / (time.perf_counter() - started)
    return ArmResult(rate, tuple(captions), timers.shares(), _prefill_s(model, request), peak_mb())


def _caption(model: Model, photos: Sequence[str], batch: int, timers: Timers) -> list[str]:
    """The photos in batches are decoded ahead of the model, a single one when its turn comes."""
    if batch == 1:
        return [_one(model, photo, timers) for photo in photos]
    captions: list[str] = []
    load = lambda photo: load_pixels(Path(photo), model.preprocess)  # noqa: E731
    with closing(in_threads(photos, load, workers=decode_threads(), ahead=lambda: 2 * batch)) as pixels:
        while True:
            with timers.of("wait"):
                group = list(islice(pixels, batch))
            if not group:
                return captions
            captions += _words(model, group, timers)


def _one(model: Model, photo: str, timers: Timers) -> str:
    with timers.of("wait"):
        pixels = load_pixels(Path(photo), model.preprocess)
    return _words(model, [pixels], timers)[0]


def _words(model: Model, pixels: Sequence[np.ndarray], timers: Timers) -> list[str]:
    with timers.of("encode"):
        vectors = model.embed(np.stack(pixels))
    with timers.of("generate"):
        return [model.text(tokens) for tokens in model.generate(vectors)]


def _prefill_s(model: Model, request: ArmRequest) -> float:
    photos = [load_pixels(Path(photo), model.preprocess) for photo in request.photos[: request.batch]]
    pixels, seconds = np.stack(photos), []
    for _ in range(_PASSES):
        started = time.perf_counter()
        model.prefill(model.embed(pixels))
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(photos)


def main() -> None:
    request = ArmRequest(**json.load(sys.stdin))
    sys.stdout.write(json.dumps(asdict(run_arm(request))) + "\n")


if __name__ == "__main__":
    main()
