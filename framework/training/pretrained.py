"""PretrainedModel models that a run starts from."""

from __future__ import annotations

from typing import Any

import yaml

from framework.core.artifact import input_of
from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.schema import ModelInfo
from framework.methods.base import Method, PretrainedModel
from framework.training.checkpoint import read_tensors
from framework.training.config import TrainConfig


def run_of(store: Store) -> TrainConfig:
    """The description of a finished model; raises `CorpusError` when none is there."""
    input_of(store, "model")
    return parse(yaml.safe_load(store.read_text("config.yaml")), TrainConfig, f"{store.url}/config.yaml")


def self_contained(run: TrainConfig) -> TrainConfig:
    """The same with networks that ask for no weights of others: those of the finished model replace them."""
    return parse(_without_pretrained(run.model_dump(mode="json")), TrainConfig)


def _without_pretrained(value: dict[str, Any]) -> dict[str, Any]:
    held = {key: _without_pretrained(part) if isinstance(part, dict) else part for key, part in value.items()}
    return held | {"pretrained": False} if held.get("pretrained") is True else held


def load_pretrained_models(method: Method, run: TrainConfig, corpus: Corpus) -> None:
    """Give the method the finished models that it starts from. Raises errors that name the one that is missing or does not fit."""
    for role, url in run.models.items():
        store = Store.at(url)
        made, known = run_of(store), ModelInfo.model_validate(store.read_json("model.json"))
        _require_unseen(role, store, corpus)
        try:
            method.load_pretrained(
                role, PretrainedModel(read_tensors(store, "model.safetensors"), known.classes, made.method)
            )
        except RuntimeError:
            advice = "give both the same 'network', classes and sizes under 'method'"
            raise ConfigError(
                f"models.{role}: {store.url} has another network than this run; {advice}"
            ) from None


def _require_unseen(role: str, model: Store, corpus: Corpus) -> None:
    """Raise `ConfigError` where a model has learnt from a picture, whatever its name was, that this corpus keeps for measuring
    (methods/README 3.7). Models of earlier versions do not say."""
    trained = (
        set(model.read_json("trained_image_hashes.json"))
        if model.exists("trained_image_hashes.json")
        else set()
    )
    if seen := [name for name in corpus.ids_in("val", "test") if corpus.value(name, "hash") in trained]:
        fault = f"{model.url} has learnt from image '{seen[0]}', which corpus '{corpus.info.name}' keeps for measuring"
        raise ConfigError(f"models.{role}: {fault}; train it on this corpus, or on one with the same splits")
