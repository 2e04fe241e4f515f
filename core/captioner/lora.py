"""Low-rank adapters (LoRA, arXiv 2106.09685) on a language model's attention, and getting rid of them again.

They live inside the model only while a stage runs: :func:`merge` adds what they learned to the weights, and from then
on nothing knows of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

from core.errors import UserError


def decoder_blocks(lm: nn.Module) -> nn.ModuleList:
    """The layers of a causal language model of transformers, first to last, whatever they are called there."""
    base, config = cast(Any, lm).base_model, cast(Any, lm).config
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
            return module
    raise UserError(
        f"The layers of a language model of the type '{config.model_type}' are not found.",
        "Train its whole (lm.train=all) or none of it (lm.train=none).",
    )


def attention_weights(lm: nn.Module) -> list[str]:
    """Names of the weights that adapters change: those of the attention's matrices, of all matrices where none is
    called so."""
    blocks = decoder_blocks(lm)
    inside = {id(module) for module in blocks.modules()}
    matrices = [name for name, module in lm.named_modules() if id(module) in inside and _is_matrix(module)]
    attention = [name for name in matrices if "attn" in name or "attention" in name]
    return [f"{name}.weight" for name in attention or matrices]


def add_adapters(lm: nn.Module, rank: int, seed: int) -> None:
    """Put adapters of this rank into ``lm``; they alone are trainable in it, and change nothing before they learn."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = [name.removesuffix(".weight") for name in attention_weights(lm)]
    transposed = any(not isinstance(lm.get_submodule(name), nn.Linear) for name in targets)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, fan_in_fan_out=transposed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, lm)


def merge(lm: nn.Module) -> None:
    """Add what the adapters learned to the weights, and take them out; without adapters nothing happens."""
    for name, layer in list(_adapted(lm)):
        cast(Any, layer).merge()
        parent, _, own = name.rpartition(".")
        setattr(lm.get_submodule(parent), own, cast(Any, layer).get_base_layer())
    if hasattr(lm, "peft_config"):
        del lm.peft_config


def merged(lm: nn.Module) -> nn.Module:
    """The model without adapters: itself where it has none, else a copy that says the same."""
    if next(_adapted(lm), None) is None:
        return lm
    plain = copy.deepcopy(lm)
    merge(plain)
    return plain


def _adapted(lm: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if not hasattr(lm, "peft_config"):
        return
    from peft.tuners.lora import LoraLayer

    for name, module in lm.named_modules():
        if isinstance(module, LoraLayer):
            yield name, cast(nn.Module, module)


def _is_matrix(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, (nn.Linear, Conv1D))
