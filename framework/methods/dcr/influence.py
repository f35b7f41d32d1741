"""Inner products of image gradients with one direction, without a gradient per image (methods/README 5.3).

<g_k, v> is the derivative of image k's loss along v. In the last layer, which is linear in its weight, that
is a forward pass with v as the weight; for all parameters it is one forward-mode pass.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from framework.methods.common.losses import image_cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits `[B, K, H, W]` and masks `[B, H, W]` to a sum over images."""


class LastLayer:
    """The weight of the last convolution, as the authors have it; networks are in evaluation mode."""

    def size(self, network: nn.Module) -> int:
        """Length of a flat gradient."""
        return _last(network).weight.numel()

    def gradient(self, network: nn.Module, image: Tensor, mask: Tensor, loss: Loss) -> Tensor:
        """Flat gradient of the loss of images `[B, C, H, W]` with masks `[B, H, W]`."""
        layer = _last(network)
        features, slope = _features_and_slope(network, layer, image, mask, loss)
        weight = layer.weight.detach().requires_grad_()
        out = functional_call(layer, {"weight": weight}, (features,))
        return torch.autograd.grad(out, weight, slope)[0].flatten()

    def influence(self, network: nn.Module, image: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
        """Inner products `[B]` of a flat direction with the gradient of each image's cross-entropy."""
        layer = _last(network)
        features, slope = _features_and_slope(network, layer, image, mask, summed_cross_entropy)
        changed = {"weight": direction.view_as(layer.weight)}
        if layer.bias is not None:
            changed["bias"] = torch.zeros_like(layer.bias)
        with torch.no_grad():
            return (functional_call(layer, changed, (features,)) * slope).flatten(1).sum(1)


class AllParameters:
    """The same for every parameter, by forward-mode differentiation; no loop over images."""

    def size(self, network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    def gradient(self, network: nn.Module, image: Tensor, mask: Tensor, loss: Loss) -> Tensor:
        parameters = {name: p.detach().requires_grad_() for name, p in network.named_parameters()}
        value = loss(functional_call(network, parameters, (image,)), mask)
        weights = list(parameters.values())
        parts = torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    def influence(self, network: nn.Module, image: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
        parameters = {name: p.detach() for name, p in network.named_parameters()}
        parts = direction.split([p.numel() for p in parameters.values()])
        along = {name: part.view_as(p) for (name, p), part in zip(parameters.items(), parts, strict=True)}

        def losses(changed: dict[str, Tensor]) -> Tensor:
            return image_cross_entropy(functional_call(network, changed, (image,)), mask)

        return jvp(losses, (parameters,), (along,))[1]


SCOPES: dict[str, LastLayer | AllParameters] = {"last": LastLayer(), "all": AllParameters()}


def summed_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """The loss of weak masks, of each image on its own."""
    return image_cross_entropy(logits, mask).sum()


def _last(network: nn.Module) -> nn.Conv2d | nn.Conv3d:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)][-1]


def _features_and_slope(
    network: nn.Module, layer: nn.Module, image: Tensor, mask: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
    """The last layer's input, and the derivative of the loss by its output; no graph before it."""
    ends: list[Tensor] = []

    def cut(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        ends.extend((given[0], out.detach().requires_grad_()))
        return ends[1]

    hook = layer.register_forward_hook(cut)
    try:
        fixed = {name: p.detach() for name, p in network.named_parameters()}
        value = loss(functional_call(network, fixed, (image,)), mask)
    finally:
        hook.remove()
    return ends[0], torch.autograd.grad(value, ends[1])[0]
