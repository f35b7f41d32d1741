"""One offline HTML file about models, layers, evaluations and comparisons."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

import framework
from framework.core.artifact import read_part
from framework.core.counting import several
from framework.core.storage import Store
from framework.evaluation.case_scores import MEAN
from framework.evaluation.notices import disagreement, notices
from framework.evaluation.summary import read_summary
from framework.evaluation.text import over_all_head
from framework.labelling.least_sure import FILE as LEAST_SURE
from framework.metrics.base import CaseMetric, ImageMetric, PooledMetric
from framework.metrics.bootstrap import METHOD
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.charts import Chart, coloured, line_chart
from framework.reporting.comparison_page import comparison_entry
from framework.reporting.lineage import lineage_picture
from framework.reporting.lineage_verdict import verdicts
from framework.reporting.method_sections import method_sections
from framework.reporting.page import KnownAs, environment
from framework.reporting.sources import Artifact, Picture, class_colours, gather, read_pictures, with_data
from framework.training import metric_log

Entry = dict[str, Any]
"""What the template shows of one thing."""


class Quality(BaseModel):
    """What `quality.json` holds: how right each class's labels are."""

    classes: dict[str, Entry]


class Explained(BaseModel):
    """What `explained.json` holds: what the columns of its pictures are."""

    columns: list[str]
    pictures: list[Picture]


def write_report(
    sources: Sequence[Store], out: Store | str | os.PathLike[str], known_as: KnownAs = str
) -> str:
    """Write one HTML file that needs nothing else to `out`, local or in a bucket, and give its address.

    `sources` are artifacts' folders, or folders of such; the first one's name is the title. What the scores
    say comes first; sections that nothing belongs to are left out. Images and volumes are `known_as` their
    ids unless told otherwise. Raises `StorageError` for a source without artifacts.
    """
    page, file = render(gather(sources), sources[0].name, known_as), Store.at(out)
    file.parent.write_text(file.name, page)
    return file.url


def render(artifacts: Sequence[Artifact], title: str, known_as: KnownAs) -> str:
    """The page about `artifacts`, which has inputs before what was made from them."""
    kinds = ("model", "layer", "evaluation", "comparison")
    models, layers, evaluations, compared = ([a for a in artifacts if a.kind == kind] for kind in kinds)
    logs = {model.key: metric_log.read(model.store) for model in models}
    results = [evaluation_entry(each) for each in evaluations if each.store.exists("cases.parquet")]
    classifications = [entry for each in evaluations if (entry := classification_entry(each))]
    template = environment(known_as).get_template("report.html.j2")
    return template.render(
        title=title,
        comparisons=[comparison_entry(artifact) for artifact in compared],
        detailed=len(compared) < len(artifacts),
        models=[model_entry(model, results, classifications) for model in models],
        verdicts=list(verdicts(evaluations)),
        told=told(results),
        artifacts=artifacts,
        picture=lineage_picture(artifacts, {a.key: note(a) for a in artifacts}),
        curves=curves(models, logs),
        without_log=[model.name for model in models if not logs[model.key]],
        results=results,
        classifications=classifications,
        pseudo=[entry for artifact in [*layers, *evaluations] for entry in pseudo_entries(artifact)],
        galleries=galleries(artifacts),
        sections=method_sections(models, logs),
        metrics=metrics_of(CaseMetric),
        method=METHOD,
        version=framework.__version__,
    )


def galleries(artifacts: Sequence[Artifact]) -> list[Entry]:
    """The pictures from labels to masks; the import waits, as nothing else of a report needs networks."""
    if not any(artifact.kind == "map layer" for artifact in artifacts):
        return []
    from framework.reporting.label_to_mask_gallery import gallery_entries

    return gallery_entries(artifacts)


def note(artifact: Artifact) -> str:
    """The one number that says most about an artifact, for its box in the picture of lineage."""
    counts = artifact.counts
    if artifact.kind == "model":
        return f"{counts['labelled_images']:,} of {counts['train_images']:,} labelled"
    if artifact.kind == "layer":
        return several(counts["rows"], "mask")
    return several(counts["cases"], "case") if artifact.kind in ("evaluation", "comparison") else ""


def model_entry(model: Artifact, results: Sequence[Entry], classifications: Sequence[Entry]) -> Entry:
    """A model's label budget, its configuration, and the results of the evaluations made of it."""
    return {
        "name": model.name,
        "corpus": model.made_from("corpus"),
        "counts": model.counts,
        "classifies": isinstance(metric_log.best_metric(model.counts), ImageMetric),
        "pseudo": model.counts.get("pseudo_images", 0),
        "results": [result for result in results if result["model_key"] == model.key],
        "classifications": [result for result in classifications if result["model_key"] == model.key],
        "config": model.store.read_text("config.yaml") if model.store.exists("config.yaml") else None,
    }


def curves(models: Sequence[Artifact], logs: dict[str, list[Entry]]) -> list[Chart]:
    """Loss and validation scores of all models, each chart only when there is something in it."""
    names = unique_names(models)
    loss = coloured((names[m.key], points(logs[m.key], "loss")) for m in models)
    charts = [line_chart("Training loss", loss, include=(0.0,))] if loss else []
    for metric in METRICS.values():
        scores = coloured((names[m.key], validation_points(logs[m.key], metric.key)) for m in models)
        title = f"Validation {metric.name}, mean over {metric.parts}"
        charts += [line_chart(title, scores, include=(0.0,))] if scores else []
    return charts


def unique_names(artifacts: Sequence[Artifact]) -> dict[str, str]:
    """Names by key, with the folder above where two artifacts have the same name."""
    seen = Counter(artifact.name for artifact in artifacts)
    return {a.key: a.name if seen[a.name] == 1 else "/".join(a.key.split("/")[-2:]) for a in artifacts}


def points(log: Sequence[Entry], key: str) -> list[tuple[float, float]]:
    return [(record["step"], record[key]) for record in log if key in record]


def validation_points(log: Sequence[Entry], metric: str) -> list[tuple[float, float]]:
    """The score by step of a run that is judged by a metric; none of another."""
    validations = [(record["step"], record["validation"]) for record in log if "validation" in record]
    return [(step, scores["mean"]) for step, scores in validations if scores["metric"] == metric]


def pseudo_entries(artifact: Artifact) -> list[Entry]:
    """Tables of pseudo-label quality: the layer's own counts with the pictures of the least sure, and
    `quality.json` where masks checked it."""
    store, shared, entries = artifact.store, {"name": artifact.name, "counts": artifact.counts}, []
    if artifact.kind == "layer" and "classes" in artifact.counts:
        classes = {
            name: {"kept_share": pixels["kept"] / max(1, pixels["predicted"]), "pixels": pixels["predicted"]}
            for name, pixels in artifact.counts["classes"].items()
        }
        least = read_pictures(store, LEAST_SURE) if store.exists(LEAST_SURE) else []
        entries.append(shared | {"checked": False, "classes": classes, "least": least})
    if store.exists("quality.json"):
        checked = {"checked": True, "classes": read_part(store, "quality.json", Quality).classes, "least": []}
        entries.append(shared | checked)
    return entries


def told(results: Sequence[Entry]) -> list[str]:
    """What a reader must not overlook in the evaluations, and where two splits disagree about a model."""
    lines = [f"{result['name']}: {line}" for result in results for line in notices(result["summary"])]
    for one, other in itertools.combinations(results, 2):
        if one["model_key"] is not None and one["model_key"] == other["model_key"]:
            lines += disagreement(one["model"], one["summary"], other["summary"])
    return lines


def evaluation_entry(evaluation: Artifact) -> Entry:
    """An evaluation's summary, the rows of its table, and its pictures."""
    store, summary = evaluation.store, read_summary(evaluation.store)
    first, seconds = next(iter(summary["predictors"].values())), evaluation.counts.get("seconds_per_image")
    metrics = metrics_of(CaseMetric, first[MEAN])
    return origin(evaluation) | {
        "summary": summary,
        "reference": summary.get("reference"),
        "metrics": metrics,
        "over_all": over_all_head(metrics[0]),
        "speed": None if seconds is None else f"{seconds:.3g} s",
        "machine": evaluation.record.get("machine"),
        "pooled": metrics_of(PooledMetric, summary.get("pooled", {}).get(MEAN, ())),
        "headline": first[MEAN],
        "classes": class_colours(name for name in first if name != MEAN),
        "pictures": read_pictures(store, "pictures.json"),
        "explained": explained(store),
    }


def classification_entry(evaluation: Artifact) -> Entry | None:
    """Every target's metrics and confusion matrix; None for an evaluation of masks alone."""
    summary = read_summary(evaluation.store)
    if targets := summary.get("targets"):
        metrics = metrics_of(ImageMetric, next(iter(targets.values())))
        return origin(evaluation) | {"split": summary["split"], "metrics": metrics, "targets": targets}
    return None


def origin(evaluation: Artifact) -> Entry:
    """An evaluation's name, and the model and corpus that it was made from."""
    model = evaluation.parent("model")
    names = {role: evaluation.made_from(role) for role in ("model", "corpus")}
    return names | {"name": evaluation.name, "model_key": model.key if model else None}


def explained(store: Store) -> Entry | None:
    """What a model that explains itself sees, its pictures as data addresses; None for others."""
    if not store.exists("explained.json"):
        return None
    shown = read_part(store, "explained.json", Explained)
    return {"columns": shown.columns, "pictures": with_data(store, map(dict, shown.pictures))}
