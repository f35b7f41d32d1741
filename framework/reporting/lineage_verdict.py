"""Whether a model is better than the one that it goes back to, where both were scored on the same cases."""

import itertools
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from framework.evaluation.case_scores import CaseScores
from framework.evaluation.cases import FILE, groups_of
from framework.evaluation.summary import read_summary
from framework.metrics.base import CaseMetric
from framework.metrics.registry import leading
from framework.reporting.sources import Artifact


def verdicts(evaluations: Sequence[Artifact]) -> Iterator[str]:
    """A sentence for each pair of evaluations of which one's model goes back to the other's."""
    for later, earlier in itertools.permutations(evaluations, 2):
        (new, old), same = (_model(each) for each in (later, earlier)), _place(later) == _place(earlier)
        if new and old and same and _goes_back(new, old):
            yield _sentence(later, new, earlier, old)


def _model(evaluation: Artifact) -> Artifact | None:
    parent = evaluation.parent("model")
    return parent.artifact if parent and evaluation.store.exists(FILE) else None


def _place(evaluation: Artifact) -> tuple[str, str]:
    """The corpus and the split."""
    corpus = evaluation.parent("corpus")
    return corpus.hash if corpus else "", read_summary(evaluation.store)["split"]


def _goes_back(model: Artifact, other: Artifact) -> bool:
    """Whether an artifact was made, at any remove, from another."""
    parents = [parent.artifact for parent in model.parents if parent.artifact]
    return any(parent.key == other.key or _goes_back(parent, other) for parent in parents)


def _sentence(later: Artifact, new: Artifact, earlier: Artifact, old: Artifact) -> str:
    metric = leading(CaseMetric)
    change = _scores(later).difference(_scores(earlier), metric)
    [interval] = change.intervals()
    if interval is None:
        return f"{new.name} and {old.name} have no score to be compared by: no case has any structure."
    difference = vars(interval)
    told = f"{metric.name} {metric.text(difference, '+')} on the same cases, one training each"
    return f"{new.name} is {metric.standing(difference)} {old.name}: {told}."


def _scores(evaluation: Artifact) -> CaseScores:
    """Those of the first predictor."""
    table = evaluation.store.read_table(FILE)
    own = table.filter(pc.field("predictor") == table["predictor"][0].as_py())
    return CaseScores.of([own], groups_of(own), own["class"].unique().to_pylist())
