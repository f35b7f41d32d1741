"""The codecs by suffix: the one place that a new one is added to."""

from typing import NamedTuple

from framework.core.errors import RowError
from framework.core.plugins import plugins
from framework.imaging.codecs.base import Codec
from framework.imaging.codecs.standard import StandardCodec
from framework.imaging.decode import encode_png

CODECS: list[type[Codec]] = [StandardCodec, *plugins("scantseg.codecs")]


class EncodedPicture(NamedTuple):
    """A picture as a corpus keeps it, and the spacing that its file gives, as in `Slices`."""

    data: bytes
    spacing: tuple[float, float, float] | None


def known_suffixes() -> set[str]:
    """Suffixes of the files that count as pictures."""
    return {suffix for codec in CODECS for suffix in codec.suffixes}


def as_picture(data: bytes, suffix: str) -> EncodedPicture:
    """A file's picture as a corpus keeps it; raises `RowError` where it cannot be read or holds several."""
    codec = next(codec for codec in CODECS if suffix.lower() in codec.suffixes)
    if codec.kept_as_it_is:
        return EncodedPicture(data, None)
    slices, spacing = codec.decode(data)
    if len(slices) != 1:
        raise RowError(f"file holds {len(slices)} slices: save each as a picture of its own")
    return EncodedPicture(encode_png(slices[0]), spacing)
