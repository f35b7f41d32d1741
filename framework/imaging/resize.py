"""Pictures and masks at another size."""

import numpy as np
from PIL import Image


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """`[H, W, C]` to `[C, size, size]`, anti-aliased; 8-bit pictures stay uint8, deeper ones are float32."""
    pixels = image if image.dtype == np.uint8 else image.astype(np.float32)
    channels = (Image.fromarray(channel) for channel in np.moveaxis(pixels, 2, 0))
    resized = (channel.resize((size, size), Image.Resampling.BILINEAR) for channel in channels)
    return np.stack([np.asarray(channel) for channel in resized])


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask `[H, W]` as uint8, by the nearest pixel, so without new class ids."""
    picture = Image.fromarray(np.asarray(mask, np.uint8))
    return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
