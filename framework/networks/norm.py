"""Batch normalisation over the global batch, on processors too (torch's SyncBatchNorm wants GPUs).

With it a step does not depend on how many workers share the batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from framework.training.collective import world_size


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose statistics are those of all ranks; with one rank it is exactly `BatchNorm2d`."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        assert self.weight is not None and self.running_mean is not None and self.running_var is not None
        output, mean, var, count = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[misc]
        with torch.no_grad():
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return output

    @classmethod
    def replace_in(cls, module: nn.Module) -> nn.Module:
        """Turn every `BatchNorm2d` of a network into this one, keeping its weights and buffers."""
        for child in module.modules():
            if type(child) is nn.BatchNorm2d:
                child.__class__ = cls
        return module


class _Normalise(torch.autograd.Function):
    """One all-reduce forward, one backward; statistics in float32 whatever the input's type."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = input.float()
        sums = torch.cat([x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])
        dist.all_reduce(sums)
        channels = x.shape[1]
        count = sums[-1]
        mean = sums[:channels] / count
        var = (sums[channels:-1] / count - mean.square()).clamp_min(0)
        inverse = torch.rsqrt(var + eps)
        ctx.save_for_backward(input, weight, mean, inverse, count)
        ctx.mark_non_differentiable(mean, var, count)
        output = (x - _wide(mean)) * _wide(inverse * weight) + _wide(bias)
        return output.to(input.dtype), mean, var, count

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        input, weight, mean, inverse, count = ctx.saved_tensors
        grad = grads[0].float()
        normal = (input.float() - _wide(mean)) * _wide(inverse)
        local = torch.cat([grad.sum((0, 2, 3)), (grad * normal).sum((0, 2, 3))])
        total = local.clone()
        dist.all_reduce(total)
        channels = input.shape[1]
        centred = grad - _wide(total[:channels] / count) - normal * _wide(total[channels:] / count)
        # The parameters' gradients stay local sums: the strategy averages them over ranks as it does all others.
        return (centred * _wide(inverse * weight)).to(input.dtype), local[channels:], local[:channels], None


def _wide(vector: Tensor) -> Tensor:
    return vector[None, :, None, None]
