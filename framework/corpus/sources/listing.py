"""What lies in images/ or masks/: pictures by id, and all that is not read, by name."""

import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from framework.core.counting import several
from framework.core.errors import CorpusError
from framework.core.integrity import described
from framework.core.settings import digest
from framework.core.storage import Store
from framework.imaging.codecs.registry import known_suffixes

SHOWN = 3
"""Names that a message gives of many."""
THREADS = 8
"""Files that are read at once to be hashed: on S3 the answers take longer than the bytes."""
NO_PICTURES = ("Thumbs.db", "desktop.ini")
"""What systems leave in folders, beside hidden files."""


class Picture(NamedTuple):
    """A file of images/ or masks/ and how many bytes it has."""

    file: str
    size: int


@dataclass(frozen=True)
class Listing:
    """The files of a folder. An id is a file's name without its ending, in composed Unicode (NFC)."""

    folder: Store
    pictures: dict[str, Picture] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    """By id, why a link that leads out of the folder, or nowhere, is not followed."""
    unread: dict[str, str] = field(default_factory=dict)
    """By id, files of kinds that are not read."""

    @classmethod
    def of(cls, folder: Store) -> Self:
        """Raises `CorpusError` where two pictures are of one id."""
        listing, suffixes, stray = cls(folder), known_suffixes(), _links_outside(folder)
        for file, size in ({file: 0 for file in stray} | folder.sizes()).items():
            name, ending = _split(file)
            if file.startswith(".") or file in NO_PICTURES:
                continue
            if file in stray:
                way = f"{folder.name}/{file} is a link that leads out of the folder, or nowhere"
                listing.outside[name] = f"{way}: copy the picture itself"
            elif ending not in suffixes:
                listing.unread[name] = file
            elif name in listing.pictures:
                fault = f"'{listing.pictures[name].file}' and '{file}' are of one id"
                raise CorpusError(f"{folder.url}: {fault}; keep one of them")
            else:
                listing.pictures[name] = Picture(file, size)
        return listing

    @property
    def ids(self) -> set[str]:
        """Of the pictures, those behind links to elsewhere among them."""
        return self.pictures.keys() | self.outside.keys()

    def reason(self, name: str) -> str | None:
        """Why a file of this id is not read, where there is one."""
        if reason := self.outside.get(name):
            return reason
        if file := self.unread.get(name):
            return f"{self.folder.name}/{file} is of a kind that is not read: save it as PNG"
        return None

    def notes(self) -> list[str]:
        """What is in the folder and in no corpus, a line a kind."""
        notes = []
        if self.folder.is_local and os.path.islink(self.folder.path()):
            notes.append(f"{self.folder.name}/ is a link to another folder, and its pictures are taken")
        if files := sorted(self.unread.values()):
            endings = ", ".join(sorted({f".{_split(file)[1]}".rstrip(".") or "no ending" for file in files}))
            kinds = f"of kinds that are not read ({endings}): {_some(files)}"
            notes.append(f"{self.folder.name}/: {several(len(files), 'file')} {kinds}; save pictures as PNG")
        if files := _nested(self.folder, ""):
            place = f"in subfolders not read: {_some(files)}"
            notes.append(f"{self.folder.name}/: {several(len(files), 'picture')} {place}; move them up")
        return notes

    def content(self) -> str:
        """A hash over the bytes of all pictures: an edit in place makes another source."""
        with ThreadPoolExecutor(THREADS) as pool:
            files = pool.map(lambda picture: described(self.folder, [picture.file]), self.pictures.values())
            return digest(list(files))


def _split(file: str) -> tuple[str, str]:
    """Id and ending of a file; `.nii.gz` is one ending."""
    stem, _, ending = file.rpartition(".")
    if stem.lower().endswith(".nii"):
        stem, ending = stem[:-4], f"nii.{ending}"
    return unicodedata.normalize("NFC", stem or file), ending.lower() if stem else ""


def _links_outside(folder: Store) -> list[str]:
    """Links of a local folder to what is not in it."""
    if not folder.is_local or not os.path.isdir(folder.path()):
        return []
    root = os.path.realpath(folder.path())
    with os.scandir(folder.path()) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    return [link for link in links if not _beneath(os.path.realpath(folder.path(link)), root)]


def _beneath(path: str, root: str) -> bool:
    return os.path.exists(path) and os.path.commonpath([path, root]) == root


def _nested(folder: Store, place: str) -> list[str]:
    """Pictures in the folders below, with their way."""
    suffixes, files = known_suffixes(), []
    for name in folder.folders():
        below, way = folder / name, f"{place}{name}/"
        if folder.is_local and os.path.islink(below.path()):
            continue  # it may lead back here
        files += [way + file for file in below.sizes() if _split(file)[1] in suffixes]
        files += _nested(below, way)
    return files


def _some(files: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ", ".join(f"'{file}'" for file in files[:SHOWN]) + more
