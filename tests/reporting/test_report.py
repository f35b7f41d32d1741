from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.evaluation.cases import case_rows, summarise, write_cases
from framework.imaging.overlay import panels
from framework.reporting.report import pseudonyms, write_report
from tests.experiments.compare.support import comparison_artifact

CLASSES = ["background", "disc <b>", "ring"]
CORPUS = ("data/eyes", "c0")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def artifact(
    root: Path, kind: str, name: str, hash: str, inputs: dict[str, tuple[str, str]], counts: dict
) -> Store:
    store = Store.at(root / name)
    record = {
        "kind": kind,
        "name": name,
        "hash": hash,
        "config_hash": f"k{hash}",
        "inputs": {role: {"path": path, "hash": made} for role, (path, made) in inputs.items()},
        "counts": counts,
        "seconds": 75.0,
        "finished": True,
        "version": "0",
    }
    store.write_json("artifact.json", record)
    return store


def model(
    root: Path,
    name: str,
    hash: str,
    inputs: dict[str, tuple[str, str]] | None = None,
    aligned: bool = False,
    pseudo: int = 0,
) -> Store:
    budget = {"labelled_images": 20, "labelled_groups": 2, "train_images": 1200, "train_groups": 10}
    size = {
        "pseudo_images": pseudo,
        "unlabelled_images": 1180 - pseudo,
        "parameters": 1234567,
        "steps": 400,
        "workers": 2,
    }
    store = artifact(root, "model", name, hash, {"corpus": CORPUS} | (inputs or {}), budget | size)
    log: list[dict] = [{"step": step, "loss": 1 / step} for step in range(1, 401)]
    log += [
        {"step": step, "validation": {"metric": "dice", "dice": [0.5, 0.7], "mean": step / 500}}
        for step in (200, 400)
    ]
    if aligned:
        statistics = {
            f"{key}_{i}": [0.9, 0.06, 0.04]
            for key in ("pi_labelled", "pi_unlabelled", "ratio", "kept")
            for i in (1, 2)
        }
        log += [{"step": step, "statistics": statistics} for step in (100, 200)]
    store.write_text("metrics.jsonl", "\n".join(map(json.dumps, log)))
    store.write_text("config.yaml", "name: <script>alert(1)</script>\nmethod: {name: coda}\n")
    store.write_json("model.json", {"corpus": "eyes", "classes": CLASSES, "channels": 3})
    return store


def planes(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids == k for k in range(1, len(CLASSES))])


def evaluation(root: Path, name: str, hash: str, of: tuple[str, str]) -> Store:
    store = artifact(
        root, "evaluation", name, hash, {"model": of, "corpus": CORPUS}, {"cases": 4, "images": 4}
    )
    truth = np.zeros((40, 40), np.uint8)
    truth[5:15, 5:15], truth[20:35, 20:35] = 1, 2
    rows, listed = [], []
    for i, rank in enumerate(["best", "median", "median", "worst", "clean"]):
        truth = truth if rank != "clean" else np.zeros_like(truth)
        predicted = np.roll(truth, i, 0) if rank != "worst" else np.where(truth == 1, 0, truth)
        case = case_rows(
            "both",
            f"eye-{i}",
            f"p{i}",
            planes(truth),
            planes(predicted),
            np.zeros(truth.shape, bool),
            CLASSES,
        )
        rows += case
        if rank == "clean":
            continue
        store.write_bytes(f"{i}.png", panels(np.full((40, 40, 3), 80 + i, np.uint8), truth, predicted))
        listed.append(
            {
                "case": f"eye-{i}",
                "rank": rank,
                "dice": float(np.mean([row["dice"] for row in case])),
                "file": f"{i}.png",
            }
        )
    store.write_json(
        "summary.json", summarise(write_cases(store, rows), CLASSES, split="test", unit="px", dimension=2)
    )
    store.write_json("pictures.json", listed)
    return store


@pytest.fixture
def run(tmp_path) -> Store:
    """Two rounds: a Co-DA model, its pseudo-labels, a model trained on them, and an evaluation of each."""
    root = tmp_path / "run"
    model(root, "round-1", "m1", aligned=True)
    classes = {"background": {"predicted": 1000, "kept": 900}, "disc <b>": {"predicted": 50, "kept": 0}}
    counts = {"rows": 1180, "quarantined": 3, "classes": classes}
    layer = artifact(
        root, "layer", "pseudo", "l1", {"model": ("run/round-1", "m1"), "corpus": CORPUS}, counts
    )
    quality = {
        "background": {"kept_share": 0.9, "accuracy": 0.97, "pixels": 10},
        "ring": {"kept_share": 0, "accuracy": None, "pixels": 4},
    }
    layer.write_json("quality.json", {"classes": quality})
    model(root, "round-2", "m2", {"layer pseudo": ("layers/pseudo", "l1")}, pseudo=1180)
    evaluation(root, "test-1", "e1", ("run/round-1", "m1"))
    evaluation(root, "test-2", "e2", ("run/round-2", "m2"))
    return Store.at(root)


def page_of(sources: list[Store], out: Path) -> str:
    assert write_report(sources, out) == str(out)
    return out.read_text()


def words(page: str) -> str:
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_says_what_was_trained_on_what(run, tmp_path):
    text = words(page_of([run], tmp_path / "eyes.html"))
    assert "It was trained on eyes with the masks of 20 of 1,200 images (2 of 10 groups)" in text
    assert "with pseudo-masks for 1,180 images" in text
    assert "finds 7 of the 8 structures in 5 cases of the test split of eyes and claims 0 of 2 that" in text
    assert "its mean Dice is 0." in text
    places = [
        text.index(word) for word in ("finds 7", "Too few cases", "Results", "Cases", "Learning curves")
    ]
    assert places == sorted(places) and text.index("Provenance") > text.index("Pseudo-labels")


def test_scores_stand_beside_their_denominators_and_what_silence_scores(run, tmp_path):
    text = words(page_of([run / "test-1"], tmp_path / "r.html"))
    assert "disc <b> 0 Dice" not in text and "3 of 4" in text and "0 of 1" in text
    assert "with 1 missed" in text
    assert "predicts nothing" in text and "Dice, empty = 1" in text
    assert "predicts nothing 0 of 8 0 of 2 0.000 0.000 – 0.000 0.000 0.000 – 0.000 – – 0.200" in text


def test_a_model_is_held_against_the_one_that_it_goes_back_to(run, tmp_path):
    """round-2 learnt from labels that round-1 made; both are scored on the same cases."""
    text = words(page_of([run], tmp_path / "r.html"))
    assert text.startswith(
        "run round-2 is not to be told apart from round-1: Dice +0.000 [+0.000, +0.000] on"
    )
    table = (run / "test-1").read_table("cases.parquet")
    at = table.schema.get_field_index("dice")
    halves = pa.array([dice and dice / 2 for dice in table["dice"].to_pylist()])
    (run / "test-1").write_table("cases.parquet", table.set_column(at, "dice", halves))
    text = words(page_of([run], tmp_path / "r.html"))
    assert text.startswith("run round-2 is better than round-1: Dice +0.") and "one training each" in text


def test_two_splits_that_disagree_about_a_model_are_told(run, tmp_path):
    summary = (run / "test-1").read_json("summary.json")
    low = {"mean": 0.11, "low": 0.1, "high": 0.12}
    summary["predictors"]["both"]["mean"]["dice"] = low
    artifact(
        Path(run.url), "evaluation", "val-1", "e9", {"model": ("run/round-1", "m1"), "corpus": CORPUS}, {}
    )
    for name in ("pictures.json", "cases.parquet"):
        (run / "val-1").write_bytes(name, (run / "test-1").read_bytes(name))
    for picture in (run / "test-1").read_json("pictures.json"):
        (run / "val-1").write_bytes(picture["file"], (run / "test-1").read_bytes(picture["file"]))
    (run / "val-1").write_json("summary.json", summary | {"split": "val"})
    counts = {"counts": {"cases": 4, "images": 4}}
    (run / "val-1").write_json("artifact.json", (run / "val-1").read_json("artifact.json") | counts)
    text = words(page_of([run], tmp_path / "r.html"))
    assert "round-1 (both): Dice is 0.8" in text and "0.110 on val, which differ by more than chance." in text


def test_lesions_that_overlap_have_a_table_and_a_curve(run, tmp_path):
    interval = {"mean": 0.4321, "low": 0.3, "high": 0.5}
    lesions = {
        "disc <b>": {"aupr": interval, "images": 3},
        "ring": {"aupr": None, "images": 0},
        "mean": {"aupr": interval, "images": 3},
    }
    (run / "test-1").write_json(
        "summary.json", (run / "test-1").read_json("summary.json") | {"pooled": lesions}
    )
    log = [
        {"step": step, "validation": {"metric": "aupr", "aupr": [0.2, None], "mean": 0.2}}
        for step in (200, 400)
    ]
    (run / "round-1").write_text("metrics.jsonl", "\n".join(map(json.dumps, log)))
    page = page_of([run], tmp_path / "r.html")
    text = words(page)
    assert (
        "disc <b> 3" in text
        and "0.432 0.300 – 0.500" in text
        and "ring 0 in no image" in text
        and "disc <b></th>" not in page
    )
    assert "mean over lesions that occur" in text and "Its mean AUPR over lesions is 0.432" in text
    assert "Validation AUPR, mean over lesions" in text and "Validation Dice, mean over classes" in text
    assert text.count("Lesions that may overlap") == 1


def test_has_every_section(run, tmp_path):
    page = page_of([run], tmp_path / "r.html")
    order = ["results", "cases", "curves", "pseudo-labels", "distribution-alignment", "provenance"]
    assert re.findall(r'<section [^>]*id="([^"]+)"', page) == order
    text = words(page)
    assert "Label budget" in text and "90 %" in text and "97 %" in text and "nothing kept" in text
    assert (
        "cluster bootstrap over groups" in text
        and "diagonal of the image" in text
        and "There is no" not in text
    )
    assert "95 %" in text and "missed" in text and "Configuration of round-1" in text


def test_loads_nothing(run, tmp_path):
    page = page_of([run], tmp_path / "r.html")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    links = re.findall(r"""(?:src|href|action|poster|srcset|data)\s*=\s*["']?([^"'\s>]+)""", page)
    links += re.findall(r"url\(([^)]*)\)", page)
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "<script" not in page and "<link" not in page and "@import" not in page


def test_ids_are_hidden_where_that_is_asked_for(run, tmp_path):
    write_report([run], tmp_path / "r.html", pseudonyms())
    page = (tmp_path / "r.html").read_text()
    names = re.findall(r"<b>Worst</b> (\w+)", page)
    assert "eye-" not in page and len(set(names)) == 1 and len(names) == 2
    write_report([run], tmp_path / "again.html", pseudonyms())
    assert names[0] not in (tmp_path / "again.html").read_text()
    assert "eye-3" in page_of([run], tmp_path / "plain.html")


def test_escapes_what_it_shows(run, tmp_path):
    page = page_of([run], tmp_path / "r.html")
    assert "disc &lt;b&gt;" in page and "disc <b>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_lineage_reaches_inputs_that_are_not_sources(run, tmp_path):
    page = page_of([run / "round-2", run / "test-2"], tmp_path / "r.html")
    assert page.count('class="node model"') == 1 and page.count('class="node evaluation"') == 1
    assert page.count('class="node corpus unseen"') == 1 and page.count('class="node layer unseen"') == 1
    assert page.count('class="arrow"') == 4
    assert page_of([run], tmp_path / "all.html").count('class="arrow"') == 9


def test_empty_sections_are_left_out_and_missing_files_told(run, tmp_path):
    bare = artifact(tmp_path, "layer", "seeds", "s", {"corpus": CORPUS}, {"rows": 3, "quarantined": 0})
    page = page_of([bare], tmp_path / "r.html")
    assert "There is no model among the sources." in words(page)
    assert re.findall(r'<section [^>]*id="([^"]+)"', page) == ["provenance"]
    for name in ("metrics.jsonl", "config.yaml"):
        (Path(run.url) / "round-2" / name).unlink()
    page = page_of([run / "round-2"], tmp_path / "r.html")
    assert "round-2 has no metrics.jsonl" in words(page) and "round-2 has no config.yaml" in words(page)
    assert 'class="chart"' not in page and 'id="distribution-alignment"' not in page


def test_only_models_with_statistics_show_marginals(run, tmp_path):
    page = page_of([run], tmp_path / "r.html")
    marginals = page[page.index('id="distribution-alignment"') : page.index('id="provenance"')]
    assert "round-1" in marginals and "round-2" not in marginals
    assert marginals.count('class="chart"') == 3 * len(CLASSES)


def test_equal_names_are_told_apart(run, tmp_path):
    model(tmp_path / "other", "round-1", "m9")
    text = words(page_of([run, Store.at(tmp_path / "other")], tmp_path / "r.html"))
    assert "run/round-1" in text and "other/round-1" in text


def test_a_comparison_alone_shows_only_itself(tmp_path):
    page = page_of([comparison_artifact(tmp_path / "c")], tmp_path / "r.html")
    assert re.findall(r'<section [^>]*id="([^"]+)"', page) == [
        "table",
        "difference",
        "side-by-side",
        "cost",
        "recipes",
    ]
    text = words(page)
    assert text.startswith("eyes-val By Dice, pair is better than plain <b>.")
    assert "Too few cases to tell much: disc (6), ring (6)." in text and "2 seeds: two trainings" in text
    assert "eyes compares plain <b>, pair, each trained with seeds 0, 1, on 6 cases (3 groups) of" in text
    assert "There is no" not in text and "choices are made" in text and "not reached (1 of 2 seeds)" in text
    assert (
        page.count('class="bar line') == 2 and page.count('class="beside"') == 3 and "plain <b>" not in page
    )


def test_a_comparison_stands_beside_other_sources(run, tmp_path):
    page = page_of([run, comparison_artifact(tmp_path / "c")], tmp_path / "r.html")
    assert (
        page.count('class="node comparison"') == 1
        and '<section id="results">' in page
        and 'id="side-by-side"' in page
    )


def test_a_source_without_artifacts_is_an_error(tmp_path):
    with pytest.raises(StorageError, match=r"no artifact\.json"):
        write_report([Store.at(tmp_path)], tmp_path / "r.html")


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
