"""Names that become names of folders: of runs, stages, layers, recipes and searches."""

import re
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 100
FORM = re.compile(rf"\w[\w.-]{{0,{LONGEST - 1}}}")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for devices, whatever the ending."""


def require_name(text: str) -> str:
    """A name that stays in its folder, on every system; raises `ValueError` for others."""
    if not FORM.fullmatch(text) or text.endswith("."):
        characters = "letters, digits and _ . - (neither . nor - first, no . last)"
        raise ValueError(f"a name has {characters}, at most {LONGEST} of them")
    if RESERVED.fullmatch(text):
        raise ValueError("a device of that name is known to Windows; choose another")
    return text


Name = Annotated[str, AfterValidator(require_name)]
