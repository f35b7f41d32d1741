"""Pictures and masks at another size."""

import numpy as np
from PIL import Image


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """`[H, W, C]` to `[C, size, size]`, anti-aliased; 8-bit pictures stay uint8, deeper ones are float32."""
    pixels = image if image.dtype == np.uint8 else image.astype(np.float32)
    channels = [
        Image.fromarray(pixels[..., c]).resize((size, size), Image.Resampling.BILINEAR)
        for c in range(pixels.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels])


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask `[H, W]` as uint8, by the nearest pixel, so without new class ids."""
    return np.asarray(
        Image.fromarray(np.asarray(mask, np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    )
