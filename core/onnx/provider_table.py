"""The ways to run a graph that Seedcap knows by name; nothing here loads onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provider:
    """One execution provider of onnxruntime.

    ``plain``: what ``--provider`` calls it. ``name``: what onnxruntime calls it. ``words``: in a sentence. ``package``:
    the registry's package that brings it. ``options``: onnxruntime's options. ``automatic``: tried without being asked
    for. ``otherwise``: plain names of those that run what this one cannot, and that are tried when it fails.
    ``memory``: what onnxruntime calls the memory in which the decoder's cache stays between two runs; ``None`` hands it
    over as arrays, which on the processor costs no more (docs/decisions/0029). ``numbered``: of several cards it takes
    the one with torch's number, by its option ``device_id``.
    """

    plain: str
    name: str
    words: str
    package: str = "onnxruntime"
    options: Mapping[str, str] = field(default_factory=dict)
    automatic: bool = False
    otherwise: tuple[str, ...] = ()
    memory: str | None = None
    numbered: bool = False


CPU = Provider("cpu", "CPUExecutionProvider", "the processor")
CUDA = Provider(
    "cuda",
    "CUDAExecutionProvider",
    "CUDA",
    "onnxruntime-gpu",
    # Memory grows by what is asked, so that other programs live too. TF32 would round matrix products to ten bits, and
    # captions would no longer be those of the model.
    {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
    automatic=True,
    memory="cuda",
    numbered=True,
)
PROVIDERS = (
    CUDA,
    Provider("rocm", "ROCMExecutionProvider", "ROCm", "onnxruntime-rocm", automatic=True, numbered=True),
    Provider("directml", "DmlExecutionProvider", "DirectML", "onnxruntime-directml", automatic=True),
    # These compile a graph anew for each shape, and captions grow by a word a step: only for those who ask for them.
    Provider(
        "tensorrt",
        "TensorrtExecutionProvider",
        "TensorRT",
        "onnxruntime-gpu",
        otherwise=("cuda",),
        memory="cuda",
        numbered=True,
    ),
    Provider("migraphx", "MIGraphXExecutionProvider", "MIGraphX", "onnxruntime-migraphx", numbered=True),
    Provider("coreml", "CoreMLExecutionProvider", "Core ML", options={"ModelFormat": "MLProgram"}),
    Provider("openvino", "OpenVINOExecutionProvider", "OpenVINO", "onnxruntime-openvino", {"device_type": "AUTO"}),
    CPU,
)
"""In the order in which they are tried."""
NAMES = ("auto", *(provider.plain for provider in PROVIDERS))


def by_plain_name(plain: str) -> Provider:
    """The provider that ``--provider`` calls ``plain``; ``KeyError`` for another name."""
    return {provider.plain: provider for provider in PROVIDERS}[plain]
