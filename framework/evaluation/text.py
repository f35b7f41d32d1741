"""An evaluation's scores for a terminal and a log, from its `summary.json`: every metric that it holds."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.table import Table

from framework.evaluation.case_scores import MEAN
from framework.evaluation.notices import notices
from framework.metrics.base import CaseMetric, ImageMetric, Metric, PooledMetric
from framework.metrics.registry import leading, metrics_of

Summary = Mapping[str, Any]


def score_tables(summary: Summary) -> Iterator[Table]:
    """A table each of what was measured: masks, structures that may overlap, classes of whole images."""
    split, unit = summary["split"], summary.get("unit", "")
    if predictors := summary.get("predictors"):
        title = f"{split}: mean over the cases that have a structure, of {summary['cases']} [95 % interval]"
        silence = summary.get("reference", {}).get(MEAN)
        rows = [
            *_case_rows(predictors, unit),
            *_case_rows({"nothing": {MEAN: silence}} if silence else {}, unit),
        ]
        yield _table(title, rows)
    if pooled := summary.get("pooled"):
        title = f"{split}: over the pixels of all images [95 % interval]"
        yield _table(title, _counted(PooledMetric, "lesion", "images with it", pooled))
    if targets := summary.get("targets"):
        yield _table(f"{split} [95 % interval]", _counted(ImageMetric, "target", "images", targets))


def _case_rows(predictors: Summary, unit: str) -> Iterator[dict[str, str]]:
    """A row of each structure: metrics, what was found, false alarms, and the mean over all cases."""
    metric = leading(CaseMetric)
    for name, structures in predictors.items():
        for structure, scores in structures.items():
            yield (
                {"predictor": name, "structure": structure}
                | _cells(CaseMetric, scores, unit)
                | {"found": of(scores["found"]), "false alarms": of(scores["false_alarms"])}
                | {over_all_head(metric): metric.text(scores["all_cases"][metric.key])}
            )


def over_all_head(metric: CaseMetric) -> str:
    """The head of the column of means over all cases; an empty case is neither there nor marked."""
    return f"{metric.name}, empty = {metric.absent:g}"


def of(count: Sequence[int]) -> str:
    """`12 of 17`, or a dash for none of none."""
    return f"{count[0]:,} of {count[1]:,}" if count[1] else "–"


def score_lines(summary: Summary) -> Iterator[str]:
    """A line of a log for each target, predictor (its mean over classes) and structure that may overlap."""
    for name, scores in summary.get("targets", {}).items():
        yield f"{name}: {_listed(ImageMetric, scores)}"
    for name, structures in summary.get("predictors", {}).items():
        listed, mean = _listed(CaseMetric, structures[MEAN], summary["unit"]), structures[MEAN]
        counts = f"found {of(mean['found'])}, false alarms {of(mean['false_alarms'])}"
        yield f"{name}: mean {listed}, {counts}, over {summary['cases']} cases of {summary['split']}"
    for name, scores in summary.get("pooled", {}).items():
        yield f"{name}: {_listed(PooledMetric, scores)}"
    yield from (f"note: {notice}" for notice in notices(summary))


def headline(summary: Summary) -> str:
    """The scores on a line: each scope's leading metric, of the first predictor, all lesions, each target."""
    case, pooled, image = leading(CaseMetric), leading(PooledMetric), leading(ImageMetric)
    parts = []
    for name, scores in islice(summary.get("predictors", {}).items(), 1):
        if value := scores[MEAN][case.key]:
            found = of(scores[MEAN]["found"])
            parts.append(f"{case.name} {case.number(value['mean'])} ({name}, found {found})")
    if value := summary.get("pooled", {}).get("mean", {}).get(pooled.key):
        parts.append(f"{pooled.name} {pooled.number(value['mean'])}")
    for name, scores in summary.get("targets", {}).items():
        if value := scores[image.key]:
            parts.append(f"{name} {image.name} {image.number(value['mean'])}")
    return f"{', '.join(parts) or 'no score'} over {summary['cases']} cases of {summary['split']}"


def _cells(scope: type[Metric], scores: Summary, unit: str = "") -> dict[str, str]:
    """The values by the head of their column; a reference has no value of metrics that it is not given."""
    named = ((metric.head(unit), metric) for metric in metrics_of(scope))
    return {head: metric.text(scores[metric.key]) if metric.key in scores else "–" for head, metric in named}


def _listed(scope: type[Metric], scores: Summary, unit: str = "") -> str:
    return ", ".join(f"{head} {cell}" for head, cell in _cells(scope, scores, unit).items())


def _counted(scope: type[Metric], what: str, count: str, entries: Summary) -> list[dict[str, str]]:
    """A row for each entry, with its number of images."""
    named = entries.items()
    return [{what: name, count: str(scores["images"])} | _cells(scope, scores) for name, scores in named]


def _table(title: str, rows: list[dict[str, str]]) -> Table:
    table = Table(title=title)
    for place, head in enumerate(rows[0]):
        table.add_column(head, no_wrap=place < 2)  # names are whole in a narrow terminal, intervals wrap
    for row in rows:
        table.add_row(*row.values())
    return table
