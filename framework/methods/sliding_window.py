"""Prediction of whole images, and of whole volumes by a window that slides over them."""

from collections.abc import Sequence

from torch import Tensor

from framework.loading.patches import mirrored
from framework.methods.base import Method

OVERLAP = 0.5
"""Overlap of neighbouring windows, as a share of their sides."""


def predict_whole(method: Method, image: Tensor, patch: Sequence[int] | None) -> dict[str, Tensor]:
    """Probabilities `[B, K, H, W]` of images, or `[1, K, D, H, W]` of a volume for methods of patches.

    A Gaussian blends windows of a patch's size; shallower volumes are mirrored at their ends, as in training.
    """
    if patch is None:
        return method.predict(image)
    from monai.inferers.utils import sliding_window_inference

    depth = image.shape[2]
    before = max(0, patch[0] - depth) // 2
    whole = image[:, :, mirrored(-before, max(depth, patch[0]), depth)]
    probabilities = sliding_window_inference(whole, patch, 4, method.predict, OVERLAP, "gaussian")
    assert isinstance(probabilities, dict)
    return {name: p[:, :, before : before + depth] for name, p in probabilities.items()}
