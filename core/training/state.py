"""The state of a stage that was stopped half-way: weights, optimiser moments and counters, in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from core.disk import sync_file
from core.errors import UserError

Weights = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Where a stage is. ``strikes`` counts evaluations in a row that spoke against going on.

    ``began``: figures of the model that practice began with. ``gone_wrong``: captions that practice brought forth and a
    guard took for wrong, each with the period it is of.
    """

    step: int = 0
    judged: int = -1
    best_step: int = -1
    best_score: float = float("-inf")
    strikes: int = 0
    stopped: str = ""
    seconds: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    gone_wrong: list[tuple[int, str]] = field(default_factory=list)


def trained_weights(module: nn.Module) -> Weights:
    """The tensors that training changes, by name; those of a frozen part are not among them."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def copy_of(weights: Mapping[str, torch.Tensor]) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def put_back(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Set the trained tensors of ``module`` to ``weights``."""
    for name, tensor in trained_weights(module).items():
        tensor.copy_(weights[name])


@torch.no_grad()
def restore(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Set the tensors that ``weights`` name, trained or not."""
    own = dict(module.named_parameters())
    for name, tensor in weights.items():
        own[name].copy_(tensor)


def save_state(
    file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, best: Weights, progress: Progress
) -> None:
    """Write everything that going on needs; the file holds the old state or all of the new one."""
    tensors = {f"now.{name}": tensor for name, tensor in trained_weights(module).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})
    sync_file(partial)  # else a power cut may leave an empty file in the place of the old state
    os.replace(partial, file)  # noqa: PTH105 - the atomic step, spelled as what it is


def load_state(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Weights, Progress]:
    """Put weights and moments back as they were; the best weights so far and the counters are returned.

    Raises:
        UserError: the file is damaged or belongs to another model.
    """
    device = next(module.parameters()).device
    try:
        with safe_open(file, framework="pt", device=str(device)) as content:
            progress = Progress(**json.loads(content.metadata()["progress"]))
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a dict
        put_back(module, {name: tensors[f"now.{name}"] for name in trained_weights(module)})
        best = {name: tensors[f"best.{name}"] for name in trained_weights(module)}
        _restore_moments(optimiser, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The training cannot go on: {file} is damaged or of another model.",
            "Start a new training.",
            topic="begin anew",
        ) from error
    return best, progress


def _restore_moments(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            index, _, moment = rest.partition(".")
            # Adam keeps its step counter on the CPU wherever the weights are.
            moments.setdefault(int(index), {})[moment] = tensor.cpu() if moment == "step" else tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
