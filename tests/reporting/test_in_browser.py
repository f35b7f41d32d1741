"""Pages as Chromium shows them: nothing is cut, blank or loaded from elsewhere."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.experiments.compare.support import comparison_artifact
from tests.reporting.support import page_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """<script>addEventListener("load", () => {
  const shown = e => e.getBoundingClientRect().width > 20 && e.getBoundingClientRect().height > 10;
  const all = name => [...document.querySelectorAll(name)];
  all("details").forEach(e => e.open = true);
  parent.postMessage(JSON.stringify({
    images: all("img").map(e => shown(e) && e.naturalWidth), tables: all("table").map(shown),
    charts: all("svg.chart").map(shown),
    forests: all("svg.forest").map(shown),
    cut: all("td, th").filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.innerText),
    width: innerWidth, wide: document.documentElement.scrollWidth - innerWidth, text: document.body.innerText,
    loaded: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
  }), "*");
});</script></head>"""
FRAME = """<title></title><script>onmessage = e => document.title = e.data</script>
<iframe src="measured.html" style="width: {}px; height: 1400px; border: 0"></iframe>"""
"""A page of any width: a window is at least 500 pixels wide."""


def chromium(profile: Path, page: Path, width: int, *task: str) -> str:
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    quiet += " --disable-component-update"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *quiet.split(), f"--user-data-dir={profile}"]
    command += [f"--window-size={width},1400", *task, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
class TestInBrowser:
    @pytest.mark.parametrize("width", [1400, 800, 390])
    def test_tables_charts_and_pictures_are_visible(self, run, tmp_path, width):
        sizes = self.measured(page_of([run], tmp_path / "r.html"), tmp_path, width)
        assert len(sizes["images"]) == 8 and all(natural > 700 for natural in sizes["images"])
        assert len(sizes["tables"]) == 7 and all(sizes["tables"])
        assert len(sizes["charts"]) == 11 and all(sizes["charts"])
        assert sizes["wide"] <= 0 and sizes["loaded"] == [] and sizes["cut"] == []
        assert (
            "mean over classes" in sizes["text"]
            and "disc <b>" in sizes["text"]
            and "Scores." in sizes["text"]
        )

    @pytest.mark.parametrize("width", [1400, 800, 390])
    def test_a_comparison_is_visible(self, tmp_path, width):
        page = page_of([comparison_artifact(tmp_path / "c")], tmp_path / "r.html")
        sizes = self.measured(page, tmp_path, width)
        assert len(sizes["images"]) == 3 and all(natural > 900 for natural in sizes["images"])
        assert sizes["tables"] == [True] * 2 and sizes["charts"] == [True] and sizes["forests"] == [True]
        assert sizes["wide"] <= 0 and sizes["loaded"] == [] and sizes["cut"] == []
        assert (
            "recipe better" in sizes["text"]
            and "plain <b>" in sizes["text"]
            and "time to Dice 0.45" in (page if width == 390 else sizes["text"])
            and sizes["width"] == width
        )

    def measured(self, page: str, folder: Path, width: int) -> dict:
        """What the browser says of the page at a width."""
        page = page.replace("style-src", "script-src 'unsafe-inline'; style-src", 1).replace(
            "</head>", MEASURE, 1
        )
        (folder / "measured.html").write_text(page)
        (folder / "frame.html").write_text(FRAME.format(width))
        dom = chromium(folder / "profile", folder / "frame.html", 1500, "--dump-dom")
        title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
        assert title
        return json.loads(html.unescape(title[1]))

    def test_is_not_blank(self, run, tmp_path):
        page_of([run], tmp_path / "r.html")
        shot = tmp_path / "shot.png"
        chromium(tmp_path / "profile", tmp_path / "r.html", 1280, f"--screenshot={shot}", "--hide-scrollbars")
        pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
        assert pixels.shape[1] == 1280
        drawn = (np.abs(pixels - pixels[0, 0]).sum(-1) > 60).mean()
        assert 0.01 < drawn < 0.6
