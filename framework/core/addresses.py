"""Addresses of folders: local paths, `s3://`, `gs://`, and what a relative path is relative to."""

import os
import posixpath

from framework.core.errors import StorageError, without_secrets

STORAGE = "SCANTSEG_STORAGE"
"""The environment variable that names the folder or bucket below which relative paths lie; without it that
is the working directory. A job that was submitted to a cluster has it."""
KNOWN = ("s3", "gs")
"""Schemes of object stores."""
THROWN_AWAY = "working_dir_files"
"""The folder in which Ray unpacks the working directory of a submitted job, and which it deletes."""


def resolved(text: str) -> str:
    """An address without a relative part, as artifacts note it down; raises `StorageError` for what is none,
    and for one with a key or a signature in it."""
    scheme, separator, place = text.partition("://")
    if separator and without_secrets(text) != text:
        fault = f"'{without_secrets(text)}': an address with a user, a key or a signature in it"
        mend = "give bucket and folder alone, and credentials by the environment, a profile or a role"
        raise StorageError(f"{fault}; {mend}")
    if not separator:
        return _local(os.path.expanduser(text))
    if scheme not in KNOWN:
        mend = "use a local path, s3://bucket/folder or gs://bucket/folder"
        raise StorageError(f"'{text}': storage '{scheme}://' is not known; {mend}")
    if not place.strip("/"):
        raise StorageError(f"'{text}': names no bucket; use {scheme}://bucket/folder")
    return text.rstrip("/")


def _local(path: str) -> str:
    if os.path.isabs(path):
        return os.path.abspath(path)
    if storage := os.environ.get(STORAGE):
        return _below(storage, path)
    here = os.getcwd()
    if THROWN_AWAY in here.split(os.sep):
        fault = "a relative path in the working directory of a Ray job, which Ray deletes with all below it"
        mend = f"set {STORAGE} to the folder or bucket that it lies in, or give an absolute path, s3://… or gs://…"
        raise StorageError(f"'{path}': {fault}; {mend}")
    return os.path.abspath(path)


def _below(storage: str, path: str) -> str:
    if "://" not in storage and not os.path.isabs(os.path.expanduser(storage)):
        fault, mend = "a relative path itself", "set it to an absolute path, s3://… or gs://…"
        raise StorageError(f"{STORAGE} '{storage}': {fault}; {mend}")
    root, place = resolved(storage), posixpath.normpath(path)
    if place.split("/")[0] == "..":
        mend = "give an absolute path, s3://… or gs://…"
        raise StorageError(f"'{path}': leads out of {root}, to which {STORAGE} is set; {mend}")
    return root if place == "." else f"{root}/{place}"
