"""What this machine can do: read from the system, and one short measurement."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from core.cgroups import ROOT, memory_limit
from core.children import is_built

LIBRARIES = (
    "torch", "transformers", "open_clip_torch", "timm", "tokenizers", "safetensors", "onnx", "onnxscript",
    "PySide6-Essentials", "SQLAlchemy", "alembic", "numpy", "pillow", "platformdirs",
)  # fmt: skip
_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")

# GFLOP that 500 photos with 50 seeds take with the starter models, as seconds of `bench one-button` (training) and of
# `caption` times the GEMM rate of the same machine: so the share of the peak that is reached is in the figure.
TRAIN_GFLOP = 45_000.0
CAPTION_GFLOP = 3_000.0
# However fast the chip is, files are read and steps are started one after another.
LEAST_TRAIN_S, LEAST_CAPTION_S = 60.0, 10.0
SPAN = (0.7, 1.4)
"""Of such an estimate, what is told as the least and the most: it may be off by a third."""
_SPEED = "speed"


@dataclass(frozen=True)
class GemmRate:
    """Matrix products in float32: ``gflops`` per second, by which ``library`` on which ``device``."""

    gflops: float
    library: str
    device: str


def libraries() -> dict[str, str | None]:
    """Versions by distribution name, ``None`` where it is not installed; nothing is imported."""
    found = {name: _version(name) for name in LIBRARIES}
    runtime = next((name for name in _RUNTIMES if _version(name)), "onnxruntime")
    return found | {runtime: _version(runtime)}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Bytes of main memory: in all, and free for a new program; ``None`` where the system does not say. In a container
    that may use less, so much. ``root``: where ``proc`` and ``sys`` are, for tests."""
    if sys.platform == "win32":
        return _windows_memory()
    if sys.platform == "darwin":
        done = subprocess.run(["sysctl", "-n", "hw.memsize"], capture_output=True, text=True, check=False)
        return (int(done.stdout) if done.returncode == 0 else None), None
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    limit, left = memory_limit(root)
    return _least(values.get("MemTotal"), limit), _least(values.get("MemAvailable"), left)


def _least(*numbers: int | None) -> int | None:
    return min((one for one in numbers if one is not None), default=None)


def _windows_memory() -> tuple[int | None, int | None]:
    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong), ("load", ctypes.c_ulong), ("total", ctypes.c_ulonglong),
            ("available", ctypes.c_ulonglong), ("rest", ctypes.c_ulonglong * 5),
        ]  # fmt: skip

    status = Status(length=ctypes.sizeof(Status))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - exists on Windows only
    return (status.total, status.available) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else (None, None)


def free_disk(folder: Path) -> int:
    """Free bytes where ``folder`` is or would be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def reads_heic() -> bool:
    return importlib.util.find_spec("pillow_heif") is not None


def heic_advice() -> str:
    """How HEIC photos come to be read: nothing can be installed into a build, which may not bring their codecs."""
    if is_built():
        return "An installed build cannot read them. Save them as JPEG, or install Seedcap with pip (its README)."
    return 'Install what reads them: pip install "seedcap[heic]"'


def exiftool() -> str | None:
    """Where the ExifTool program is, or ``None``."""
    return shutil.which("exiftool")


def torch_trouble() -> str | None:
    """Why torch cannot be used although it may be installed, in its own words; ``None`` where it loads."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a library it needs is missing or of another system
        return str(error)
    return None


def measure_gemm(seconds: float = 2.0, *, on_cpu: bool = False) -> GemmRate:
    """The rate of float32 matrix products in the library that trains, or in numpy where that does not load; on the
    graphics card where there is one, unless ``on_cpu``."""
    if torch_trouble() is not None:
        return _numpy_rate(seconds)
    import torch

    if torch.cuda.is_available() and not on_cpu:
        with contextlib.suppress(RuntimeError):  # another program holds its memory, or its driver does not fit
            return _torch_rate("cuda", 4096, seconds)
    return _torch_rate("cpu", 1024, seconds)


def kept_rate() -> GemmRate | None:
    """What was measured last on this computer."""
    from core.measured import measured

    content = measured(_SPEED)
    try:
        rate = GemmRate(float(content["gflops"]), str(content["library"]), str(content["device"]))
    except (ValueError, KeyError, TypeError):
        return None
    return rate if 0 < rate.gflops < math.inf else None


def keep_rate(rate: GemmRate) -> None:
    """Remember a measurement."""
    from core.measured import keep_measured

    keep_measured(_SPEED, asdict(rate))


def quick_rate(seconds: float = 0.05, tries: int = 6) -> GemmRate:
    """The kept rate of the library that trains, else that of the processor now, measured without it, and kept.

    The best of a few moments: what else runs here only ever makes it less.
    """
    found = kept_rate()
    if found is None or found.library.startswith("numpy"):
        found = max((_numpy_rate(seconds) for _ in range(tries)), key=lambda rate: rate.gflops)
        keep_rate(found)
    return found


def _torch_rate(device: str, size: int, seconds: float) -> GemmRate:
    import torch

    a, b = (torch.randn(size, size, device=device) for _ in range(2))

    def multiply() -> None:
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    return GemmRate(_rate(multiply, 2.0 * size**3, seconds), f"torch {torch.__version__}", name)


def _numpy_rate(seconds: float) -> GemmRate:
    import numpy as np

    a = np.ones((1024, 1024), np.float32)
    return GemmRate(_rate(lambda: a @ a, 2.0 * 1024**3, seconds), f"numpy {np.__version__}", processor())


def _rate(multiply: Callable[[], object], flop: float, seconds: float) -> float:
    """GFLOP/s over about ``seconds``, after a warm-up that is not counted."""
    multiply()
    started = time.perf_counter()
    runs = 0
    while (elapsed := time.perf_counter() - started) < seconds or not runs:
        multiply()
        runs += 1
    return flop * runs / elapsed / 1e9


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def seconds_for_500_photos(rate: GemmRate) -> tuple[float, float]:
    """Estimated seconds to train both stages, and to caption, 500 photos with the starter models."""
    train, caption = TRAIN_GFLOP / rate.gflops, CAPTION_GFLOP / rate.gflops
    return max(train, LEAST_TRAIN_S), max(caption, LEAST_CAPTION_S)
