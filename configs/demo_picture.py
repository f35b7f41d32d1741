"""Make `configs/demo.png`, the picture of the demo's report on the front page.

    python configs/demo_picture.py

Runs the demo where it has not been run, and wants Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from framework.core.storage import Store
from framework.experiments.pipeline.config import load_pipeline
from framework.experiments.pipeline.run import run_stages

WIDTH, HEIGHT, SCALE = 1180, 1250, 0.6
"""Pixels of the page that are shown, and how much smaller they are in the picture."""


def main(folder: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium, chromium-browser or google-chrome on the PATH; install one")
    root = run_stages(load_pipeline(folder / "demo.yaml"))
    with tempfile.TemporaryDirectory() as work:
        shot = f"{work}/page.png"
        page = Path(Store.at(root).url, "report.html").resolve().as_uri()
        quiet = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={work}/profile",
        ]
        task = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", page]
        subprocess.run([browser, *quiet, *task], check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
        small = picture.resize((round(WIDTH * SCALE), round(HEIGHT * SCALE)), Image.Resampling.LANCZOS)
        small.quantize(128).save(folder / "demo.png", optimize=True)


if __name__ == "__main__":
    main(Path(__file__).parent)
