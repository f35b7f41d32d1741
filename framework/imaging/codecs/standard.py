"""Everyday pictures: PNG, JPEG, TIFF and their like, one picture a file."""

from framework.imaging.codecs.base import Codec, Slices
from framework.imaging.decode import decode_image


class StandardCodec(Codec):
    """All that `imaging.decode` opens."""

    suffixes = ("png", "jpg", "jpeg", "mpo", "tif", "tiff", "bmp", "webp", "pgm", "ppm", "jp2")
    kept_as_it_is = True

    @staticmethod
    def decode(data: bytes) -> Slices:
        return Slices([decode_image(data)])
