"""onnxruntime, imported in this one place so that it is told beforehand to send nothing: a cluster's workers come here
without passing ``main.py``."""

from __future__ import annotations

from typing import Any

from core.telemetry import send_nothing

send_nothing()
import onnxruntime as ort  # noqa: E402
from onnxruntime.capi import onnxruntime_pybind11_state as _state  # noqa: E402  # pyright: ignore[reportAttributeAccessIssue]

ort_errors: Any = _state
"""The module with the errors that onnxruntime raises."""

__all__ = ["ort", "ort_errors"]
