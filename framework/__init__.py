"""scantseg: medical image segmentation with few masks and many images, distributed on Ray."""

__version__ = "0.1.0"
