"""Batch normalisation over the global batch, on CPUs too: a step does not depend on the number of workers."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from framework.core.distributed import world_size
from framework.core.errors import ConfigError


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation of images or volumes by the statistics of all ranks; exactly torch's on one."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and world_size() == 1 and input.numel() == input.shape[1]:
            fault = "a level of the network has one pixel of one image, which nothing can be normalised by"
            mend = "raise train.batch or corpus.size, or give the network fewer levels"
            raise ConfigError(f"network: {fault}; {mend}")
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

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of pixel dimensions will do."""

    @classmethod
    def replace_in(cls, module: nn.Module) -> nn.Module:
        """Turn every `BatchNorm2d` and `BatchNorm3d` of a network into this, with its weights and buffers."""
        for child in module.modules():
            if type(child) in (nn.BatchNorm2d, nn.BatchNorm3d):
                child.__class__ = cls
            elif isinstance(child, nn.BatchNorm2d) and hasattr(child, "act"):
                child.__class__ = GlobalBatchNormAct  # type: ignore[assignment]
        return module


class GlobalBatchNormAct(GlobalBatchNorm):
    """The same with dropout and activation in one module, as timm has it (EfficientNet, MobileNet, …)."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


@contextlib.contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Inside the block a network in training normalises by its batch, but its running statistics do not move.

    For images unlike those it will predict: else half of the statistics would be theirs.
    """
    norms = [module for module in network.modules() if isinstance(module, GlobalBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class _Normalise(torch.autograd.Function):
    """One all-reduce forward, one backward; statistics have the dtype of the weights, whatever the input's.

    All passes over pixels are torch's fused kernels: as tensor arithmetic they take ten times as long.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        channels = input.shape[1]
        count = input.numel() / channels
        _, mean, inverse = torch.native_batch_norm(input, None, None, None, None, True, 0.0, eps)
        mean, inverse = mean.to(weight.dtype), inverse.to(weight.dtype)
        square = inverse.pow(-2) - eps + mean.square()
        sums = torch.cat([mean * count, square * count, weight.new_tensor([count])])
        dist.all_reduce(sums)
        count = sums[-1]
        mean = sums[:channels] / count
        var = (sums[channels:-1] / count - mean.square()).clamp_min(0)
        ctx.save_for_backward(input, weight, mean, var, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(input, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        input, weight, mean, var, count = ctx.saved_tensors
        eps, channels = ctx.eps, input.shape[1]
        # As if the statistics were constants: this also gives the local sums of dy * normal and of dy.
        fixed, by_normal, plain = torch.ops.aten.native_batch_norm_backward(
            grads[0], input, weight, mean, var, None, None, False, eps, [True, True, True]
        )
        total = torch.cat([plain, by_normal])
        dist.all_reduce(total)
        # Through the statistics the gradient is linear in the input: slope * input + offset for each channel.
        inverse = torch.rsqrt(var + eps)
        slope = -weight * inverse.square() * total[channels:] / count
        offset = -weight * inverse * total[:channels] / count - slope * mean
        unit = torch.ones_like(var) - eps
        through = F.batch_norm(input, torch.zeros_like(mean), unit, slope, offset, False, 0.0, eps)
        # The parameters' gradients stay local sums: the strategy averages them over ranks, like all others.
        return fixed + through, by_normal, plain, None
