"""Where the graphs run and with how many threads; if it is not the graphics card, why not, in words."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LOAD_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf, ort_errors.InvalidArgument,
    ort_errors.NoSuchFile, ort_errors.NotImplemented, ort_errors.RuntimeException, ort_errors.EPFail,
    UnicodeDecodeError,  # its own complaint, where that quotes a name from the file that is no text
)  # fmt: skip
"""What onnxruntime raises for a model that it cannot load; they have no base class of their own."""
_ERRORS_ONLY, _FATAL_ONLY = 3, 4


@dataclass(frozen=True)
class ProviderChoice:
    """``name`` of the onnxruntime provider that runs, and ``reason``: a sentence for a person."""

    name: str
    reason: str


def usable_cores() -> int:
    """Physical cores that this process may use: hyper-threads only get in each other's way in matrix products."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return max(1, (os.cpu_count() or 2) // 2) if sys.platform == "win32" else os.cpu_count() or 1
    allowed = affinity(0)
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _cgroup_limit()))


def session_options(threads: int | None) -> ort.SessionOptions:
    """Options for a session with ``threads`` threads (``None``: all usable cores).

    Idle threads sleep instead of spinning: photos are decoded on the same cores at the same time.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def provider_options(name: str) -> list[Any]:
    """The ``providers`` of a session. On CUDA memory grows by what is asked, so that other programs live too."""
    if name == CUDA:
        return [(CUDA, {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}), CPU]
    return [CPU]


def choose_provider(wanted: str = "auto", probe: Path | None = None) -> ProviderChoice:
    """Pick where to run: ``wanted`` is ``auto``, ``cpu`` or ``cuda``; ``probe`` is a small model to try CUDA with."""
    if wanted == "cpu":
        return ProviderChoice(CPU, "The processor was asked for.")
    fault = _cuda_fault(probe)
    if fault is None:
        return ProviderChoice(CUDA, "An NVIDIA graphics card is there and works.")
    return ProviderChoice(CPU, f"The processor is used: {fault}.")


def _cuda_fault(probe: Path | None) -> str | None:
    if CUDA not in ort.get_available_providers():
        return "the installed onnxruntime is the one without CUDA (onnxruntime-gpu has it)"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "there is no NVIDIA graphics card, or its driver is not installed"
    if probe is None:
        return None
    ort.set_default_logger_severity(_FATAL_ONLY)
    try:
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        session = ort.InferenceSession(str(probe), options, providers=provider_options(CUDA))
    except (RuntimeError, *LOAD_ERRORS) as error:
        return f"CUDA could not be started ({str(error).splitlines()[0]:.200})"
    finally:
        ort.set_default_logger_severity(2)
    if CUDA not in session.get_providers():
        return "CUDA could not be started: its libraries (CUDA and cuDNN) are missing or do not match onnxruntime's"
    return None


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)


def _cgroup_limit() -> int:
    """Cores that a container may use by its quota; a very large number without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if quota == "max" else max(1, round(int(quota) / int(period)))
