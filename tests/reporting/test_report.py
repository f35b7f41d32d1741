from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.reporting.page import pseudonyms
from framework.reporting.report import write_report
from tests.experiments.compare.support import comparison_artifact
from tests.reporting.support import CLASSES, CORPUS, artifact, model, page_of, words


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
