"""The report's sections that methods write about models of their own; `section.html.j2` sets them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from framework.core.storage import Store
from framework.imaging.overlay import colour_of, data_address
from framework.methods.sections import Block, LineChart, ModelRecord, Section
from framework.reporting.charts import SMALL, WIDE, line_chart
from framework.reporting.sources import Artifact

Entry = dict[str, Any]


def method_sections(models: Sequence[Artifact], logs: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """What the template shows: sections of the same title of several models are one."""
    shown: dict[str, Entry] = {}
    for model in models:
        for section in _sections(model, logs[model.key]):
            key = re.sub(r"\W+", "-", section.title.lower())
            entry = shown.setdefault(
                key, {"key": key, "title": section.title, "about": section.about, "models": []}
            )
            blocks = [_block(block, model.store) for block in section.blocks]
            entry["models"].append({"name": model.name, "summary": section.summary, "blocks": blocks})
    return list(shown.values())


def _sections(model: Artifact, log: Sequence[Entry]) -> list[Section]:
    """What a model's method says of it; nothing where the method is not installed here.

    The import waits: it needs networks, and nothing else of a report does.
    """
    if not model.store.exists("config.yaml") or not model.store.exists("model.json"):
        return []
    from framework.methods.registry import METHODS

    settings = yaml.safe_load(model.store.read_text("config.yaml"))
    method, classes = METHODS.get(settings["method"]["name"]), model.store.read_json("model.json")["classes"]
    return method.report(ModelRecord(model.store, log, classes)) if method else []


def _block(block: Block, store: Store) -> Entry:
    pictures = [vars(p) | {"data": data_address(store.read_bytes(p.file))} for p in block.pictures]
    colour = colour_of(block.class_id) if block.class_id else None
    charts = [_chart(chart, small=block.histogram is None) for chart in block.charts]
    return vars(block) | {"colour": colour, "charts": charts, "pictures": pictures}


def _chart(chart: LineChart, small: bool) -> Any:
    series = [replace(line, points=list(line.points)) for line in chart.series]
    return line_chart(chart.title, series, SMALL if small else WIDE, chart.include, chart.reference)
