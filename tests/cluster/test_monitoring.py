"""The dashboard shows metrics that exist, and nothing of it listens to others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ray.dashboard.modules.metrics import grafana_dashboard_factory as rays

FILES = Path(__file__).parents[2] / "cluster" / "monitoring"
METRIC = re.compile(r"\b(?:ray|autoscaler)_\w+")


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    """Of all panels, those that are folded in others too."""
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []))
        yield from expressions(panel.get("panels", []))


def metrics(dashboard: dict[str, Any]) -> set[str]:
    return {name for text in expressions(dashboard["panels"]) for name in METRIC.findall(text)}


def test_every_metric_is_one_of_rays() -> None:
    ours = json.loads((FILES / "grafana/dashboards/scantseg.json").read_text())
    known: set[str] = set()
    for made in (rays.generate_default_grafana_dashboard(), rays.generate_train_grafana_dashboard()):
        known |= metrics(json.loads(made[0]))
    assert metrics(ours) and metrics(ours) - known == set()


def test_panels_have_the_source_that_is_provisioned() -> None:
    ours = json.loads((FILES / "grafana/dashboards/scantseg.json").read_text())
    (source,) = yaml.safe_load((FILES / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert {panel["datasource"]["uid"] for panel in ours["panels"]} == {source["uid"]}
    assert source["url"].startswith("http://127.0.0.1:")


def test_nodes_are_those_that_ray_lists() -> None:
    (job,) = yaml.safe_load((FILES / "prometheus.yml").read_text())["scrape_configs"]
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (files,) = job["file_sd_configs"][0]["files"]
    assert Path(files).name == PROMETHEUS_SERVICE_DISCOVERY_FILE
