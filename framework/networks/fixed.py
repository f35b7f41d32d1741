"""Networks with fixed weights: gradients pass through to their inputs, and none reaches the weights."""

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call


def call_fixed(network: nn.Module, *inputs: Tensor) -> Any:
    """The network's output; its weights get no gradient from it, whatever wraps them."""
    fixed = {name: value.detach() for name, value in network.named_parameters()}
    return functional_call(network, fixed, inputs)
