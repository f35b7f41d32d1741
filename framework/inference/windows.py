"""Prediction of whole images, and of whole volumes by a window that slides over them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from framework.methods.contract import Method

OVERLAP = 0.5
"""Of neighbouring windows, as a share of their sides."""


def predict_whole(method: Method, image: Tensor, patch: Sequence[int] | None) -> dict[str, Tensor]:
    """Probabilities `[B, K, H, W]` of images, or, where a method was trained on patches, `[1, K, D, H, W]` of a volume.

    Windows are of the size of a patch; their probabilities are blended by a Gaussian around each window's centre. A volume that is
    shallower than a window is continued by its first and last slice, as in training.
    """
    if patch is None:
        return method.predict(image)
    from monai.inferers.utils import sliding_window_inference

    found = sliding_window_inference(image, patch, 4, method.predict, OVERLAP, "gaussian", padding_mode="replicate")
    assert isinstance(found, dict)
    return found
