"""The label budget: which training patients keep their masks. Deterministic, stratified, nested."""

from collections import defaultdict

from pydantic import Field

from framework.core.errors import CorpusError
from framework.core.rng import stable_seed
from framework.core.settings import Settings
from framework.corpus.reader import Corpus


class BudgetConfig(Settings):
    """How many training groups (patients) keep their masks."""

    share: float = Field(default=1.0, ge=0, le=1)
    """Share of the training groups that have masks; 0: a run uses no mask of the corpus."""
    stratify: str | None = None
    """Image-level label to stratify by; None: the first with one value a patient, else the first."""
    seed: int = 0


def labelled_ids(corpus: Corpus, budget: BudgetConfig) -> list[str]:
    """Ids of training images that keep their masks, in stored order; a group keeps all of its masks or none.

    Groups are ranked so that every prefix has each stratum in proportion: the budget of 10 % lies within that
    of 20 %. None for a share of 0; raises `CorpusError` when a larger one would leave nothing.
    """
    if budget.share == 0:
        return []
    name, index = corpus.info.name, corpus.index_columns
    rows = [i for i, s in enumerate(index["split"]) if s == "train" and index["mask_kind"][i] == "mask"]
    groups = sorted({index["group"][i] for i in rows})
    if not groups:
        mend = "add some, or set corpus.budget.share=0 to learn from label layers alone"
        raise CorpusError(f"label budget: no training image of corpus '{name}' has a mask; {mend}")
    count = round(budget.share * len(groups))
    if count == 0:
        share = f"{budget.share:.1%} of the {len(groups)} training groups with masks in corpus '{name}'"
        raise CorpusError(f"label budget: {share} leaves no labelled image; raise corpus.budget.share")
    kept = set(_ranked(groups, _strata(corpus, rows, budget.stratify), budget.seed)[:count])
    return [index["id"][i] for i in rows if index["group"][i] in kept]


def _ranked(groups: list[str], strata: dict[str, int], seed: int) -> list[str]:
    """Position (rank + 1/2) / size within its stratum interleaves the strata in proportion to their size."""
    draw = {group: stable_seed(f"{seed}:{group}") for group in groups}
    members: defaultdict[int, list[str]] = defaultdict(list)
    for group in sorted(groups, key=draw.__getitem__):
        members[strata[group]].append(group)
    places = {g: (i + 0.5) / len(own) for own in members.values() for i, g in enumerate(own)}
    return sorted(groups, key=lambda group: (places[group], draw[group]))


def _strata(corpus: Corpus, rows: list[int], name: str | None) -> dict[str, int]:
    """The stratum of each group: the highest value of the label among its images (the graver grade)."""
    values: defaultdict[str, list[list[int]]] = defaultdict(list)
    for i in rows:
        values[corpus.index_columns["group"][i]].append(corpus.index_columns["labels"][i])
    column = _column(corpus, values, name)
    if column is None:
        return dict.fromkeys(values, 0)
    return {group: max(labels[column] for labels in images) for group, images in values.items()}


def _column(corpus: Corpus, values: dict[str, list[list[int]]], name: str | None) -> int | None:
    if name is not None:
        return corpus.info.label(name)
    for column in range(len(corpus.info.labels)):
        by_group = [{labels[column] for labels in images} for images in values.values()]
        if all(len(distinct) == 1 for distinct in by_group) and len(set.union(*by_group)) > 1:
            return column
    return 0 if corpus.info.labels else None
