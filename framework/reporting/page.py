"""How pages are set: the templates, their number formats, and what images are called."""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

import jinja2

from framework.core.counting import several
from framework.reporting.forest import signed

KnownAs = Callable[[str], str]
"""What a report calls the image or volume of an id."""


def pseudonyms() -> KnownAs:
    """Names of eight characters in place of ids, the same for an id in one report and others in the next."""
    salt = secrets.token_bytes(16)
    return lambda name: hashlib.sha256(salt + name.encode()).hexdigest()[:8]


def environment(known_as: KnownAs = str) -> jinja2.Environment:
    """Templates of this folder, with everything escaped and unknown names as errors."""
    templates = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    made = jinja2.Environment(loader=templates, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.undefined = jinja2.StrictUndefined
    made.filters["known_as"] = known_as
    made.filters |= {"count": "{:,}".format} | {f.__name__: f for f in (share, duration, several, signed)}
    return made


def share(value: float) -> str:
    """A share in 0..1 as a percentage; small ones keep a decimal."""
    return f"{100 * value:.{1 if 0 < value < 0.1 else 0}f} %"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
