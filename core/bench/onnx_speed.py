"""``bench onnx``: from JPEG files to captions, a bundle against the ways one would write first and the published one.

Two sizes: the starter with captions as long as it makes them, and ViT-B/32 with a language model of GPT-2's size,
random weights, exactly :data:`TOKENS` tokens a caption. Greedy is compared with greedy, beam search with beam search.
Every arm is a process of its own; they take turns, so that what slows the machine slows all, and the fastest of each
counts.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core import paths
from core.bench.batch_memory import memory_growth_mb
from core.bench.onnx_arms import ArmRequest, ArmResult, Kind
from core.bench.onnx_models import write_gpt2_sized
from core.bench.result import BenchResult, Measure, need_data
from core.children import child_environment, module_command
from core.errors import UserError
from core.jobs import JobContext
from core.machine import measure_gemm
from core.onnx.bundle import IMAGE_ENCODER, sha256_of
from core.onnx.precision_loss import loss_of

TOKENS, BEAMS = 12, 5
MOST_GROWTH_MB = 5.0
"""From 100 to 10,000 photos."""
_ROUNDS = 2
_PHOTOS = "flickr8k_original/images"


@dataclass(frozen=True)
class OnnxRequest:
    """``data``: the folder with ``flickr8k_original``, photos in their own size. ``work``: keeps models and bundles."""

    data: Path | None
    work: Path | None = None


@dataclass(frozen=True)
class Arm:
    """``photos``: how many it captions; the slow ones take fewer."""

    name: str
    kind: Kind
    photos: int
    beams: int = 1
    precision: str = ""


@dataclass(frozen=True)
class Size:
    """A pair of models. ``aims``: of ``vs_generate``, ``vs_clipcap``, ``vs_torch_batched``, ``int8_vs_fp32`` and
    ``gemm_share``. ``tokens``, ``exactly``: of a caption. ``photos``: of a fast arm, of a slow one."""

    name: str
    checkpoint: Path
    aims: tuple[float, float, float, float, float]
    tokens: int
    exactly: bool
    photos: tuple[int, int]

    def arms(self) -> tuple[Arm, ...]:
        fast, slow = self.photos
        return (
            Arm("generate", "generate", slow),
            Arm("clipcap", "clipcap", slow // 2, BEAMS),
            Arm("torch", "torch", fast),
            Arm("fp32", "bundle", fast, precision="fp32"),
            Arm("fp32_beam", "bundle", fast, BEAMS, precision="fp32"),
            Arm("int8", "bundle", fast, precision="int8"),
        )


def run(ctx: JobContext, request: OnnxRequest) -> BenchResult:
    photos = sorted((need_data(request.data, _PHOTOS) / _PHOTOS).absolute().glob("*.jpg"))
    work = (request.work or paths.cache_dir() / "bench-onnx").absolute()
    gflops = measure_gemm(on_cpu=True).gflops
    sizes = (
        Size("gpt2", write_gpt2_sized(work / "gpt2"), (10, 12, 1.5, 3, 0.5), TOKENS, True, (96, 16)),
        Size("starter", paths.starter_dir() / "captioner", (6, 5, 1.5, 1.5, 0.15), 32, False, (192, 48)),
    )
    measures, notes = list[Measure](), list[str]()
    for size in sizes:
        bundles = {one: _bundle(ctx, size, one, work) for one in ("fp32", "int8")}
        found = _run_size(ctx, size, [str(one) for one in photos], bundles)
        measures += _measures(size, found, gflops)
        if not size.exactly:  # ten thousand photos through the large one take hours, and it is the same pipeline
            grown = memory_growth_mb(bundles["fp32"], photos[0].parent)
            name = f"memory_growth_mb_{size.name}"
            measures.append(Measure(name, grown, "MB", MOST_GROWTH_MB, higher_is_better=False))
        notes += [*_notes(size, found), _int8_note(size, bundles)]
    measures.append(Measure("gemm_gflops", gflops, "GFLOP/s"))
    return BenchResult("onnx", tuple(measures), tuple(notes))


def _run_size(
    ctx: JobContext, size: Size, photos: Sequence[str], bundles: Mapping[str, Path]
) -> Mapping[str, ArmResult]:
    best: dict[str, ArmResult] = {}
    for turn in range(_ROUNDS):
        for arm in size.arms():
            ctx.progress(turn, _ROUNDS, f"Captioning: {size.name}, {arm.name}")
            ctx.check_cancelled()
            model = bundles[arm.precision] if arm.precision else size.checkpoint
            chosen = tuple(photos[: arm.photos])
            result = _in_process(ArmRequest(arm.kind, str(model), chosen, arm.beams, size.tokens, size.exactly))
            if arm.name not in best or result.rate > best[arm.name].rate:
                best[arm.name] = result
    return best


def _bundle(ctx: JobContext, size: Size, precision: str, work: Path) -> Path:
    """Exported anew: another version of the program makes other graphs."""
    from core.onnx.export import ExportRequest, export_job

    folder = work / f"{size.name}-{precision}"
    export_job(ctx, ExportRequest(str(size.checkpoint), folder, precision))
    return folder


def _in_process(request: ArmRequest) -> ArmResult:
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            module_command("core.bench.onnx_arms"),
            input=json.dumps(asdict(request)), stdout=subprocess.PIPE, stderr=said, text=True, check=False,
            env=child_environment(),
        )  # fmt: skip
        if done.returncode != 0:
            said.seek(0)
            raise UserError(f"The arm '{request.kind}' failed: {said.read()[-500:]}")
    values = json.loads(done.stdout.splitlines()[-1])
    return ArmResult(**{**values, "captions": tuple(values["captions"])})


def _measures(size: Size, found: Mapping[str, ArmResult], gflops: float) -> list[Measure]:
    rate = {name: one.rate for name, one in found.items()}
    share = prefill_gflop(size.checkpoint) / found["fp32"].prefill_s / gflops
    values = (
        ("vs_generate", rate["fp32"] / rate["generate"]),
        ("vs_clipcap", rate["fp32_beam"] / rate["clipcap"]),
        ("vs_torch_batched", rate["fp32"] / rate["torch"]),
        ("int8_vs_fp32", rate["int8"] / rate["fp32"]),
        ("gemm_share", share),
    )
    return [
        *(Measure(f"{name}_{size.name}", value, "", aim) for (name, value), aim in zip(values, size.aims, strict=True)),
        *(Measure(f"{name}_photos_s_{size.name}", one.rate, "photos/s") for name, one in found.items()),
        *(Measure(f"{name}_peak_mb_{size.name}", one.peak_mb, "MB") for name, one in found.items()),
    ]


def _notes(size: Size, found: Mapping[str, ArmResult]) -> list[str]:
    lines = [
        f"{size.name}, {name}: " + ", ".join(f"{part} {share:.0%}" for part, share in one.shares.items() if share)
        for name, one in found.items()
    ]
    same = [a == b for a, b in zip(found["generate"].captions, found["fp32"].captions, strict=False)]
    return [*lines, f"{size.name}: {sum(same)} of {len(same)} captions are those of generate."]


def _int8_note(size: Size, bundles: Mapping[str, Path]) -> str:
    """What of the int8 bundle is int8, and what that loses."""
    same = sha256_of(bundles["int8"] / IMAGE_ENCODER) == sha256_of(bundles["fp32"] / IMAGE_ENCODER)
    parts = "decoder alone" if same else "decoder and image encoder"
    loss = loss_of(bundles["int8"])
    return f"{size.name}: int8 is the {parts}. {'' if loss is None else loss.sentence}".rstrip()


def prefill_gflop(checkpoint: Path) -> float:
    """GFLOP that a photo costs in the image encoder, the mapper and the language model's first pass, counted while they
    run."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from core.captioner.checkpoint import load_captioner, read_info
    from core.captioner.torch_decoder import TorchDecoder
    from core.encoders.open_clip_encoder import load_encoder

    encoder = load_encoder(read_info(checkpoint).encoder_id)
    captioner = load_captioner(checkpoint, encoder.fingerprint)
    size = encoder.preprocess.size
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its one kernel for all of attention is not counted
    try:
        with FlopCounterMode(display=False) as counter:
            vectors = encoder.encode_images(np.zeros((1, 3, size, size), np.float32))
            TorchDecoder(captioner).prefill(vectors)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() / 1e9
