"""One offline HTML file about models, layers, evaluations and comparisons: lineage, curves, tables, pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

import framework
from framework.comparison.page import comparison_entry
from framework.evaluation.answers_page import answer_entry
from framework.evaluation.charts import Series, coloured, line_chart
from framework.evaluation.forest import signed
from framework.evaluation.indicators import indicator_entry
from framework.evaluation.intervals import METHOD
from framework.evaluation.lineage import lineage_picture
from framework.evaluation.marginals import marginal_entry, statistics_of
from framework.evaluation.pictures import colour_of, data_address
from framework.evaluation.report_sources import Artefact, gather, origin
from framework.storage import Store
from framework.training import metric_log

Entry = dict[str, Any]
"""What the template shows of one thing."""

RANKS = ("best", "median", "worst")


def write_report(sources: Sequence[Store], out: Store | str | os.PathLike[str]) -> str:
    """Write one HTML file that needs nothing else, and give its address.

    `sources` are folders of models, layers, evaluations and comparisons, or roots of runs that hold such folders; `out` is the
    address of the file, local or on S3; the first source's name is the title. What a source lacks is said in a sentence. Raises
    `StorageError` for a source without artefacts.
    """
    page = render(gather(sources), sources[0].name)
    folder, _, name = Store.at(out).url.rpartition("/")
    Store.at(folder or "/").write_text(name, page)
    return Store.at(out).url


def render(artefacts: Sequence[Artefact], title: str) -> str:
    """The page about `artefacts`, which has inputs before what was made from them."""
    models, layers, evaluations = ([a for a in artefacts if a.kind == kind] for kind in ("model", "layer", "evaluation"))
    logs = {model.key: metric_log.read(model.store) for model in models}
    results = [evaluation_entry(evaluation) for evaluation in evaluations if evaluation.store.exists("cases.parquet")]
    answers = [entry for evaluation in evaluations if (entry := answer_entry(evaluation))]
    comparisons = [comparison_entry(artefact) for artefact in artefacts if artefact.kind == "comparison"]
    template = environment().get_template("report.html.j2")
    return template.render(
        title=title,
        comparisons=comparisons,
        detailed=len(comparisons) < len(artefacts),
        models=[model_entry(model, results, answers) for model in models],
        artefacts=artefacts,
        picture=lineage_picture(artefacts, {a.key: note(a) for a in artefacts}),
        curves=curves(models, logs),
        without_log=[model.name for model in models if not logs[model.key]],
        results=results,
        answers=answers,
        overview=[row for result in results for row in overview_rows(result)],
        pseudo=[entry for artefact in [*layers, *evaluations] for entry in pseudo_entries(artefact)],
        ways=whole_ways(artefacts),
        indicators=[entry for model in models if (entry := indicator_entry(model, logs[model.key]))],
        marginals=[marginal_entry(model, logs[model.key]) for model in models if statistics_of(logs[model.key])],
        method=METHOD,
        version=framework.__version__,
    )


def whole_ways(artefacts: Sequence[Artefact]) -> list[Entry]:
    """The pictures of the whole way; the import waits, as nothing else of a report needs networks."""
    if not any(artefact.kind == "map layer" for artefact in artefacts):
        return []
    from framework.evaluation.whole_way import way_entries

    return way_entries(artefacts)


def environment() -> jinja2.Environment:
    """Templates of this folder, with everything escaped and unknown names as errors."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": "{:,}".format, "share": share, "duration": duration, "several": several, "signed": signed}
    return made


def share(value: float) -> str:
    """A share in 0..1 as a percentage; small ones keep a decimal."""
    return f"{value:.1%}".replace("%", " %") if 0 < value < 0.1 else f"{value:.0%}".replace("%", " %")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def several(count: int, noun: str) -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def note(artefact: Artefact) -> str:
    """The one number that says most about an artefact, for its box in the picture of lineage."""
    counts = artefact.counts
    if artefact.kind == "model":
        return f"{counts['labelled_images']:,} of {counts['train_images']:,} labelled"
    if artefact.kind == "layer":
        return f"{several(counts['rows'], 'mask')}"
    return several(counts["cases"], "case") if artefact.kind in ("evaluation", "comparison") else ""


def model_entry(model: Artefact, results: Sequence[Entry], answers: Sequence[Entry]) -> Entry:
    """A model's label budget, its configuration, and the results of the evaluations made of it."""
    corpus = model.parent("corpus")
    return {
        "name": model.name,
        "corpus": corpus.name if corpus else "a corpus that is not recorded",
        "layers": [parent.name for parent in model.parents if parent.role.startswith("layer")],
        "counts": model.counts,
        "seconds": model.record["seconds"],
        "pseudo": model.counts.get("pseudo_images", 0),
        "results": [result for result in results if result["model_key"] == model.key],
        "answers": [answer for answer in answers if answer["model_key"] == model.key],
        "config": model.store.read_text("config.yaml") if model.store.exists("config.yaml") else None,
    }


def curves(models: Sequence[Artefact], logs: dict[str, list[Entry]]) -> list[Any]:
    """Loss and validation scores of all models, each chart only when there is something in it."""
    names = unique_names(models)
    loss = coloured((names[m.key], points(logs[m.key], "loss")) for m in models)
    charts: list[tuple[str, list[Series], tuple[float, ...]]] = [("Training loss", loss, (0.0,))]
    for kind, parts in (("Dice", "classes"), ("AUPR", "lesions"), ("AUC", "targets")):
        scores = coloured((names[m.key], validation_points(logs[m.key], kind)) for m in models)
        charts.append((f"Validation {kind}, mean over {parts}", scores, ()))
    return [line_chart(title, series, include=include) for title, series, include in charts if series]


def unique_names(artefacts: Sequence[Artefact]) -> dict[str, str]:
    """Names by key, with the folder above where two artefacts have the same name."""
    seen = Counter(artefact.name for artefact in artefacts)
    return {a.key: a.name if seen[a.name] == 1 else "/".join(a.key.split("/")[-2:]) for a in artefacts}


def points(log: Sequence[Entry], key: str) -> list[tuple[float, float]]:
    return [(record["step"], record[key]) for record in log if key in record]


def validation_points(log: Sequence[Entry], kind: str) -> list[tuple[float, float]]:
    found = [(record["step"], record["validation"]) for record in log if "validation" in record]
    return [(step, scores["mean"]) for step, scores in found if metric_log.measure(scores) == kind]


def pseudo_entries(artefact: Artefact) -> list[Entry]:
    """Tables of pseudo-label quality: the layer's own counts, and `quality.json` where somebody checked them against masks."""
    entries = []
    if artefact.kind == "layer" and "classes" in artefact.counts:
        classes = {name: layer_class(**held) for name, held in artefact.counts["classes"].items()}
        entries.append({"name": artefact.name, "checked": False, "counts": artefact.counts, "classes": classes})
    if artefact.store.exists("quality.json"):
        classes = artefact.store.read_json("quality.json")["classes"]
        entries.append({"name": artefact.name, "checked": True, "counts": artefact.counts, "classes": classes})
    return entries


def layer_class(predicted: int, kept: int) -> Entry:
    return {"kept_share": kept / predicted if predicted else 0.0, "pixels": predicted}


def evaluation_entry(evaluation: Artefact) -> Entry:
    """An evaluation's summary with how often each class was missed or falsely found, and its pictures."""
    summary = evaluation.store.read_json("summary.json")
    first = next(iter(summary["predictors"].values()))
    names = [name for name in first if name != "mean"]
    return origin(evaluation) | {
        "summary": summary,
        "headline": first["mean"]["dice"],
        "classes": [{"name": name, "colour": colour_of(i)} for i, name in enumerate(names, start=1)],
        "states": states(evaluation.store),
        "pictures": pictures(evaluation.store),
        "attention": attention(evaluation.store),
    }


def attention(store: Store) -> Entry | None:
    """What a collaborative model attends to, its pictures as data addresses; None for other models."""
    if not store.exists("attention.json"):
        return None
    held = store.read_json("attention.json")
    return held | {"pictures": [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in held["pictures"]]}


def overview_rows(result: Entry) -> list[Entry]:
    """The mean over classes of each predictor."""
    unit = result["summary"]["unit"]
    found = result["summary"]["predictors"].items()
    return [{"evaluation": result["name"], "predictor": name, "unit": unit, "scores": scores["mean"]} for name, scores in found]


def states(store: Store) -> Counter[tuple[str, str, str]]:
    """How often each (predictor, class, state) is in the per-case table."""
    table = store.read_table("cases.parquet").select(["predictor", "class", "state"])
    return Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))


def pictures(store: Store) -> list[Entry]:
    """The best, then the median, then the worst cases, each with its picture as a data address."""
    listed = store.read_json("pictures.json") if store.exists("pictures.json") else []
    ordered = sorted(listed, key=lambda entry: RANKS.index(entry["rank"]))
    return [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in ordered]
