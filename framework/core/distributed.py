"""Sums over all ranks, and what one rank tells all. With one rank they are the identity, so that callers need
not ask."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over ranks of a tensor. Where it has a gradient, every rank computes the same loss from the
    sum: ranks average their gradients afterwards, so each passes `world` times its own back."""
    return tensor if world_size() == 1 else _Sum.apply(tensor)  # type: ignore[return-value]


def gather_objects(value: Any) -> list[Any]:
    """The values of all ranks, in their order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def broadcast_tensors(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Rank 0's tensors on every rank's device, bit for bit; what other ranks give is not looked at.

    One tensor goes after the other, as bytes: no rank holds more than the tensors themselves.
    """
    forms = gather_objects([(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items()])[0]
    if rank() == 0:
        whole = {name: tensor.to(device).contiguous() for name, tensor in tensors.items()}
    else:
        whole = {name: torch.empty(shape, dtype=dtype, device=device) for name, shape, dtype in forms}
    for tensor in whole.values() if world_size() > 1 else ():
        dist.broadcast(tensor.reshape(-1).view(torch.uint8), 0)
    return whole


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


def on_any_rank(fact: bool, device: torch.device) -> bool:
    """Whether something holds on any rank, so that all act alike; a collective call."""
    return fact if world_size() == 1 else bool(all_reduce_sum(torch.tensor([float(fact)], device=device)) > 0)


def waited_in_vain(error: Exception) -> bool:
    """Whether a collective call gave up, as another rank did not come within the group's time."""
    words = ("Timed out waiting", "Application timeout", "Watchdog caught collective operation timeout")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


def lost_a_rank(error: Exception) -> bool:
    """Whether a collective call failed because the process of another rank has ended.

    gloo has no type for its errors; each names the connection in its text.
    """
    words = ("Connection closed by peer", "Connection reset by peer", "gloo/transport", "Broken pipe")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        return grads[0] * world_size()
