"""What goes wrong with files and buckets, for somebody who sees places and not systems."""

import contextlib
import errno
from collections.abc import Iterator

from framework.core.errors import StorageError, Unreachable

CLIENTS = ("botocore.", "google.auth.")
"""Modules with errors of their own about credentials and endpoints."""

NO_ANSWER = {"ConnectionError", "HTTPClientError"}
"""Errors of connections, by their names or those of what they are derived from, in every client's library."""


@contextlib.contextmanager
def explained(where: str, is_local: bool) -> Iterator[None]:
    """What the system says in the block of the place `where`, as a `StorageError` that says what to do."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError:
        missing = "file or folder" if is_local else "bucket or file"
        raise StorageError(f"{where}: no such {missing}; check the path") from None
    except PermissionError as error:
        fault = f"permission denied ({short(error)})"
        raise StorageError(f"{where}: {fault}; check owner, mode or credentials") from None
    except UnicodeError:
        fault = "a name here is not UTF-8"
        raise StorageError(f"{where!a}: {fault}; rename that file or folder") from None
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(CLIENTS):
            raise
        raise fault_of(error, where) from None


def fault_of(error: Exception, where: str) -> StorageError:
    """What an error of a system or of a client says of a place; `Unreachable` where nobody has answered."""
    kind = Unreachable if is_unanswered(error) else StorageError
    return kind(f"{where}: {short(error)}; {_mend(error, where)}")


def is_unanswered(error: Exception) -> bool:
    return not NO_ANSWER.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def short(error: BaseException) -> str:
    """The first line of what an error says."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200]


def _mend(error: Exception, where: str) -> str:
    if where.startswith("gs://"):
        return "check credentials (GOOGLE_APPLICATION_CREDENTIALS, or the node's account) and network"
    if type(error).__module__.startswith("botocore."):
        return "check credentials, network and AWS_ENDPOINT_URL"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, then run the same command again"
    return "check that the place exists and is writable"
