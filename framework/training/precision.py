"""The types that a run computes in."""

import contextlib
from typing import Literal

import torch

Precision = Literal["bf16", "fp32", "fp64"]
"""bf16: bfloat16 where it is safe, weights in float32; fp64: double throughout."""


def safe_precision(precision: Precision, device: torch.device, volumes: bool) -> Precision:
    """fp32 instead of bf16 for volumes on CPUs.

    With AMX (torch 2.15, oneDNN) the backward pass of a 3D convolution of few channels in bfloat16, such as 4
    to 4 on patches of 8 x 96 x 96, writes beyond its memory.
    """
    return "fp32" if volumes and precision == "bf16" and device.type == "cpu" else precision


def parameter_type(precision: Precision) -> torch.dtype:
    """The dtype of weights, statistics and images."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """What a forward pass and its losses run in."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
