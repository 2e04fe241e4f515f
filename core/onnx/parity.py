"""Does a bundle say what the model it was exported from says? Vectors compared by number, captions token for token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from PIL import Image

from core.captioner.captioner import Captioner
from core.captioner.decoding import Hypothesis, decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.open_clip_encoder import OpenClipEncoder
from core.images.preprocess import preprocess
from core.jobs import JobContext
from core.onnx.session import Bundle

TIE = 1e-4
"""Two continuations whose log-probabilities are closer than this are a tie: rounding decides which is taken."""
_BATCH = 16
_SENTENCES = (
    "A brown dog runs through the grass.",
    "two  cubes\tand a ball",
    "It’s “my” caf\u00e9 — 12 o'clock &amp; all is well!",
    "",
    "a " * 200,
)


@dataclass(frozen=True)
class Count:
    """How many of ``photos`` got the same tokens."""

    photos: int
    identical: int


@dataclass(frozen=True)
class ParityReport:
    """``photos`` and ``identical`` count photos whose captions are the same greedy and by beam search alike.

    ``image_difference``, ``text_difference``: the largest absolute difference of any number of any vector.
    ``unexplained``: those that differ although the model was sure, not by a tie (:data:`TIE`).
    ``clip_s_difference``: mean CLIP-S of the bundle's greedy captions minus the model's, both by the model's encoder.
    """

    photos: int
    identical: int
    greedy: Count
    beam: Count
    image_difference: float
    text_difference: float
    clip_s_difference: float
    on: str
    unexplained: int = 0

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        return (
            f"{self.identical} of {self.photos} photos get the same captions, token for token, from the model and "
            f"from the bundle (greedy {self.greedy.identical}, beam {self.beam.identical})."
        )


def check_parity(
    bundle: Bundle,
    encoder: OpenClipEncoder,
    captioner: Captioner,
    photos: Sequence[Image.Image],
    on: str,
    ctx: JobContext,
) -> ParityReport:
    """Run both on the same pictures, each from its pixels on, and decode as the bundle is set to.

    ``on``: what pictures these are, for the report.
    """
    options = bundle.decoding()
    torch_decoder = TorchDecoder(captioner)
    greedy, beam = replace(options, method="greedy", candidates=1), replace(options, method="beam", candidates=1)
    identical = {"greedy": np.zeros(len(photos), bool), "beam": np.zeros(len(photos), bool)}
    sure: set[int] = set()
    image_difference, clip_s_sum = 0.0, 0.0
    for start in range(0, len(photos), _BATCH):
        pixels = np.stack([preprocess(photo, encoder.preprocess) for photo in photos[start : start + _BATCH]])
        ours, theirs = encoder.encode_images(pixels), bundle.encoder.encode_images(pixels)
        image_difference = max(image_difference, float(np.abs(ours - theirs).max()))
        for name, how in (("greedy", greedy), ("beam", beam)):
            expected = decode(torch_decoder, ours, how, ctx)
            found = decode(bundle.decoder, theirs, how, ctx)
            same = [_tokens(a) == _tokens(b) for a, b in zip(expected, found, strict=True)]
            identical[name][start : start + len(same)] = same
            for row in np.flatnonzero(np.logical_not(same)):
                gap = _greedy_gap if name == "greedy" else _beam_gap
                if gap(captioner, ours[row : row + 1], expected[row][0].tokens, found[row][0].tokens) > TIE:
                    sure.add(start + int(row))
            if name == "greedy":
                clip_s_sum += _clip_s_sum(bundle, encoder, found, ours) - _clip_s_sum(bundle, encoder, expected, ours)
        ctx.progress(min(start + _BATCH, len(photos)), len(photos), "Comparing the bundle with the model")
    both = identical["greedy"] & identical["beam"]
    counts = {name: Count(len(photos), int(same.sum())) for name, same in identical.items()}
    return ParityReport(
        photos=len(photos),
        identical=int(both.sum()),
        greedy=counts["greedy"],
        beam=counts["beam"],
        image_difference=image_difference,
        text_difference=_text_difference(bundle, encoder),
        clip_s_difference=clip_s_sum / max(1, len(photos)),
        on=on,
        unexplained=len(sure),
    )


def _greedy_gap(captioner: Captioner, image: np.ndarray, a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """By how much the model prefers one continuation where two greedy captions part, in nats."""
    first, second = (_log_probabilities(captioner, image, tokens) for tokens in (a, b))
    ends = (*a, captioner.end_token_id), (*b, captioner.end_token_id)
    at = next(at for at, (one, other) in enumerate(zip(*ends, strict=False)) if one != other)
    return abs(first[at] - second[at])


def _beam_gap(captioner: Captioner, image: np.ndarray, a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """By how much one of two captions is better, as beam search compares them: nats per token."""
    first, second = (float(np.mean(_log_probabilities(captioner, image, tokens))) for tokens in (a, b))
    return abs(first - second)


def _log_probabilities(captioner: Captioner, image: np.ndarray, tokens: tuple[int, ...]) -> list[float]:
    """Of each token of a caption and of its end, by the model."""
    with torch.inference_mode():
        losses = captioner.token_losses(torch.from_numpy(image), torch.tensor([[*tokens, captioner.end_token_id]]))
    return [-float(loss) for loss in losses]


def _tokens(hypotheses: Sequence[Hypothesis]) -> list[tuple[int, ...]]:
    return [hypothesis.tokens for hypothesis in hypotheses]


def _clip_s_sum(bundle: Bundle, encoder: OpenClipEncoder, found: list[list[Hypothesis]], images: np.ndarray) -> float:
    texts = encoder.encode_texts([bundle.text(hypotheses[0].tokens) for hypotheses in found])
    return float(2.5 * np.clip((texts * images).sum(axis=1), 0, None).sum())


def _text_difference(bundle: Bundle, encoder: OpenClipEncoder) -> float:
    return max(
        float(np.abs(encoder.encode_texts(_SENTENCES, prompt) - bundle.encoder.encode_texts(_SENTENCES, prompt)).max())
        for prompt in (True, False)
    )
