"""The update of a method that adds a weighted unsupervised loss to a supervised one."""

import torch
from torch import Tensor

from framework.methods.base import Update


def semi_supervised_update(
    group: str, supervised: Tensor, unsupervised: Tensor, weight: float, **metrics: Tensor
) -> Update:
    """One step on `supervised + weight * unsupervised`; logs the three beside `metrics`."""
    losses = {"loss_supervised": supervised.detach(), "loss_unsupervised": unsupervised.detach()}
    logged = {**losses, "weight": torch.tensor(weight), **metrics}
    return Update(group, supervised + weight * unsupervised, logged)
