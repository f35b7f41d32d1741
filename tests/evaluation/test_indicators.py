"""What is written and reported of the weights of weak images."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from framework.core.storage import Store
from framework.reporting.report import write_report
from framework.training.run import train
from tests.contract.support import VOLUMES, build_phantom, tiny_run
from tests.contract.volumes import build_volumes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("indicators")
    return train(tiny_run(build_phantom(folder / "corpus"), "dcr-dii", folder))


def test_the_table_and_the_least_trusted_images_lie_beside_the_model(model: Store) -> None:
    store = model / "indicators"
    table = store.read_table("rows-00000.parquet").to_pydict()
    assert len(table["id"]) == len(set(table["id"])) == store.read_json("artifact.json")["counts"]["rows"]
    assert all(0 <= weight <= 1 for weight in table["weight"])
    pictures = store.read_json("pictures.json")
    assert [p["weight"] for p in pictures] == sorted(table["weight"])[: len(pictures)]
    assert Image.open(io.BytesIO(store.read_bytes(pictures[0]["file"]))).width > 2 * 200


def test_the_report_shows_them(model: Store, tmp_path: Path) -> None:
    page = Path(write_report([model], tmp_path / "report.html")).read_text()
    section = page.split('id="trust-in-weak-masks"')[1].split("</section>")[0]
    assert section.count("data:image/png") == 6 and "Weights of all weak images" in section
    images = (model / "indicators").read_json("artifact.json")["counts"]["rows"]
    assert sum(int(row.split("</td>")[0]) for row in section.split("</th><td>")[1:]) == images


def test_a_volume_is_shown_by_its_fullest_slice(tmp_path: Path) -> None:
    build_volumes(tmp_path / f"corpus{VOLUMES}")
    store = train(tiny_run(str(tmp_path / "corpus"), f"dcr-dii{VOLUMES}", tmp_path))
    assert len((store / "indicators").read_json("pictures.json")) == 6
