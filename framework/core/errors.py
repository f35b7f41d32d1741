"""One small tree of errors. Each message is one line: what is wrong, where, and what to do about it."""

import difflib
import re
from collections.abc import Iterable

SECRETS = (
    re.compile(r"""(:/{1,2})(?:[^\s'"@/:]+|[^\s'"@/]+:[^\s'"@]+)(?=@)"""),
    re.compile(r"""(?i)([?&][\w-]*(?:sig|credential|token|key|secret|password)[\w-]*=)[^&\s'"]+"""),
)
"""What an address may hold that nobody else may read: user and password before `@`, and signatures."""


def without_secrets(text: str) -> str:
    """A text as others may read it, whatever address it quotes."""
    for secret in SECRETS:
        text = secret.sub(r"\1***", text)
    return text


class ScantsegError(Exception):
    """A fault that the reader of its message can mend; the command line prints it without a stack trace.

    Its message is shown without secrets.
    """

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class ConfigError(ScantsegError, ValueError):
    """The description of a run is wrong: unknown key, wrong type, impossible combination."""


class CorpusError(ScantsegError, ValueError):
    """A corpus or layer as a whole cannot be used."""


class RowError(ScantsegError, ValueError):
    """One image or mask cannot be used; jobs put it in the quarantine and go on."""


class StorageError(ScantsegError, OSError):
    """A folder or bucket cannot be read or written."""


class Unreachable(StorageError):
    """A bucket does not answer. It may again, so that workers who met this are started anew."""


class CheckpointError(ScantsegError):
    """A checkpoint does not belong to this run or is damaged."""


class TrainingError(ScantsegError, RuntimeError):
    """Training cannot go on, such as a loss that is not finite."""


class ResourceError(ScantsegError, RuntimeError):
    """More workers, processors or memory asked for than there are."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """How a message about an unknown name ends: `; did you mean 'steps'?`, or the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known) or 'none'}"
