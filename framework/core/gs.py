"""Google Cloud Storage as a `Store` needs it: reads by ranges, lists, and every write is one request.

pyarrow's own client lists no folder that has no object of its name, and completes an output that is collected
after an error: half an object would appear.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from os import environ
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from requests.adapters import HTTPAdapter
from urllib3 import Retry

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

TIMEOUT, COMMIT_S = 8.0, 60.0
"""Seconds that the endpoint may be silent, and that it may take to put an object together."""
EMULATOR = "STORAGE_EMULATOR_HOST"
"""The environment variable of another endpoint, which asks for no credentials."""
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
BUSY, REFUSED = (429, 500, 502, 503, 504), 412


class GoogleStorage(AbstractFileSystem):
    """Reads, lists and removes objects; folders are what their names begin with."""

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            if "/" not in path:
                raise FileNotFoundError(path)  # a bucket is a folder
            return _file(path, _ask("GET", _object(path)).json())
        except FileNotFoundError:
            if next(_listed(path, 1), None) is None:
                raise
            return {"name": path, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        beneath = [each for each in _listed(path) if each["name"] != path]
        return beneath if detail else [each["name"] for each in beneath]

    def isfile(self, path: str) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._type(path) == "directory"

    def exists(self, path: str, **kwargs: Any) -> bool:
        return self._type(path) != ""

    def _type(self, path: str) -> str:
        """ "file", "directory" or ""; fsspec's own answers take a refusal or a lost network for no file."""
        try:
            return self.info(path)["type"]
        except FileNotFoundError:
            return ""

    def rm_file(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # a folder is none
            _ask("DELETE", _object(path))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "Reader":
        return Reader(self, path, mode)


class Reader(AbstractBufferedFile):
    """An object that is read by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        asked = {"Range": f"bytes={start}-{end - 1}"}
        return _ask("GET", _object(self.path), params={"alt": "media"}, headers=asked).content


def filesystem() -> "FileSystem":
    """To read, list and remove by."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return PyFileSystem(FSSpecHandler(GoogleStorage()))


@contextlib.contextmanager
def upload(path: str) -> Iterator[Any]:
    """An object that appears, whole, when the block ends well: until then it is a file without a name."""
    with tempfile.TemporaryFile() as file:
        yield file
        size = file.tell()
        file.seek(0)
        _put(path, file if size else b"")


def create(path: str, data: bytes) -> bool:
    """Write an object where none is; False for all but the first who do so."""
    return _put(path, data, "0")


def replace(path: str, tag: str, data: bytes) -> bool:
    """Write an object anew if it is still the one with this tag; False where another came first."""
    return _put(path, data, tag)


def tag_of(path: str) -> tuple[str, datetime]:
    """An object's generation, and by the server's clock when it was written."""
    facts = _ask("GET", _object(path)).json()
    return facts["generation"], datetime.fromisoformat(facts["updated"])


def _put(path: str, body: Any, generation: str | None = None) -> bool:
    bucket, _, key = path.partition("/")
    words = {"uploadType": "media", "name": key, "ifGenerationMatch": generation}
    answer = _ask("POST", f"upload/storage/v1/b/{bucket}/o", params=words, data=body)
    return answer.status_code != REFUSED


def _listed(path: str, most: int = 1000) -> Iterator[dict[str, Any]]:
    """What is directly beneath a folder."""
    bucket, _, folder = path.strip("/").partition("/")
    words = {"prefix": f"{folder}/" if folder else "", "delimiter": "/", "maxResults": most}
    while True:
        page = _ask("GET", f"storage/v1/b/{bucket}/o", params=words).json()
        for prefix in page.get("prefixes", []):
            yield {"name": f"{bucket}/{prefix.rstrip('/')}", "size": 0, "type": "directory"}
        yield from (_file(f"{bucket}/{each['name']}", each) for each in page.get("items", []))
        if not (token := page.get("nextPageToken")):
            return
        words["pageToken"] = token


def _file(path: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"name": path.rstrip("/"), "size": int(facts["size"]), "type": "file"}


def _object(path: str) -> str:
    bucket, _, key = path.partition("/")
    return f"storage/v1/b/{bucket}/o/{quote(key, safe='')}"


def _ask(verb: str, path: str, **what: Any) -> requests.Response:
    """One request; raises `OSError` for an answer that is neither yes nor a condition that does not hold."""
    waits = TIMEOUT, COMMIT_S if verb == "POST" else TIMEOUT
    answer = _session().request(verb, f"{_endpoint()}/{path}", timeout=waits, **what)
    if answer.status_code == 404:
        raise FileNotFoundError(path)
    if answer.status_code in (401, 403):
        raise PermissionError(f"{answer.status_code} {answer.reason}")
    if answer.status_code != REFUSED:
        answer.raise_for_status()
    return answer


def _endpoint() -> str:
    place = environ.get(EMULATOR, "https://storage.googleapis.com")
    return place.rstrip("/") if "://" in place else f"http://{place}"


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    if EMULATOR in environ:
        session = requests.Session()
    else:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        session = AuthorizedSession(google.auth.default(scopes=[SCOPE])[0])
    again = Retry(2, status_forcelist=BUSY, allowed_methods=None, backoff_factor=0.5, raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))
    return session
