"""Where the graphs run: chosen by running them, with the reason in words."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.devices import asked_for, card_asked_for
from core.errors import UserError
from core.onnx.provider_table import CPU, NAMES, PROVIDERS, Provider, by_plain_name
from core.onnx.runtime import ort, ort_errors
from core.onnx.threads import usable_cores

LOAD_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf, ort_errors.InvalidArgument,
    ort_errors.NoSuchFile, ort_errors.NotImplemented, ort_errors.RuntimeException, ort_errors.EPFail,
    UnicodeDecodeError,  # its own complaint, where that quotes a name from the file that is no text
)  # fmt: skip
"""What onnxruntime raises for a model that it cannot load; they have no base class of their own."""
_ERRORS_ONLY, _FATAL_ONLY = 3, 4


class Session(Protocol):
    """What is used of an ``onnxruntime.InferenceSession`` here."""

    def run(self, output_names: Any, input_feed: Any, /) -> Sequence[Any]: ...
    def get_providers(self) -> Sequence[str]: ...


Inputs = Mapping[str, np.ndarray]
Load = Callable[[Provider], Session]


@dataclass(frozen=True)
class Trial:
    """A graph to run: ``load`` makes its session on a provider, ``runs`` are inputs for it, one run each."""

    load: Load
    runs: tuple[Inputs, ...]


@dataclass(frozen=True)
class ProviderChoice:
    """``name`` of the onnxruntime provider that runs, and ``reason``: a sentence or two for a person."""

    name: str
    reason: str


@dataclass(frozen=True)
class Machine:
    """What can be asked about this machine: the providers that onnxruntime ``offered()``, and what is a ``fault`` of
    one that can be told without trying it. Tests have others."""

    offered: Callable[[], Sequence[str]]
    fault: Callable[[Provider], str | None]


def session_options(provider: Provider, threads: int | None) -> ort.SessionOptions:
    """Options for a session with ``threads`` threads (``None``: all usable cores).

    Idle threads sleep instead of spinning: photos are decoded on the same cores at the same time.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY if provider is CPU else _FATAL_ONLY  # what fails is told in our words
    # A pattern is kept for every shape of a batch, with a block of memory for each: of no gain where shapes change.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def provider_options(provider: Provider) -> list[tuple[str, dict[str, str]]]:
    """The ``providers`` of a session: this one, then those that run what it cannot; on the card that
    ``SEEDCAP_DEVICE`` names."""
    card = card_asked_for()
    chain = [provider, *(by_plain_name(plain) for plain in provider.otherwise)]
    number = {} if card is None else {"device_id": str(card)}
    return [
        (one.name, {**one.options, **(number if one.numbered else {})})
        for one in (*chain, *(() if provider is CPU else (CPU,)))
    ]


def start_sessions(
    trials: Sequence[Trial], wanted: str = "auto", *, tolerance: float = 1e-3, machine: Machine | None = None
) -> tuple[list[Session], ProviderChoice, Provider]:
    """Sessions of all graphs on the first provider that runs them and gives the processor's numbers.

    Args:
        trials: the graphs.
        wanted: ``auto`` or the plain name of a provider (:data:`core.onnx.provider_table.NAMES`);
            ``SEEDCAP_DEVICE=cpu`` leaves ``auto`` the processor alone.
        tolerance: the largest difference to the processor's outputs, as a share of their largest value (at least 1).
        machine: the one it is asked about.

    Raises:
        UserError: for a name that is none.
        Exception: what a trial's ``load`` raises for the processor, where every graph must run.
    """
    if wanted not in NAMES:
        raise UserError(f"There is no provider {wanted!r}.", f"Choose one of {', '.join(NAMES)}.")
    if wanted == "auto" and asked_for() == CPU.plain:
        wanted = CPU.plain
    machine = machine or Machine(ort.get_available_providers, _driver_fault)
    faults: list[str] = []
    for provider in _candidates(wanted):
        fault = _absent(provider, machine)
        if fault is None:
            try:
                sessions, difference = _tried(provider, trials, tolerance)
            except _UnusableError as error:
                fault = str(error)
            else:
                reason = _sentences(faults) + _success(provider, difference)
                return sessions, ProviderChoice(provider.name, reason), provider
        if wanted != "auto" or provider.name in machine.offered():
            faults.append(f"{provider.words} cannot be used: {fault}")
    reason = "The processor was asked for." if wanted == CPU.plain else "The processor runs the model."
    if wanted == "auto" and not faults:
        faults = ["The installed onnxruntime has nothing for graphics cards (the package onnxruntime-gpu has CUDA)"]
    return [trial.load(CPU) for trial in trials], ProviderChoice(CPU.name, _sentences(faults) + reason), CPU


class _UnusableError(Exception):
    """Why a provider is not used, as the end of a sentence."""


def _candidates(wanted: str) -> list[Provider]:
    if wanted == "auto":
        return [provider for provider in PROVIDERS if provider.automatic]
    asked = by_plain_name(wanted)
    return [one for one in (asked, *(by_plain_name(plain) for plain in asked.otherwise)) if one is not CPU]


def _absent(provider: Provider, machine: Machine) -> str | None:
    if provider.name not in machine.offered():
        return f"the installed onnxruntime is one without it (the package {provider.package} may have it)"
    return machine.fault(provider)


def _tried(provider: Provider, trials: Sequence[Trial], tolerance: float) -> tuple[list[Session], float]:
    """The sessions, and the largest difference to the processor's numbers."""
    sessions: list[Session] = []
    largest = 0.0
    for trial in trials:
        on_cpu = trial.load(CPU)
        try:
            expected = [on_cpu.run(None, inputs) for inputs in trial.runs]
        except LOAD_ERRORS as error:
            raise _UnusableError("the processor, to compare with, cannot run the model") from error
        del on_cpu  # one graph at a time is held twice
        try:
            session = trial.load(provider)
            if provider.name not in session.get_providers():
                raise _UnusableError("it could not be started; its libraries are missing or do not fit onnxruntime's")
            found = [session.run(None, inputs) for inputs in trial.runs]
        except (RuntimeError, ValueError, MemoryError, *LOAD_ERRORS) as error:
            raise _UnusableError(f"the model does not run on it ({_first_line(error)})") from error
        for one_run, other_run in zip(expected, found, strict=True):
            for one, other in zip(one_run, other_run, strict=True):
                largest = max(largest, _difference(one, other))
        if largest > tolerance:
            raise _UnusableError(f"it gives other numbers than the processor (by {largest:.2g})")
        sessions.append(session)
    return sessions, largest


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference as a share of the largest expected value (at least 1); infinite where it is none."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    return difference if np.isfinite(difference) else float("inf")


def _success(provider: Provider, difference: float) -> str:
    card = card_asked_for() if provider.numbered else None
    where = provider.words if card is None else f"{provider.words} on card {card}"
    return f"{where} runs the model and gives the processor's numbers (to {max(difference, 1e-9):.1g})."


def _sentences(faults: Sequence[str]) -> str:
    return "".join(f"{fault}. " for fault in faults)


def _first_line(error: Exception) -> str:
    return f"{next(iter(str(error).splitlines()), type(error).__name__):.200}".rstrip(" .")


def _driver_fault(provider: Provider) -> str | None:
    """What is missing below onnxruntime, found without the many lines that onnxruntime would print about it."""
    if provider.memory != "cuda":
        return None
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "there is no NVIDIA graphics card, or its driver is not installed"
    return None
