from __future__ import annotations

import shutil
import threading
from itertools import islice
from pathlib import Path

import pytest
import torch

from framework.core.errors import CorpusError, StorageError
from framework.core.labels import IGNORE
from framework.corpus.schema import NO_MASK
from framework.loading.augmentation import AugmentConfig
from framework.loading.label_budget import BudgetConfig
from framework.loading.loader import AHEAD, Batch, Loader, Stream
from framework.loading.training_set import CorpusConfig, TrainingSet

STREAMS = (
    Stream("labelled", frozenset({"mask"})),
    Stream("unlabelled", frozenset({NO_MASK}), strong=2, hint="lower corpus.budget.share"),
)
VIEWS = AugmentConfig(rotate=10, gain=0.1)


def loader_of(url: str, rank: int = 0, world: int = 1, share: float = 0.4, batch: int = 4) -> Loader:
    data = TrainingSet(CorpusConfig(path=url, size=32, budget=BudgetConfig(share=share)))
    return Loader(data, STREAMS, "cps", batch, 0, VIEWS, rank, world)


def same(one: Batch, other: Batch) -> bool:
    return all(
        a.ids == b.ids
        and torch.equal(a.image, b.image)
        and torch.equal(a.mask, b.mask)
        and len(a.strong) == len(b.strong)
        and all(map(torch.equal, a.strong, b.strong))
        for a, b in ((one[name], other[name]) for name in one)
    )


def test_a_batch_has_a_view_of_every_stream(phantom_url: str) -> None:
    batch = loader_of(phantom_url).batch_at(3)
    assert list(batch) == ["labelled", "unlabelled"]
    labelled, unlabelled = batch["labelled"], batch["unlabelled"]
    assert (labelled.image.shape, labelled.mask.shape) == ((4, 3, 32, 32), (4, 32, 32))
    assert (labelled.image.dtype, labelled.mask.dtype) == (torch.float32, torch.int64)
    assert labelled.strong == () and len(unlabelled.strong) == 2
    assert all(view.shape == unlabelled.image.shape for view in unlabelled.strong)
    assert not torch.equal(*unlabelled.strong)
    assert (labelled.mask < 5).all() and (unlabelled.mask == IGNORE).all()


@pytest.mark.parametrize("start", [0, 1, 7, 11])
def test_starting_anywhere_gives_the_same_batches(start: int, phantom_url: str) -> None:
    whole = list(loader_of(phantom_url).run(0, 12))
    later = list(loader_of(phantom_url).run(start, 12))
    assert len(whole) == 12
    assert all(same(one, other) for one, other in zip(whole[start:], later, strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_the_batches_of_all_ranks_are_the_batch_of_one(world: int, phantom_url: str) -> None:
    whole = loader_of(phantom_url).batch_at(5)
    parts = [loader_of(phantom_url, rank, world).batch_at(5) for rank in range(world)]
    for name, stream in whole.items():
        for rank, part in enumerate(parts):
            assert part[name].ids == stream.ids[rank::world]
            assert torch.equal(part[name].image, stream.image[rank::world])
            assert torch.equal(part[name].mask, stream.mask[rank::world])


def test_ranks_share_the_images_of_a_stream_as_they_are(phantom_url: str) -> None:
    whole = loader_of(phantom_url).samplers["labelled"].ids
    shares = [[*loader_of(phantom_url, rank, 2).plain("labelled")] for rank in range(2)]
    assert [[name for part in share for name in part.ids] for share in shares] == [
        list(whole[rank::2]) for rank in range(2)
    ]


def test_an_epoch_shows_every_image(phantom_url: str) -> None:
    loader = loader_of(phantom_url)
    ids = loader.samplers["labelled"].ids
    seen = [name for step in range(-(-len(ids) // 4)) for name in loader.batch_at(step)["labelled"].ids]
    assert set(seen) == set(ids)


def test_no_more_than_a_few_batches_wait(phantom_url: str) -> None:
    loader = loader_of(phantom_url)
    made: list[int] = []
    make = loader.batch_at
    loader.batch_at = lambda step: (made.append(step), make(step))[1]  # type: ignore[method-assign]
    batches = loader.run(0, 100)
    next(batches)
    threading.Event().wait(0.5)
    assert len(made) <= AHEAD + 3
    batches.close()  # type: ignore[attr-defined]


def test_leaving_early_ends_the_thread(phantom_url: str) -> None:
    before = threading.active_count()
    batches = loader_of(phantom_url).run(0, 1000)
    assert len(list(islice(batches, 2))) == 2
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_in_the_thread_is_raised_where_the_batches_are_read(
    phantom_url: str, tmp_path: Path
) -> None:
    shutil.copytree(phantom_url, tmp_path / "c")
    loader = loader_of(str(tmp_path / "c"))
    for shard in loader.data.corpus.info.shards:
        (tmp_path / "c" / shard).unlink()
    before = threading.active_count()
    with pytest.raises(StorageError, match="shard is missing or damaged"):
        list(loader.run(0, 5))
    assert threading.active_count() == before


def test_a_stream_without_images_says_what_to_do(phantom_url: str) -> None:
    with pytest.raises(
        CorpusError,
        match=r"method 'cps' needs unlabelled training images and there is none; lower corpus.budget",
    ):
        loader_of(phantom_url, share=1)
