"""The codecs by suffix: the one place that a new one is added to."""

from framework.core.errors import RowError
from framework.core.plugins import plugins
from framework.imaging.codecs.base import Codec, Spacing
from framework.imaging.codecs.standard import StandardCodec
from framework.imaging.decode import encode_png

CODECS: list[type[Codec]] = [StandardCodec, *plugins("scantseg.codecs")]


def known_suffixes() -> set[str]:
    """Suffixes of the files that count as pictures."""
    return {suffix for codec in CODECS for suffix in codec.suffixes}


def as_picture(data: bytes, suffix: str) -> tuple[bytes, Spacing | None]:
    """A file's picture as a corpus keeps it; raises `RowError` where it cannot be read or holds several."""
    codec = next(codec for codec in CODECS if suffix.lower() in codec.suffixes)
    if codec.kept_as_it_is:
        return data, None
    slices, spacing = codec.decode(data)
    if len(slices) != 1:
        raise RowError(f"file holds {len(slices)} slices: save each as a picture of its own")
    return encode_png(slices[0]), spacing
