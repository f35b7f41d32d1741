from __future__ import annotations

from typing import Any

from framework.corpus.findings import findings

ROW: dict[str, Any] = {
    "mask_kind": "mask",
    "mask_pixels": [9, 1],
    "spacing": None,
    "volume": None,
    "slice": None,
}
COMPLETE = [
    {**ROW, "id": f"{split}-{i}", "group": f"{split}-{i}", "split": split, "hash": f"{split}-{i}"}
    for split in ("train", "val", "test")
    for i in range(2)
]


def found(*rows: dict[str, Any], among: list[dict[str, Any]] = COMPLETE) -> list[str]:
    whole = [{**ROW, "group": row["id"], "split": "train", "hash": row["id"], **row} for row in rows]
    index = {name: [row[name] for row in [*among, *whole]] for name in COMPLETE[0]}
    return findings(index, ["background", "lesion"])


def test_a_corpus_like_any_other_has_nothing_to_tell() -> None:
    assert found() == []


def test_the_same_picture_in_two_splits_is_told_with_its_ids() -> None:
    assert found(
        {"id": "a", "hash": "same"},
        {"id": "b", "hash": "same", "split": "test"},
        {"id": "c", "hash": "twin"},
        {"id": "d", "hash": "twin"},
        {"id": "e", "hash": "val-0", "split": "excluded"},
    ) == ["1 picture in two splits, so that scores flatter: 'a' (train) = 'b' (test)"]
    many = [
        {"id": f"{i}{split}", "hash": str(i), "split": split} for i in range(25) for split in ("val", "test")
    ]
    [line] = found(*many)
    assert line.startswith("25 pictures in two splits") and line.endswith("; and 5 more")


def test_splits_that_say_little_are_told() -> None:
    assert found(among=COMPLETE[:2]) == [
        "no image is in split 'val': no checkpoint can be chosen by it",
        "no image is in split 'test': evaluate on another split",
    ]
    assert found(among=COMPLETE[:5]) == [
        "split 'test' holds one group alone, 'test-0': it says little of others"
    ]


def test_masks_that_are_lacking_are_told() -> None:
    without = [{**row, "mask_kind": None} for row in COMPLETE]
    assert found(among=without) == [
        "no image has a mask, in masks/ID.png: there is nothing to learn masks from, or to score"
    ]
    assert found(among=[*without[:2], *COMPLETE[2:]]) == ["no image of split 'train' has a mask"]


def test_classes_that_no_training_mask_holds_are_told() -> None:
    empty = [{**row, "mask_pixels": [9] if row["split"] == "train" else [9, 1]} for row in COMPLETE]
    assert found(among=empty) == ["no mask of split 'train' holds 'lesion'"]
    assert found({"id": "a", "mask_pixels": [9, 0]}, {"id": "b", "mask_pixels": [0, 1]}, among=empty) == []


def test_spacings_are_told_and_the_images_without() -> None:
    known = [{**row, "spacing": [0.5, 0.25 * (1 + i % 2)]} for i, row in enumerate(COMPLETE)]
    assert found(among=known) == ["spacing in mm: rows 0.5, columns 0.25 to 0.5"]
    assert found({"id": "a", "spacing": [5, 1, 1]}) == [
        "spacing in mm: slices 5, rows 1, columns 1",
        "6 images without spacing: splits that hold one are measured in pixels, not in mm",
    ]


def test_gaps_in_volumes_are_told() -> None:
    def slices(volume: str, *numbers: int) -> list[dict[str, Any]]:
        return [{"id": f"{volume}{i}", "volume": volume, "slice": i} for i in numbers]

    assert found(*slices("whole", 3, 4, 5), *slices("thinned", 0, 2, 4), *slices("one", 7)) == []
    assert found(*slices("whole", 3, 4, 5), *slices("broken", 0, 1, 3)) == [
        "1 volume without slices between others, which count as adjacent: 'broken'"
    ]
