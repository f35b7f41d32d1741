"""The whole way with an installed package's own parts: corpus, training, pseudo-labels, evaluation, report.

    python -m tests.plugins.every_step FOLDER

with the package on the path. Nothing of framework/ is edited or replaced.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from framework.cli.main import main

STAGES = """
name: whole
out: {root}
corpus: {{path: {root}/corpus, size: 32, budget: {{share: 0.5}}}}
network: {{name: pixelwise}}
method: {{name: entropy, weight: 0.2}}
train: {{steps: 6, batch: 4, precision: fp32, validate_every: 3, checkpoint_every: 3}}
compute: {{workers: 0, strategy: {{name: sign}}}}
stages:
  - {{stage: train}}
  - {{stage: pseudolabel}}
  - {{stage: bright, settings: {{level: 90}}}}
  - {{stage: evaluate}}
  - {{stage: report}}
"""


def write_folder(root: Path, patients: int = 20) -> None:
    """Pictures of the package's own format, with masks and a table."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng, lines = np.random.default_rng(0), ["id,patient,split"]
    for number in range(patients):
        mask = np.zeros((24, 20), np.uint8)
        mask[4:14, 5 : 8 + number % 8] = 1
        grey = (rng.integers(0, 60, mask.shape) + 120 * mask).astype(np.uint8)
        (root / f"images/p{number}.plain").write_bytes(b"24 20 0.5\n" + grey.tobytes())
        Image.fromarray(mask).save(root / f"masks/p{number}.png")
        lines.append(f"p{number},p{number},{('train', 'train', 'train', 'val', 'test')[number % 5]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def scantseg(*words: str) -> None:
    """A command line of the user's."""
    sys.argv = ["scantseg", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, f"scantseg {' '.join(words)} ended with {end.code}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_folder(folder / "source")
    (folder / "run.yaml").write_text(STAGES.format(root=folder))
    scantseg("methods")
    scantseg(
        "corpus", "build", str(folder / "source"), str(folder / "corpus"), "--classes", "background,disc"
    )
    scantseg("bright", str(folder / "corpus"), "--layer", "bright", "--level", "100")
    scantseg("run", str(folder / "run.yaml"))
