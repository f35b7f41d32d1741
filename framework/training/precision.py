"""The types that a run computes in."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

Precision = Literal["bf16", "fp32", "fp64"]
"""bf16: bfloat16 where it is safe, weights in float32. fp64: double throughout, to tell rounding from a fault; far slower."""


def parameter_type(precision: Precision) -> torch.dtype:
    """Of weights, statistics and images."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """What a forward pass and its losses run in."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
