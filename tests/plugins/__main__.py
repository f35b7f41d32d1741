"""`python -m tests.plugins`: what another package writes to add one of each kind; framework/ has no edit."""

import tomllib
from pathlib import Path

PACKAGE = Path(__file__).with_name("package")

if __name__ == "__main__":
    groups = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, entries in groups.items():
        for place in entries.values():
            module = place.partition(":")[0].replace(".", "/")
            lines = (PACKAGE / f"{module}.py").read_text().splitlines()
            code = sum(bool(line.strip()) for line in lines)
            print(
                f"{group:22} 1 file of {code} lines ({len(lines)} with blank ones), 1 line of pyproject.toml"
            )
