"""The report's sections that methods write about models of their own; `section.html.j2` sets them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from framework.core.artifact import read_part
from framework.core.storage import Store
from framework.corpus.schema import ModelInfo
from framework.imaging.overlay import colour_of
from framework.methods.sections import Block, ModelRecord, Section
from framework.reporting.charts import SMALL, WIDE, line_chart
from framework.reporting.sources import Artifact, with_data

Entry = dict[str, Any]


class Named(BaseModel):
    """The section of a method, which may not be installed here."""

    name: str


class Described(BaseModel):
    """What is read of a model's `config.yaml`."""

    method: Named


def method_sections(models: Sequence[Artifact], logs: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """What the template shows: sections of the same title of several models are one."""
    shown: dict[str, Entry] = {}
    for model in models:
        for section in _sections(model, logs[model.key]):
            key = re.sub(r"\W+", "-", section.title.lower())
            shared = {"key": key, "title": section.title, "about": section.about}
            entry = shown.setdefault(key, shared | {"models": []})
            blocks = [_block(block, model.store) for block in section.blocks]
            entry["models"].append({"name": model.name, "summary": section.summary, "blocks": blocks})
    return list(shown.values())


def _sections(model: Artifact, log: Sequence[Entry]) -> list[Section]:
    """What a model's method says of it; nothing where the method is not installed here."""
    if not model.store.exists("config.yaml") or not model.store.exists("model.json"):
        return []
    from framework.methods.registry import METHODS  # waits, as nothing else of a report needs networks

    method = METHODS.get(read_part(model.store, "config.yaml", Described).method.name)
    classes = read_part(model.store, "model.json", ModelInfo).classes
    return method.report(ModelRecord(model.store, log, classes)) if method else []


def _block(block: Block, store: Store) -> Entry:
    pictures, frame = with_data(store, map(vars, block.pictures)), WIDE if block.histogram else SMALL
    charts = [line_chart(c.title, c.series, frame, c.include, c.reference) for c in block.charts]
    colour = colour_of(block.class_id) if block.class_id else None
    return vars(block) | {"colour": colour, "charts": charts, "pictures": pictures}
