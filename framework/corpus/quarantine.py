"""Rows that cannot be used, each with its reason, and the share of them that a job may have."""

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from framework.core.counting import several
from framework.core.errors import CorpusError
from framework.core.storage import Store

QUARANTINE_ROW = pa.schema([("id", pa.string()), ("reason", pa.string())])

SHOWN = 3
"""Ids that a line gives of many."""

Rejected = Sequence[dict[str, str]]
"""Rows of `id` and `reason`."""


def close_quarantine(store: Store, rejected: Rejected, total: int, budget: float, advice: str) -> None:
    """Write `quarantine.parquet`; raises `CorpusError` where it holds more than its budget of all rows."""
    store.write_table("quarantine.parquet", pa.Table.from_pylist(list(rejected), schema=QUARANTINE_ROW))
    if len(rejected) > budget * total:
        raise over_budget(store, rejected, total, budget, advice)


def over_budget(store: Store, rejected: Rejected, total: int, budget: float, advice: str) -> CorpusError:
    """The error of a job with more unusable rows than it may have: mend them and do what `advice` says."""
    first = f"first: '{rejected[0]['id']}': {rejected[0]['reason']}; all: quarantine*.parquet there"
    bad = several(len(rejected), "row")
    fault = f"{bad} cannot be used, over the error budget of {budget:.1%} of {total} ({first})"
    return CorpusError(f"{store.url}: {fault}; mend them and {advice}")


def quarantine_lines(store: Store) -> list[str]:
    """What is in the quarantine of a corpus: a line a reason, with the first ids."""
    names = defaultdict(list)
    for row in store.read_table("quarantine.parquet").to_pylist():
        names[row["reason"]].append(row["id"])
    shown = {reason: ", ".join(f"'{name}'" for name in ids[:SHOWN]) for reason, ids in names.items()}
    return [f"{len(ids)} in quarantine ({shown[reason]}): {reason}" for reason, ids in names.items()]
